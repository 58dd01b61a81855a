"""The report as text for a terminal. Pure: width, colour and character set are arguments.

Only `rich.text.Text` objects are printed, never markup: a user's `[nan]` or `[..., 4]` stays what it is.
Colour repeats what words and symbols say; it carries nothing alone. `·` and dim text are decoration.
"""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, TextIO

from nllcheck.report import Report, source, strip, words
from nllcheck.types import SEVERITIES, Facts, Finding, SweepTable

if TYPE_CHECKING:
    from rich.text import Text

PIPED_WIDTH = 120
LEGEND = (
    ("loss", ((strip.FINITE, "· finite"), (strip.NEGATIVE, "- below 0"), (strip.INFINITE, "∞ infinite"), (strip.NAN, "N NaN"))),
    ("slope", ((strip.RISING, "+ rising"), (strip.FALLING, "- falling"), (strip.FLAT, "0 flat"), (strip.BOTH, "± both"))),
    ("axis", ((strip.BATCH_LEFT, "[==] the batch's own range"), (strip.BATCH_POINT, "# the batch's own value"), (strip.FIRST_BAD, "▲ first failing value"))),
)
LABEL = 9  # "instead" and two blanks
INDENT = 2
BADGES = {"error": "bold white on red", "warning": "black on yellow", "note": "black on cyan"}
STYLES = {strip.NAN: "bold red", strip.INFINITE: "bold red", strip.FIRST_BAD: "bold red"}
ASCII = str.maketrans(
    {"·": ".", "∞": "I", "±": "*", "▲": "^", "─": "-", "→": ">", "…": "~", "×": "x", "—": "-", "“": '"', "”": '"'}
)


def render(
    report: Report, width: int = PIPED_WIDTH, color: bool = False, verbose: bool = False, ascii_only: bool = False
) -> str:
    """The whole report, no line wider than `width` cells (40 at least); ends with a newline.

    `verbose` shows notes in full and adds why, verdict, seed and versions.
    """
    width = max(width, 40)
    lines = _Page(report, width, verbose).lines()
    text = _ansi(lines, width) if color else "".join(line.plain.rstrip() + "\n" for line in lines)
    return text.translate(ASCII).encode("ascii", "replace").decode() if ascii_only else text


def show(report: Report, stream: TextIO | None = None, verbose: bool = False) -> None:
    """Print to `stream` (stdout) in its own width, colour and character set; `NO_COLOR` is honoured."""
    stream = stream or sys.stdout
    tty = stream.isatty()
    color = tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    stream.write(render(report, _columns(stream) if tty else PIPED_WIDTH, color, verbose, not _unicode(stream)))


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _unicode(stream: TextIO) -> bool:
    try:
        "".join(map(chr, ASCII)).encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _console(width: int):  # noqa: ANN202
    from rich.console import Console

    options = {"color_system": "standard", "force_terminal": True, "force_jupyter": False, "no_color": False}
    return Console(width=width, highlight=False, markup=False, emoji=False, legacy_windows=False, **options)


def _ansi(lines: list[Text], width: int) -> str:
    console = _console(width)
    with console.capture() as captured:
        for line in lines:
            console.print(line, no_wrap=True, crop=False, overflow="ignore")
    return captured.get()


def _text(*parts: str | tuple[str, str]) -> Text:
    from rich.text import Text

    return Text.assemble(*parts)


class _Page:
    """The lines of one report; every method returns lines that fit `width`."""

    def __init__(self, report: Report, width: int, verbose: bool) -> None:
        self.report, self.width, self.verbose = report, width, verbose
        self.room = width - INDENT - LABEL - 1  # cells for what stands beside a label; one stays free
        self.console = _console(width)
        self.symbols: dict[str, str] = {"loss": "", "slope": "", "axis": ""}  # shown so far, for the legend

    def lines(self) -> list[Text]:
        loud = [finding for finding in self.report.findings if finding.severity != "note" or self.verbose]
        quiet = [finding for finding in self.report.findings if finding not in loud]
        body = self.head()
        for finding in loud:
            body += self.finding(finding)
        return body + self.notes(quiet) + self.remarks() + self.legend() + self.summary()

    # --- building blocks

    def wrap(self, text: str | Text, room: int) -> list[Text]:
        body = _text(text) if isinstance(text, str) else text
        return list(body.wrap(self.console, room, overflow="fold", tab_size=1))

    def block(self, label: str, text: str | Text) -> list[Text]:
        """A dim label and, hanging beside it, the wrapped text."""
        margin = " " * INDENT
        first, rest = margin + label.ljust(LABEL), margin + " " * LABEL
        wrapped = self.wrap(text, self.room)
        return [_text((rest if i else first, "dim")).append_text(line) for i, line in enumerate(wrapped)]

    def paragraph(self, text: str) -> list[Text]:
        return [_text(" " * INDENT).append_text(line) for line in self.wrap(text, self.width - INDENT - 1)]

    def rule(self, head: Text) -> Text:
        head.truncate(self.width - 4, overflow="ellipsis")
        return head.append(" " + "─" * (self.width - head.cell_len - 1), "dim")

    # --- head

    def head(self) -> list[Text]:
        facts = self.report.facts
        title = _text(("nllcheck", "bold"), f"  {words.clean(facts.target)}")
        title.truncate(self.width, overflow="ellipsis")
        found = [title, *self.block("loss", _loss_line(facts)), *self.block("checked", words.coverage(self.report))]
        if facts.capture == "eager":
            found += self.block("", "op by op: the loss could not be captured as a graph")
        if facts.flush_denormals:
            found += self.block("", "subnormal numbers are flushed to zero")
        return found + (self.details(facts) if self.verbose else [])

    def details(self, facts: Facts) -> list[Text]:
        pairs = [("seed", str(facts.seed)), *facts.versions, *facts.settings]
        return self.block("with", ", ".join(words.clean(f"{name} {value}") for name, value in pairs))

    # --- one finding

    def finding(self, finding: Finding) -> list[Text]:
        facts = self.report.facts
        table = next((t for t in self.report.sweeps if t.axis.label == finding.axis), None)
        found = [_text(""), self.rule(_title(finding)), *self.paragraph(words.prose(finding.message)), _text("")]
        found += self.where(finding) + self.way(finding)
        when = words.when(finding, facts, table)
        found += self.block("when", _text((when, "bold"))) if when else []
        found += self.strip(finding, table) if table else []
        for label, sentence in words.rows(finding, facts, table, self.verbose):
            found += self.block(label, sentence)
        return found + self.instead(finding) + self.command(finding.command)

    def where(self, finding: Finding) -> list[Text]:
        if finding.site is None:
            return []
        found = self.block("at", _text((words.place(finding.site), "bold")))
        crop = source.crop(finding.site, self.room)
        if not crop:
            return found
        code = _text(crop.text)
        code.stylize("bold", crop.start, crop.stop)
        found += self.block("", code)
        return found + (self.block("", _text((crop.marker, "bold red"))) if crop.marker else [])

    def way(self, finding: Finding) -> list[Text]:
        return [
            line
            for i, row in enumerate(source.chain_rows(finding, self.room))
            for line in self.block("" if i else "how", row)
        ]

    def strip(self, finding: Finding, table: SweepTable) -> list[Text]:
        bad, good = finding.threshold, finding.last_good
        label = "" if bad is None else words.exact(bad, self.report.facts.dtype)
        built = strip.build(table, self.room, bad=bad, good=good, label=label)
        if built is None:
            return []
        shown = {"loss": built.loss, "slope": built.slope, "axis": built.marks}
        self.symbols = {row: self.symbols[row] + text for row, text in shown.items()}
        rows = [("loss", built.loss), ("slope", built.slope), ("", built.marks), ("", built.scale)]
        return [line for label, row in rows if row for line in self.block(label, _painted(row))]

    def instead(self, finding: Finding) -> list[Text]:
        if not finding.fix:
            return []
        code = [words.clean(line) for line in finding.fix.strip("\n").splitlines()]
        found = [line for i, row in enumerate(code) for line in self.block("" if i else "instead", _text((row, "bold")))]
        return [*found, *self.block("", "(a suggestion, not yet tried on your code)")]

    def command(self, command: str) -> list[Text]:
        if not command:
            return []
        rows = source.shell_lines(words.clean(command), self.room)
        return [line for i, row in enumerate(rows) for line in self.block("" if i else "again", row)]

    # --- after the findings

    def notes(self, quiet: list[Finding]) -> list[Text]:
        """Two or three lines a note: what and where, then the sentence, cut where it runs on."""
        found: list[Text] = []
        for note in quiet:
            place = f"  {words.place(note.site)}" if note.site else ""
            head = _title(note).append(place)
            head.truncate(self.width - 1, overflow="ellipsis")
            sentence = self.wrap(words.prose(note.message), self.width - INDENT - 3)
            if len(sentence) > 2:
                sentence = [sentence[0], _text(sentence[1].plain.rstrip() + " …")]
            found += [_text(""), head, *(_text(" " * INDENT).append_text(line) for line in sentence)]
        return found

    def remarks(self) -> list[Text]:
        labelled = [("remark", note) for note in self.report.notes]
        labelled += [("skipped", what) for what in self.report.skipped]
        labelled += [("MISSING", what) for what in self.report.incomplete]
        found = [line for label, text in labelled for line in self.block(label, words.prose(text))]
        return [_text(""), *found] if found else []

    def legend(self) -> list[Text]:
        """Only the symbols that were shown."""
        rows = [(row, "   ".join(text for symbol, text in said if symbol in self.symbols[row])) for row, said in LEGEND]
        said = [line for row, text in rows if text for line in self.wrap(f"{row:<7}{text}", self.room)]
        return [_text(""), *(line for i, row in enumerate(said) for line in self.block("" if i else "legend", row))] if said else []

    def summary(self) -> list[Text]:
        report = self.report
        tally = words.tally(report)
        tone = "bold red" if report.exit_code else "bold green"
        good = "" if report.exit_code else "OK  "
        verdict = _text((good, tone), (tally, "bold"), f" · exit {report.exit_code}")
        covered = f"covered: {words.coverage(report)}" if report.worst in (None, SEVERITIES[-1]) else ""
        lines = [*self.wrap(verdict, self.width), *(self.wrap(covered, self.width) if covered else [])]
        return [_text(""), self.rule(_text("")), *lines]


def _title(finding: Finding) -> Text:
    badge = (f" {finding.severity.upper()} ", BADGES[finding.severity])
    return _text(badge, (f" {words.clean(finding.rule)} {words.clean(finding.name)}", "bold"), f" · {finding.verdict}")


def _loss_line(facts: Facts) -> Text:
    bad = "bold" if math.isfinite(facts.loss) else "bold red"
    line = _text(f"{words.clean(facts.loss_name)} = ", (words.number(facts.loss), bad), " on the batch")
    norm = facts.gradient_norm
    return line if math.isnan(norm) and math.isfinite(facts.loss) else line.append(f", gradient norm {words.number(norm)}")


def _painted(row: str) -> Text:
    return _text(*((character, STYLES.get(character, "")) for character in row))
