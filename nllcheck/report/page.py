"""The page of a report: its lines as `rich.text.Text`, laid out to a width.

Only `Text` objects are made, never markup: a user's `[nan]` or `[..., 4]` stays what it is. Colour repeats
what words and symbols say; it carries nothing alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nllcheck.report import Report, brief, digits, maps, margins, source, spelling, strip, words
from nllcheck.report.sheet import INDENT, Sheet, styled
from nllcheck.types import Facts, Finding, SweepTable

if TYPE_CHECKING:
    from rich.text import Text

BADGES = {"error": "bold white on red", "warning": "black on yellow", "note": "black on cyan"}
BRIEF = ("reach", "also", "advice")  # of what lies behind another failure
MOST_LINES = 4  # of a note's sentence
SEARCHED = {
    "found": "made to fail",
    "safe": "safe",
    "not reached": "could not be made to fail",
    "not searched": "not searched",
}
STYLES = {strip.NAN: "bold red", strip.INFINITE: "bold red", strip.FIRST_BAD: "bold red"}


class Page(Sheet):
    """The lines of one report; every method returns lines that fit `width`."""

    def __init__(self, report: Report, width: int, verbose: bool) -> None:
        super().__init__(width)
        self.report, self.verbose = report, verbose
        self.shown: dict[str, str] = {}  # every symbol of the strips so far, a row each

    def lines(self) -> list[Text]:
        loud = [finding for finding in self.report.findings if finding.severity != "note" or self.verbose]
        quiet = [finding for finding in self.report.findings if finding not in loud]
        body = self.head()
        for finding, same in brief.grouped(loud, self.verbose):
            before = [] if self.verbose else loud[: loud.index(finding)]
            behind = any(brief.is_behind(finding, other) for other in before)
            body += (self.again(finding) if behind else self.finding(finding)) + self.same(same)
        body += self.notes(quiet) + self.maps() + self.margins() + self.digits() + self.remarks()
        return body + self.legend() + self.summary()

    # --- head

    def head(self) -> list[Text]:
        facts = self.report.facts
        named = f"{self.report.name}: " if self.report.name not in ("", facts.target) else ""
        title = styled(("nllcheck", "bold"), f"  {spelling.clean(named + facts.target)}")
        if not self.report.evaluated:
            return self.wrap(title, self.width)
        found = [*self.wrap(title, self.width), *self.block("loss", spelling.clean(facts.loss_name))]
        found += self.block("batch", _on_batch(facts)) + self.block("checked", words.coverage(self.report))
        if facts.capture == "eager":
            found += self.block("", "op by op: the loss could not be captured as a graph")
        if facts.flush_denormals:
            found += self.block("", "subnormal numbers are flushed to zero")
        for ops in facts.shortened:
            found += self.block("", f"{ops} of float32 are rounded to fewer bits here, as TF32 does")
        return found + (self.details(facts) if self.verbose else [])

    def details(self, facts: Facts) -> list[Text]:
        pairs = [("seed", str(facts.seed)), *facts.versions, *facts.settings]
        return self.block("with", ", ".join(spelling.clean(f"{name} {value}") for name, value in pairs))

    # --- one finding

    def finding(self, finding: Finding) -> list[Text]:
        table = self.table_of(finding)
        head = [self.rule(_title(finding)), *self.paragraph(spelling.prose(finding.message))]
        groups = [head, self.where(finding), self.when(finding, table), self.what(finding, table)]
        return [line for group in groups if group for line in (styled(""), *group)]

    def again(self, finding: Finding) -> list[Text]:
        """One that lies behind another: in short."""
        table = self.table_of(finding)
        sentence = words.when(finding, self.report.facts, table)
        told = [*self.paragraph(spelling.prose(finding.message)), styled("")]
        told += self.block("at", *([words.place(finding.site)] if finding.site else []))
        told += self.block("how", *source.chain_rows(finding, self.room))
        told += self.block("when", styled((sentence, "bold"))) if sentence else []
        rows = words.rows(finding, self.report.facts, table, False)
        told += [line for label, said in rows if label in BRIEF for line in self.block(label, said)]
        return [styled(""), self.rule(_title(finding)), *told]

    def same(self, others: list[Finding]) -> list[Text]:
        """The same offence at other lines, a line each."""
        return self.block("same", *brief.same_rows(others, self.report.facts, self.report.sweeps))

    def table_of(self, finding: Finding) -> SweepTable | None:
        return next((t for t in self.report.sweeps if t.axis.label == finding.axis), None)

    def where(self, finding: Finding) -> list[Text]:
        """The line to edit, and the lines the failure passes."""
        found: list[str | Text] = []
        if finding.site:
            place = styled((words.place(finding.site), "bold"), f" in {spelling.clean(finding.site.function)}")
            found.append(place)
            found += _code(source.crop(finding.site, self.room))
        return self.block("at", *found) + self.block("how", *source.chain_rows(finding, self.room))

    def when(self, finding: Finding, table: SweepTable | None) -> list[Text]:
        """The threshold in words, then the axis drawn."""
        sentence = words.when(finding, self.report.facts, table)
        return (self.block("when", styled((sentence, "bold"))) if sentence else []) + self.strip(finding, table)

    def strip(self, finding: Finding, table: SweepTable | None) -> list[Text]:
        bad, good = finding.threshold, finding.last_good
        label = "" if bad is None else spelling.exact(bad, self.report.facts.dtype)
        built = strip.build(table, self.room, bad=bad, good=good, label=label) if table else None
        if built is None:
            return []
        self.shown = {row: self.shown.get(row, "") + getattr(built, row) for row in strip.LEGEND}
        rows = (("loss", built.loss), ("slope", built.slope), ("", built.marks), ("", built.scale))
        return [line for label, row in rows if row for line in self.block(label, _painted(row))]

    def what(self, finding: Finding, table: SweepTable | None) -> list[Text]:
        """How near it is, what would be right, what to write instead, how to see it again."""
        rows = words.rows(finding, self.report.facts, table, self.verbose)
        found = [line for label, sentence in rows for line in self.block(label, sentence)]
        if finding.fix:
            code = [styled((spelling.clean(row), "bold")) for row in finding.fix.strip("\n").splitlines()]
            found += self.block("instead", *code, "(a suggestion, not yet tried on your code)")
        return found + self.block("rerun", *source.shell_lines(spelling.clean(finding.command), self.room))

    # --- after the findings

    def notes(self, quiet: list[Finding]) -> list[Text]:
        """Two to five lines a note: what and where, then the sentence, cut where it runs on."""
        told, short = brief.split(quiet)
        found: list[Text] = []
        for note in told:
            place = f"  {words.place(note.site)}" if note.site else ""
            head = _title(note).append(place)
            head.truncate(self.width - 1, overflow="ellipsis")
            sentence = self.wrap(spelling.prose(note.message), self.width - INDENT - 3)
            if len(sentence) > MOST_LINES:
                sentence = [*sentence[: MOST_LINES - 1], styled(sentence[MOST_LINES - 1].plain.rstrip() + " …")]
            found += [styled(""), head, *(styled(" " * INDENT).append_text(line) for line in sentence)]
        return found + (self.further(short) if short else [])

    def further(self, short: list[Finding]) -> list[Text]:
        """What else is not finite somewhere, and no alarm: a line each."""
        head = styled((f" {len(short)} NOTES ", BADGES["note"]), " not finite either, but no alarm; ", brief.LEGEND)
        rows = brief.rows(short, self.report.facts, self.report.sweeps, self.width - INDENT - 1)
        return [styled(""), *self.wrap(head, self.width - 1), *(line for row in rows for line in self.paragraph(row))]

    def maps(self) -> list[Text]:
        """Two axes at once: the sentence, then the map."""
        found: list[Text] = []
        for one in maps.told(self.report, self.verbose):
            drawn = maps.drawn(one, self.room)
            lines = [styled(line) for line in drawn] if one.nearest else []
            found += [styled(""), *self.block("pair", styled((maps.sentence(one), "bold")))]
            found += [line for text in lines for line in self.block("", text)]
            found += self.block("", maps.legend(one, self.room)) if lines else []
        return found

    def margins(self) -> list[Text]:
        """The break map: where each axis stops being finite, in every dtype."""
        facts = self.report.facts
        told = margins.rows(self.report.breaks, facts.dtype, self.verbose)
        head = ["first values at which loss or gradient is not finite, and how far the batch is from them:"]
        return [styled(""), *self.block("margins", *head, *told)] if told else []

    def digits(self) -> list[Text]:
        """Source lines whose results have few right bits near the batch."""
        told = digits.rows(self.report.bits, self.verbose)
        of = digits.SIGNIFICAND.get(self.report.facts.dtype, 0)
        head = f"of {of}, how many of a line's result are right, near the batch's range:"
        return [styled(""), *self.block("bits", head, *told)] if told else []

    def remarks(self) -> list[Text]:
        report = self.report
        found = [line for said in report.notes for line in self.block("remark", spelling.prose(said))]
        for one in report.accepted:
            site = f" {words.place(one.finding.site)}" if one.finding.site else ""
            said = f"{one.finding.rule} {one.finding.name}{site}: {one.how}, {one.reason}"
            found += self.block("accepted", spelling.prose(said))
        found += [line for said in report.skipped for line in self.block("skipped", spelling.prose(said))]
        found += self.searched() if self.verbose else []
        for said in report.incomplete:
            found += self.block("MISSING", styled((spelling.prose(said), "bold")))
        return [styled(""), *found] if found else []

    def searched(self) -> list[Text]:
        """What became of every op that could fail and does not on any axis."""
        told = []
        for one in self.report.searched:
            place = f" {words.place(one.site)}" if one.site else ""
            told.append(f"{one.op}{place}: {SEARCHED[one.outcome]}, {one.text}")
        return [line for said in dict.fromkeys(told) for line in self.block("searched", spelling.prose(said))]

    def legend(self) -> list[Text]:
        """The symbols that were shown, and no others."""
        said = {row: [told for symbol, told in strip.LEGEND[row] if symbol in self.shown[row]] for row in self.shown}
        rows = [f"{row:<7}" + "   ".join(told) for row, told in said.items() if told]
        return [styled(""), *self.block("legend", *rows)] if rows else []

    def summary(self) -> list[Text]:
        """The tally; where nothing fails, also what "nothing" was looked for in."""
        report = self.report
        good = report.exit_code == 0 and report.facts.points > 0
        said = styled(
            ("OK  " if good else "", "bold green"), (words.tally(report), "bold"), f" · exit {report.exit_code}"
        )
        if report.worst in (None, "note") and report.evaluated:
            swept = f"covered {words.coverage(report)}" if report.facts.points else "nothing was swept: the batch only"
            said.append(f"\n{swept}")
        return [styled(""), self.rule(styled("")), *self.wrap(said, self.width)]


def _title(finding: Finding) -> Text:
    badge = (f" {finding.severity.upper()} ", BADGES[finding.severity])
    return styled(
        badge, (f" {spelling.clean(finding.rule)} {spelling.clean(finding.name)}", "bold"), f" · {finding.verdict}"
    )


def _on_batch(facts: Facts) -> Text:
    line = styled("loss ", (spelling.number(facts.loss), "bold" if math.isfinite(facts.loss) else "bold red"))
    norm = facts.gradient_norm
    return line if math.isnan(norm) else line.append(f", gradient norm {spelling.number(norm, 3)}")


def _code(crop: source.Crop | None) -> list[str | Text]:
    """The guilty expression in bold and, for those who see no bold, underlined by a line of its own."""
    if crop is None:
        return []
    code = styled(crop.text)
    code.stylize("bold", crop.start, crop.stop)
    return [code, styled((crop.marker, "bold red"))] if crop.marker else [code]


def _painted(row: str) -> Text:
    return styled(*((character, STYLES.get(character, "")) for character in row))
