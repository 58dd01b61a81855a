"""How much a verdict matters: one visible table from verdict, reach and rule to error, warning or note."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nllcheck.diagnose import nearness
from nllcheck.types import NEAR, Axis, Event, Judged, Severity

CLOSE = 2.0  # a limit this close deserves a word
NEGLIGIBLE = 1e-3  # of the usual size of the loss or gradient: digits lost there change nothing
MOST = 0.25  # of the values held by a clamp that was meant: a batch of which fewer are held is alive


@dataclass(frozen=True, slots=True)
class Case:
    """One judged failure under a rule's own severity (None: no rule explains it).

    `is_meant`: the op is a clamp that the user wrote, or one of a library.
    """

    judged: Judged
    rule: Severity | None
    is_meant: bool = False

    @property
    def event(self) -> Event:
        return self.judged.event

    @property
    def axis(self) -> Axis:
        assert self.event.axis is not None
        return self.event.axis

    @property
    def reach(self) -> float:
        return self.judged.reach


@dataclass(frozen=True, slots=True)
class Row:
    """Where it holds, the severity (`own`: the rule's, where one explains the failure), and why, for a person."""

    holds: Callable[[Case], bool]
    severity: Severity
    why: str
    own: bool = False

    def of(self, case: Case) -> Severity:
        return (case.rule or self.severity) if self.own else self.severity


def _always(case: Case) -> bool:
    return True


BATCH = (
    Row(lambda c: bool(c.event.reaches), "error", "the batch itself is not finite"),
    Row(_always, "note", "the batch shows it, but neither loss nor gradient do"),
)
INSIDE = (Row(_always, "note", "only moving a value inside the loss was seen to lead there"),)
SILENT = (
    Row(
        lambda c: c.event.on_batch and c.is_meant and 0 < c.event.share < MOST,
        "note",
        "the bound is plainly meant and holds less than a quarter of the batch",
    ),
    Row(lambda c: c.event.on_batch, "warning", "the batch itself shows it"),
    Row(lambda c: c.is_meant, "note", "the bound is plainly meant, or a library's own, and the batch is alive"),
    Row(lambda c: c.event.weight < NEGLIGIBLE, "note", "what it touches there is below a thousandth of its usual size"),
    Row(lambda c: c.reach > CLOSE, "note", "it is further away than twice the batch's range"),
    Row(
        lambda c: c.event.kind == "precision" and nearness.is_shrunk(c.event),
        "note",
        f"a trained number would have to shrink to less than a share of 1/{NEAR:g} first",
    ),
    Row(lambda c: nearness.is_sliver(c.event), "note", "it holds in less than a hundredth of the batch's range"),
    Row(_always, "warning", "it is within twice the batch's range"),
)
SIGNS = (
    Row(lambda c: c.judged.verdict != "defect", "note", "the computed sign is right, or nothing proves it wrong"),
    Row(lambda c: c.event.weight < NEGLIGIBLE, "note", "the gradient there is below a thousandth of its usual size"),
    Row(lambda c: c.reach > NEAR, "note", f"it is further away than {NEAR:g} times the batch's range"),
    Row(lambda c: _is_lone(c.event), "note", "one point alone shows it"),
    Row(lambda c: nearness.is_hair(c.event), "note", "it holds in less than a millionth of the batch's range"),
    Row(lambda c: c.reach <= CLOSE, "error", "the gradient points the wrong way within twice the batch's range"),
    Row(_always, "warning", f"the gradient points the wrong way within {NEAR:g} times the batch's range"),
)
STRUCTURE = (  # rows or tensors that coincide or vanish, another mask or other labels
    Row(lambda c: c.axis.mode == "batch" and c.reach > CLOSE, "note", "a loader hardly makes such a batch"),
    Row(
        lambda c: c.axis.goal == "found alone" and nearness.is_dust(c.axis),
        "note",
        "it needs a value just next to 0, and not 0",
    ),
    Row(lambda c: c.rule == "note", "note", "its rule is a note"),
    Row(lambda c: c.judged.verdict == "defect", "warning", "a float could be right there, and training can come there"),
    Row(
        lambda c: c.judged.verdict == "limit" and _is_target(c) and c.axis.mode == "toward",
        "note",
        "no float could be right at such targets",
    ),
    Row(
        lambda c: c.judged.verdict == "limit" and nearness.is_met(c.event, c.axis.goal),
        "warning",
        "no float could be right there, but training can come there",
    ),
    Row(_always, "note", "no float could be right there, or nothing proves that one could"),
)
DEFECT = (
    Row(lambda c: nearness.is_lost(c.judged), "note", "the exact loss is beyond 1e16 there: training is lost already"),
    Row(lambda c: nearness.is_speck(c.event), "note", "only values just next to 0 show it, and 0 does not"),
    Row(lambda c: _is_target(c) and c.reach <= 1.0, "error", "it is within the targets' own range", own=True),
    Row(lambda c: _is_target(c) and _is_expected(c), "warning", "it is close to the targets, or the loss asks for it"),
    Row(lambda c: _is_target(c), "note", "it is further away than twice the targets' range"),
    Row(lambda c: c.reach <= NEAR, "error", f"it is within {NEAR:g} times the batch's range", own=True),
    Row(
        lambda c: nearness.is_ordinary(c.axis, nearness.first(c.event)),
        "error",
        "a model's raw output is often that large",
        own=True,
    ),
    Row(lambda c: not _is_possible(c), "note", "it is far from the batch, and no value that a model is known to give"),
    Row(
        lambda c: nearness.is_left_alone(c.judged, c.rule),
        "note",
        "the loss is flat there, so training has no reason to go there",
    ),
    Row(_always, "warning", "it is far from the batch, but a model can give such a value", own=True),
)
LIMIT = (
    Row(
        lambda c: c.rule in ("error", "warning") and nearness.is_trap_at_zero(c.event),
        "warning",
        "the loss is fine at 0 and its gradient is not, and a 0 is a common value",
    ),
    Row(
        lambda c: c.reach > CLOSE,
        "note",
        "no float could be right there, and it is further away than twice the batch's range",
    ),
    Row(
        lambda c: _is_target(c) and not nearness.is_everywhere(c.event),
        "note",
        "no float could be right at such targets",
    ),
    Row(
        lambda c: nearness.is_left_alone(c.judged, c.rule),
        "note",
        "the loss is flat there, so training has no reason to go there",
    ),
    Row(lambda c: nearness.is_speck(c.event), "note", "only values just next to 0 show it, and 0 does not"),
    Row(
        lambda c: c.axis.role == "weight" and nearness.is_passed(c.event),
        "warning",
        "a trained number may pass 0, but hardly comes to stand on it",
    ),
    Row(_always, "warning", "no float could be right there, and it is within twice the batch's range", own=True),
)
OTHERS = (Row(_always, "note", "nothing proves that the loss should have another value there"),)
TABLES = (BATCH, INSIDE, SILENT, SIGNS, STRUCTURE, DEFECT, LIMIT, OTHERS)


def table_of(case: Case) -> tuple[Row, ...]:
    """The table that a failure is looked up in: the first row that holds decides."""
    event, axis = case.event, case.event.axis
    if event.kind in ("nan", "inf", "raises") and event.on_batch:
        return BATCH
    if event.kind in ("precision", "dead-gradient"):
        return SILENT
    if axis is None or not axis.is_boundary:
        return INSIDE
    if event.kind == "sign-flip":
        return SIGNS
    if (axis.mode == "batch" and case.reach > CLOSE) or (axis.is_special and axis.goal != "found"):
        return STRUCTURE
    return {"defect": DEFECT, "limit": LIMIT}.get(case.judged.verdict, OTHERS)


def row_of(judged: Judged, rule: Severity | None, is_meant: bool = False) -> Row:
    """The row that decides."""
    case = Case(judged, rule, is_meant)
    return next(row for row in table_of(case) if row.holds(case))


def severity_of(judged: Judged, rule: Severity | None, is_meant: bool = False) -> Severity:
    """The severity of one judged failure under a rule's own severity (None: no rule explains it)."""
    return row_of(judged, rule, is_meant).of(Case(judged, rule, is_meant))


def weighed_of(judged: Judged, rule: Severity | None, is_meant: bool = False) -> str:
    """Why it is so severe, or no more than a note, for a person."""
    return row_of(judged, rule, is_meant).why


def _is_lone(event: Event) -> bool:
    return bool(event.region) and event.region[0][0] == event.region[0][1]


def _is_target(case: Case) -> bool:
    return case.axis.role == "target"


def _is_expected(case: Case) -> bool:
    low, high = case.axis.expected
    return case.reach <= CLOSE or low <= nearness.at(case.event) <= high


def _is_possible(case: Case) -> bool:
    return case.axis.mode != "scale" and nearness.is_plausible(case.axis, nearness.first(case.event))
