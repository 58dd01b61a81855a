"""The gate as a repository meets it: every target in one run, decisions, the cache, one exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gate_project import CONFIG, write
from report_cases import REPORTS, realistic

from nllcheck import cache
from nllcheck.cli.evaluate import evaluated
from nllcheck.cli.jobs import plan
from nllcheck.cli.worker import _job, packed
from nllcheck.config import Settings
from nllcheck.report import stored

NOTHING = {"paths": (), "model": None, "loss": None, "batches": (), "target": None, "trust": False, "init": False}
GATE = '\n[tool.nllcheck.severity]\nNLL101 = "warning"\n'


def test_every_target_is_checked_and_one_that_fails_fails_the_run(project, call):
    (project / "pyproject.toml").write_text(
        CONFIG + CONFIG.split("\n\n")[2].replace("good", "lost").replace("batch.pt", "no.pt")
    )
    for name in ("queue.py", "types.py", "nllcheck.py"):  # no file of the user's takes a module's place
        (project / name).write_text("raise RuntimeError('imported by mistake')\n")
    code, out, err = call("run", "-q", "-o", "json=report.json", "-o", "sarif=report.sarif", "-o", "html=report.html")
    lines = out.splitlines()
    assert code == 1 and err == ""
    assert lines[0].startswith("losses.py:6: error: NLL101 log-of-softmax: ")
    assert any("lost: not evaluated: " in line and "no.pt" in line for line in lines)
    assert [line.split(":")[0] for line in lines[-3:]] == ["FAIL bad", "ok good", "FAIL lost"]
    told = json.loads((project / "report.json").read_text())
    assert [r["name"] for r in told["reports"]] == ["bad", "good", "lost"]
    assert told["summary"]["exit_code"] == 1 and told["reports"][2]["incomplete"]
    results = json.loads((project / "report.sarif").read_text())["runs"][0]["results"]
    assert "losses.py" in {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results}

    again = call("run", "-q", "-o", "json=again.json")
    assert again[0] == 1 and again[1] == out
    assert [line.split(":")[0] for line in again[2].splitlines()] == ["bad", "good"]
    assert (project / "again.json").read_bytes() == (project / "report.json").read_bytes()

    (project / "pyproject.toml").write_text(
        (project / "pyproject.toml").read_text().replace("targets.bad]", 'targets.bad]\nfail_on = "never"')
    )
    assert call("run", "-q")[0] == 4  # a target was asked for and not evaluated


def test_from_red_to_green_by_baseline_comment_and_policy(project, call):
    bad = ("run", "-q", "--target", "bad")
    assert call(*bad)[0] == 1
    code, out, _ = call("baseline", "--target", "bad")
    assert code == 0 and "1 finding" in out
    code, out, _ = call(*bad, "--baseline", "nllcheck-baseline.toml")
    assert code == 0 and out.startswith("ok bad: no errors, no warnings, ") and out.endswith(", 1 accepted\n")
    assert call(*bad, "--ignore", "NLL101")[0] == 0
    (project / "pyproject.toml").write_text(CONFIG + GATE)
    assert call(*bad, "--fail-on", "error")[0] == 0 and call(*bad, "--fail-on", "warning")[0] == 1
    (project / "pyproject.toml").write_text(CONFIG)
    write(project, comment="  # nllcheck: ignore[NLL101] logits are bounded")
    assert call(*bad)[0] == 0
    write(project, comment="  # nllcheck: ignore[NLL101]")
    code, out, err = call(*bad)
    assert (code, out) == (2, "") and "must give its reason" in err and "losses.py:6" in err


BAD_WORDS = {
    "unknown rule": (("--ignore", "NLL9"), "no rule begins with 'NLL9'"),
    "baseline": (("--baseline", "none.toml"), "no such baseline"),
    "jobs": (("--jobs", "0"), "greater than or equal to 1"),
    "target": (("--target", "bda"), "did you mean 'bad'"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_what_cannot_be_read_is_refused_before_the_work(project, call, monkeypatch, case):
    monkeypatch.setattr("nllcheck.cli.evaluate.check", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr("nllcheck.cli.evaluate._side_by_side", lambda *_: pytest.fail("it ran"))
    words, message = BAD_WORDS[case]
    code, out, err = call("run", *words)
    assert (code, out) == (2, "") and message in re.sub(r"[\s│]+", " ", err)


BAD_CONFIG = {
    "unknown key": (CONFIG.replace("points", "pionts"), "unknown key 'pionts'.*did you mean 'points'"),
    "unknown key of a target": (CONFIG.replace("model =", "modle ="), "unknown key 'modle'.*did you mean 'model'"),
    "bad severity": (CONFIG + GATE.replace("warning", "warn"), "cannot be 'warn'"),
    "severity no table": (CONFIG.replace("points = 17", 'severity = "note"'), "must be a table"),
    "unknown rule": (CONFIG + GATE.replace("NLL101", "NLL1x"), "no rule begins with 'NLL1x'"),
    "select no list": (CONFIG.replace("points = 17", "select = 3"), "must be text"),
    "baseline": (CONFIG.replace("points = 17", 'baseline = "none.toml"'), "no such baseline"),
}


@pytest.mark.parametrize("case", BAD_CONFIG)
def test_a_bad_config_never_passes(project, call, case):
    text, message = BAD_CONFIG[case]
    (project / "pyproject.toml").write_text(text)
    code, out, err = call("run")
    assert (code, out) == (2, "")
    assert re.search(message, err.replace("\n", " "))


# --- jobs and their cache


def test_jobs_are_the_targets_and_survive_the_way_to_another_process(project):
    jobs = plan(NOTHING, {})
    assert [job.name for job in jobs] == ["bad", "good"] and jobs[0].settings.points == 17
    assert {Path(path).name for path in jobs[0].files} == {"model.pt", "batch.pt"}
    assert [_job(json.loads(packed(job, "k"))["job"]) for job in jobs] == jobs
    (one,) = plan({**NOTHING, "paths": (str(project / "model.pt"),), "target": "good"}, {"seed": 3})
    assert one.name == "good" and one.settings.seed == 3


@pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS.keys())
def test_a_stored_report_comes_back_whole(make):
    report = make()
    assert repr(stored.decode(json.loads(stored.dumps(stored.encode(report))))) == repr(report)


@pytest.mark.parametrize("broken", [None, [], {}, {"facts": 1}, "x", {**stored.encode(realistic()), "fail_on": 3}])
def test_what_is_no_stored_report_is_refused(broken):
    with pytest.raises(ValueError, match="stored"):
        stored.decode(broken)


def keep(path: Path) -> None:
    path.write_text("1")
    os.utime(path, (1, 1))
    cache.store("name", realistic(), [path], since=2.0)


def test_the_cache_answers_while_nothing_changed(tmp_path):
    path = tmp_path / "losses.py"
    keep(path)
    found = cache.find("name")
    assert found is not None and repr(found) == repr(realistic())
    assert cache.find("other") is None
    path.write_text("2")
    assert cache.find("name") is None
    path.unlink()
    assert cache.find("name") is None
    os.mkfifo(path)  # nobody writes to it: reading would wait for ever
    assert cache.find("name") is None


def test_nothing_incomplete_and_nothing_touched_meanwhile_is_kept(tmp_path):
    path = tmp_path / "losses.py"
    path.write_text("1")
    cache.store("touched", realistic(), [path], since=0.0)
    os.utime(path, (1, 1))
    cache.store("cut", REPORTS["incomplete"](), [path], since=2.0)
    cache.store("gone", realistic(), [tmp_path / "nowhere"], since=2.0)
    assert [cache.find(name) for name in ("touched", "cut", "gone")] == [None] * 3


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 99999, '{"files": {}, "report": {}}', '{"files": 3, "report": {}}', "\udcff"]
)
def test_a_broken_entry_is_no_entry(tmp_path, text):
    keep(tmp_path / "a.py")
    (cache.folder() / "name.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert cache.find("name") is None


def test_old_entries_go(tmp_path):
    keep(tmp_path / "a.py")
    old = time.time() - cache.KEPT - 1
    os.utime(cache.folder() / "name.json", (old, old))
    cache.store("next", realistic(), [tmp_path / "a.py"], since=2.0)
    assert cache.find("name") is None and cache.find("next") is not None


CHANGES = {
    "another option": lambda job: replace(job, given={"seed": 1}, settings=job.settings.updated(Settings(seed=1))),
    "another loss": lambda job: replace(job, request={**job.request, "loss": "x:y"}),
    "another target": lambda job: replace(job, request={**job.request, "target": "good"}),
    "rules of one's own": lambda job: replace(job, settings=job.settings.updated(Settings(rules=("r",)))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_key_covers_what_was_asked(project, change):
    (project / "r").mkdir()
    job = plan(NOTHING, {})[0]
    assert job.key == plan(NOTHING, {})[0].key != change(job).key


def test_the_key_leaves_out_what_is_decided_afterwards(project):
    job = plan(NOTHING, {})[0]
    decided = job.settings.updated(Settings(ignore=("NLL1",), baseline="b", severity=(("NLL1", "note"),)))
    assert replace(job, settings=decided).key == job.key
    (project / "pyproject.toml").write_text(CONFIG + GATE)
    assert plan(NOTHING, {})[0].key == job.key
    (project / "pyproject.toml").write_text(CONFIG.replace("losses.py:nll", "losses.py:good"))
    assert plan(NOTHING, {})[0].key != job.key


def test_an_unchanged_target_needs_no_torch(project, call):
    code, out, err = call("run", "--target", "good", "--format", "json")
    assert (code, err) == (0, "")
    words = ["-c", "import sys; sys.argv[1:] = 'run --target good --format json'.split()\n"
             "from nllcheck import cli\ntry:\n    cli.main()\n"
             "finally:\n    assert 'torch' not in sys.modules and 'pandas' not in sys.modules"]  # fmt: skip
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env={**os.environ})
    assert done.stdout == out and "answered from the cache" in done.stderr, done.stderr
    assert "cache" not in call("run", "--target", "good", "--format", "json", "--no-cache")[2]


def test_a_crash_of_one_check_is_told_and_costs_the_others_nothing(project, monkeypatch):
    (project / "losses.py").write_text("import os\nos._exit(7)\n")
    reports, _ = evaluated(plan(NOTHING, {}), lambda text: None, True, 2)
    assert [report.incomplete[0] for report in reports] == ["the check ended with code 7"] * 2


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_keeps_what_was_done_and_is_never_a_pass(project):
    started = project / "started"
    wait = f"    import pathlib, time\n    pathlib.Path({str(started)!r}).touch()\n    time.sleep(120)\n"
    losses = (project / "losses.py").read_text()
    (project / "losses.py").write_text(
        losses.replace("def good(output, target):\n", f"def good(output, target):\n{wait}")
    )
    command = [sys.executable, "-m", "nllcheck", "run", "-q", "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):  # until the second target's loss runs
        if process.poll() is not None or started.exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "interrupted: 1 of 2 targets done" in err and "Traceback" not in err
    assert "good: not evaluated: interrupted" in out and "NLL101" in out


def test_ctrl_c_of_a_single_target_concludes_nothing(project, call, monkeypatch):
    def pressed(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("nllcheck.cli.evaluate.check", pressed)
    code, out, err = call("run", "--target", "good")
    assert (code, out) == (4, "") and err == "error: interrupted, so nothing was concluded\n"
