"""Prints how many of the losses needed the fallback capture."""

TEST = "test_no_loss_needs_the_fallback"


def pytest_terminal_summary(terminalreporter):
    counts = {how: sum(TEST in r.nodeid for r in terminalreporter.stats.get(how, ())) for how in ("passed", "failed")}
    if sum(counts.values()):
        terminalreporter.write_line(f"fallback capture: {counts['failed']} of {sum(counts.values())} losses")
