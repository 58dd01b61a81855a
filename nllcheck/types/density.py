"""Is exp(-loss) a density of the target?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nllcheck.types.axis import ZCurve

DensityName = Literal[
    "proper",
    "constant",
    "target-factor",
    "varies",
    "unlogged",
    "log-likelihood",
    "diverges",
    "negative",
    "not-samples",
    "reads-itself",
    "undecided",
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
