"""What moves, and what a sweep along it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nllcheck.types.graph import Site
from nllcheck.types.words import Phase, State


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
        "",
        "zero row",
        "zero column",
        "zero columns",
        "constant row",
        "equal rows",
        "equal",
        "equal row",
        "as labelled",
        "found",
        "found constant",
        "found alone",
    ] = ""
    other: int = -1  # index of the node that `equal`, `equal row` and `as labelled` speak of
    channel: tuple[int, int] | None = None  # [start, stop) of the last dimension; None moves all of it
    selector: str = ""  # what `--sweep` takes: "output[...,4]"
    observed: tuple[float, float] = (float("nan"), float("nan"))  # range on the batch, in the axis' own unit
    domain: tuple[float, float] = (float("-inf"), float("inf"))  # values the node can take at all
    expected: tuple[float, float] = (float("nan"), float("nan"))  # of a target, by what the loss compares it with
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
        is_plain = self.domain[0] < 0 or self.expected[0] == 0
        return is_plain and abs(value) < 1e-9 * (high - low)

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
