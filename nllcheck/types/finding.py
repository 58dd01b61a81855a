"""What is found: from an event by way of its verdict to a finding, and the head of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nllcheck.types.axis import Axis
from nllcheck.types.graph import Site
from nllcheck.types.words import Kind, Phase, Severity, VerdictName


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One station of a failure's way: what went wrong at this op, and where."""

    node: int
    op: str
    what: Literal["overflow", "underflow", "saturation", "absorption", "inf", "nan", "loss", "gradient"]
    site: Site | None
    value: float = float("nan")  # the offending element
    phase: Phase = "forward"


@dataclass(frozen=True, slots=True)
class Event:
    """A failure along one axis, attributed to the op where it is born."""

    kind: Kind
    phase: Phase  # 'forward': the loss is hit; 'backward': the loss is finite and only the gradient is hit
    node: int  # the op whose output (or whose gradient formula) is bad while its inputs are not
    axis: Axis | None  # None: seen on the batch as it is
    witness: float  # the simplest failing value of the axis
    threshold: tuple[float, float] | None  # (last good, first bad), adjacent floats of the dtype
    region: tuple[tuple[float, float], ...] = ()  # failing intervals among the points swept
    reaches: tuple[Literal["loss", "gradient"], ...] = ()
    already: Literal["loss", "gradient"] | None = None  # what is not finite at the last good value, by another op:
    already_by: int | None = None  # the first one
    loss: float = float("nan")  # at the witness
    slope: float = float("nan")
    chain: tuple[ChainStep, ...] = ()
    ranges: tuple[tuple[int, float, float], ...] = ()  # (node, min, max) of every float node at the witness
    on_batch: bool = False  # the batch itself shows it
    detail: str = ""  # numbers that belong in the message: "changes sign 31 times over 63 steps"
    share: float = 0.0  # failing share of the swept points
    onset: float | None = None  # where the gradient fails already, before the loss does
    weight: float = 1.0  # precision: size of what is inaccurate, as a share of what is typical on the batch's range


@dataclass(frozen=True, slots=True)
class Judged:
    """An event with its verdict."""

    event: Event
    verdict: VerdictName
    reach: float  # smallest factor on the observed range at which it happens; <= 1 inside it; inf: not reached
    reason: str  # one sentence with the number that decides
    reference_loss: float = float("nan")  # at the event's witness
    reference_slope: float = float("nan")
    reference: str = "float64"  # what they were computed with
    edge_loss: float = float("nan")  # the reference at the first value that fails, which may be nearer


@dataclass(frozen=True, slots=True)
class Finding:
    """What a person reads: one offence, one place, one fix. Field names are a contract."""

    rule: str  # "NLL101"; "NLL000" when no rule explains the failure
    name: str  # "log-of-softmax"
    kind: Kind
    verdict: VerdictName
    severity: Severity
    phase: Phase
    op: str
    site: Site | None
    message: str
    axis: str | None = None
    threshold: float | None = None  # the first failing value of `axis`
    last_good: float | None = None  # its neighbour, where this op still works
    already: Literal["loss", "gradient"] | None = None  # what another op has made non-finite at `last_good`
    already_by: str | None = None  # that op: "div at losses.py:21"
    reach: float | None = None
    witness: float | None = None
    loss: float | None = None
    slope: float | None = None
    reference_loss: float | None = None
    reference_slope: float | None = None
    reference: str = "float64"  # what the reference values were computed with
    observed: tuple[float, float] | None = None
    chain: tuple[ChainStep, ...] = ()
    fix: str | None = None
    advice: str | None = None
    why: str = ""
    reason: str = ""
    reaches: tuple[str, ...] = ()
    on_batch: bool = False
    also: tuple[str, ...] = ()  # other axes on which the same failure was located, in words
    command: str = ""  # reproduces it
    weighed: str = ""  # why the severity is what it is
    term: str | None = None  # of a loss that returns several: which of them fail, by name


@dataclass(frozen=True, slots=True)
class Facts:
    """What was checked, on what: the head of every report."""

    target: str
    loss_name: str
    loss: float  # on the batch, in the training dtype
    dtype: str
    device: str
    capture: Literal["graph", "eager"]
    ops: int
    points: int
    batches: int = 1
    flush_denormals: bool = False
    shortened: tuple[str, ...] = ()  # ops that get fewer bits than float32 has on this device: "matrix products"
    seed: int = 0
    versions: tuple[tuple[str, str], ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()  # per stage; left out of machine formats, which are byte-identical
    gradient_norm: float = float("nan")
    settings: tuple[tuple[str, str], ...] = field(default=())
    loss_site: Site | None = None  # where the loss is defined: for findings without a line of their own
