"""The vocabulary: frozen values that the stages hand to one another.

Nothing here holds a tensor and nothing here imports torch, so rules, reports and the command line can
speak these words without paying for the engine. Change a value with `dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Phase = Literal["forward", "backward"]
Zone = Literal["model", "loss"]
Kind = Literal[
    "nan",
    "inf",
    "raises",
    "negative-nll",
    "sign-flip",
    "precision",
    "dead-gradient",
    "wrong-density",
    "unbounded",
]
VerdictName = Literal["defect", "limit", "wrong-formula", "legitimate", "silent", "undecided"]
State = Literal["finite", "inf", "nan"]
Effort = Literal["quick", "default", "thorough"]

EFFORTS: tuple[Effort, ...] = ("quick", "default", "thorough")

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # worst first
NEAR = 10.0  # within this factor of the batch's range a defect counts in full
PLAUSIBLE = 200.0  # a raw output or weight of this size is possible for any network, whatever the batch shows


@dataclass(frozen=True, slots=True)
class Site:
    """A place in source code: the user's line that made an op."""

    path: str  # as Python names the file; reports shorten it against the working directory
    line: int  # 1-based
    function: str  # the function the line is in
    variable: str | None = None  # the name the line assigns the value to, if any
    source: str = ""  # the line's text, stripped at both ends
    span: tuple[int, int] | None = None  # columns of the expression within `source`, 0-based, end excluded


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument that is another node's value."""

    index: int


Arg = Any  # Ref | float | int | bool | str | None | tuple[Arg, ...]; spelled out in `Node.args`


@dataclass(frozen=True, slots=True)
class Node:
    """One op of the forward graph, in rule words."""

    index: int  # position in `Graph.nodes`
    op: str  # the rule name: "log", "softmax", "sub"; "input" for a placeholder, "constant" for a fixed value
    args: tuple[Arg, ...]  # Ref, Python scalars, None, or tuples of these; normalised (rsub -> sub, ...)
    aten: str = ""  # "aten.log.default"
    site: Site | None = None
    zone: Zone = "loss"
    name: str | None = None  # the user's own name: a variable, a parameter ("head.weight"), "output", "target"
    shape: tuple[int, ...] = ()
    dtype: str = ""  # "float32"
    kwargs: tuple[tuple[str, Arg], ...] = ()
    inside: tuple[str, ...] = ()  # the library's functions that the op stands in, innermost first


@dataclass(frozen=True, slots=True)
class Discarded:
    """A clamp, or the like, that is computed and then thrown away."""

    op: str
    guarded: int  # index of the value that it was meant for
    site: Site | None


@dataclass(frozen=True, slots=True)
class Graph:
    """The captured forward program as plain values; `loss` is the index of the scalar that is minimised."""

    nodes: tuple[Node, ...]
    loss: int
    outputs: tuple[int, ...] = ()  # the nodes that are the model's outputs
    targets: tuple[int, ...] = ()  # the nodes that are targets
    weights: frozenset[str] = frozenset()  # names of the leaves that are parameters
    discarded: tuple[Discarded, ...] = ()  # guards whose result nothing uses
    terms: tuple[tuple[str, int], ...] = ()  # what the loss sums, where it returns several: name and node
    buffers: tuple[int, ...] = ()  # the leaves that nobody trains


@dataclass(frozen=True, slots=True)
class Move:
    """One element that a found point puts elsewhere."""

    node: int  # index into Graph.nodes
    position: int  # in the flattened tensor
    name: str  # "output[3, 1]"
    start: float  # on the batch
    end: float
    observed: tuple[float, float] = (float("nan"), float("nan"))  # range of its tensor on the batch
    domain: tuple[float, float] = (float("-inf"), float("inf"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An op that could fail and does not on any axis: what the search for a failing point came to."""

    op: str
    site: Site | None
    outcome: Literal["found", "safe", "not reached", "not searched"]
    text: str  # "its argument is at least 1e-06", "best distance 0.03"


@dataclass(frozen=True, slots=True)
class Axis:
    """Something that can move, and how a point on it becomes a tensor.

    `set` writes the value into every selected element; `scale` multiplies the batch's own values by it;
    `toward` goes the share of the way to a special place, which is `goal`, where formulas have their poles;
    `batch` is another batch altogether, which only the label describes; `noise` adds a fixed draw, times the value.
    """

    label: str  # what reports call it: "rho_raw", "output[..., 4]", "sigma"
    node: int  # index into Graph.nodes
    role: Literal["output", "weight", "input", "target", "hidden", "intermediate"]
    mode: Literal["set", "scale", "toward", "batch", "noise"] = "set"
    goal: Literal[
        "", "zero row", "constant row", "equal rows", "equal", "equal row", "found", "found constant", "found alone"
    ] = ""
    other: int = -1  # index of the node that `equal` and `equal row` speak of
    channel: tuple[int, int] | None = None  # [start, stop) of the last dimension; None moves all of it
    selector: str = ""  # what `--sweep` takes: "output[...,4]"
    observed: tuple[float, float] = (float("nan"), float("nan"))  # range on the batch, in the axis' own unit
    domain: tuple[float, float] = (float("-inf"), float("inf"))  # values the node can take at all
    requested: bool = False  # asked for by the user
    moves: tuple[Move, ...] = ()  # to the point that a search found; `found alone`: no other point near it fails
    remark: str = ""  # how it was found
    with_it: tuple[int, ...] = ()  # further nodes that are scaled, or get noise, together with `node`

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes that move, the first being `node`; what a search has found moves those of its `moves`."""
        return self.node, *self.with_it

    @property
    def is_special(self) -> bool:
        """Does the label say all (a row that vanishes, a batch of one class), and a value nothing?"""
        return self.mode in ("toward", "batch")

    def is_speck(self, value: float) -> bool:
        """Just next to 0, where 0 is a value like any other (a billionth of the range)? So small is only 0 itself."""
        low, high = min(self.observed[0], 0.0), max(self.observed[1], 0.0)
        return self.domain[0] < 0 and abs(value) < 1e-9 * (high - low)

    @property
    def is_boundary(self) -> bool:
        """Can the model (or the data) put this value there by itself? An intermediate only locates."""
        return self.role != "intermediate"


@dataclass(frozen=True, slots=True)
class SweepTable:
    """One axis swept: parallel columns, one entry a point, ordered by `values`."""

    axis: Axis
    values: Sequence[float]
    loss: Sequence[float]
    slope: Sequence[float]  # directional derivative of the loss along the axis
    gradient_state: Sequence[State]  # worst element of the gradient: finite slope can hide a NaN element
    wide_loss: Sequence[float] = ()  # loss and slope in float64; only of axes that a finding is told with
    wide_slope: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class ZCurve:
    """Z, the integral of exp(-loss) over one sample's target, at some values of one axis; parallel columns.

    Each entry is some sample of the batch, so that two entries may share a value and differ in Z.
    """

    axis: str
    observed: tuple[float, float]  # the axis' range on the batch
    values: tuple[float, ...]  # ascending
    log_z: tuple[float, ...]
    error: tuple[float, ...]  # absolute, of log_z


@dataclass(frozen=True, slots=True)
class Break:
    """Where loss or gradient stop being finite along one axis, in one dtype, going outwards from the batch."""

    axis: str
    dtype: str
    observed: tuple[float, float]  # the batch's own range
    below: float | None  # first failing value downwards; None: none among the dtype's finite numbers
    above: float | None
    reach: float  # the nearer of the two as a factor on the batch's range; inf: neither
    skipped: str = ""  # why nothing is known


@dataclass(frozen=True, slots=True)
class LineBits:
    """How many bits of its results a source line has right, near the batch's range, in one phase."""

    site: Site
    phase: Phase
    op: str  # which loses most of them
    worst: float
    typical: float  # the median over points and axes
    lost: float  # bits that what `op` reads still has, at the worst point
    axis: str  # on which the worst point lies
    at: float  # its value
    stretch: tuple[float, float] | None  # of the axis, around it: fewer than half of the dtype's bits are right


@dataclass(frozen=True, slots=True)
class PairMap:
    """Two axes moved at once, everything else as on the batch: where loss or gradient are not finite."""

    first: str  # label of the axis that `rows` go along
    second: str
    first_values: tuple[float, ...]  # ascending
    second_values: tuple[float, ...]
    rows: tuple[str, ...]  # one a value of `first`, a character a value of `second`: see `PAIR_STATES`
    observed: tuple[tuple[float, float], tuple[float, float]]  # the batch's own ranges
    region: str  # where it fails, in a line; empty: no simple line says it
    wrong: int  # points tried at which the line is not right
    points: int  # tried, those of `rows` among them
    failing: int  # of them
    nearest: tuple[float, float] | None  # failing point with the smallest reach; None: none fails
    together: int  # points of `rows` that fail although neither value does alone


PAIR_STATES = {".": "finite", "g": "only the gradient is not finite", "i": "loss infinite", "n": "loss NaN"}


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
    last_good: float | None = None  # its neighbour that still works
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


DensityName = Literal[
    "proper", "constant", "target-factor", "varies", "diverges", "negative", "not-samples", "undecided"
]


@dataclass(frozen=True, slots=True)
class Divergence:
    """What the terms without target are to the posterior that a reparameterised sample is drawn from."""

    name: Literal["kl", "reversed", "turned", "none"]  # turned: of the prior from the posterior
    text: str
    node: int  # the last of the terms


@dataclass(frozen=True, slots=True)
class Density:
    """Is exp(-loss) a density of the target? Z is its integral (or sum) over the target, one sample at a time."""

    name: DensityName
    text: str  # the answer in one or two sentences
    support: str = ""  # "real", "simplex", "class", ...
    why_support: str = ""
    by_step: bool = False  # of sequences: Z is the last step's, given those before it
    samples: int = 0  # samples times parameter settings at which Z was decided
    undecided: int = 0  # of them, where the error bar was too wide
    low: float = float("nan")  # smallest and largest Z over the settings
    high: float = float("nan")
    batch_low: float = float("nan")  # the same over the batch as it is
    batch_high: float = float("nan")
    error: float = float("nan")  # of log Z, the median
    constant: str = ""  # "sqrt(2 pi)", where Z is one
    factor: str = ""  # "1/y!", where a factor of the target makes Z constant
    axis: str = ""  # along which Z varies most
    pull: float = float("nan")  # d log Z per unit of that axis: the bias of the score
    left_out: tuple[str, ...] = ()  # terms without the target that are no part of the density
    beside: tuple[str, ...] = ()  # terms with the target that are none either: a penalty, a second likelihood
    weight: float = 1.0  # what the loss multiplies the likelihood with
    nodes: tuple[int, ...] = ()  # those terms' nodes, or the culprit's
    peak: float = float("nan")  # the largest density at an observed target
    epsilon: float = float("nan")  # beside the target inside a log, from which on downwards Z no longer changes
    claims: bool = False  # does the loss present itself as a likelihood?
    curves: tuple[ZCurve, ...] = ()  # Z along the axes that were moved, the one it changes most along first
    undrawn: str = ""  # what stopped them
    divergences: tuple[Divergence, ...] = ()  # KL terms, one a reparameterised sample
