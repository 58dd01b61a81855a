"""Factors of the target alone that losses leave out: they change no gradient, and Z only until they are put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from nllcheck.errors import NllcheckError, did_you_mean


@dataclass(frozen=True, slots=True)
class Factor:
    """`log(y)` is the logarithm of the factor; `row`: one factor for a whole row of targets."""

    name: str
    supports: tuple[str, ...]
    log: Callable[[torch.Tensor], torch.Tensor]
    means: str


def _each(y: torch.Tensor) -> torch.Tensor:
    return y


FACTORS = (
    Factor("1/y!", ("count",), lambda y: -torch.lgamma(y + 1), "log y! is left out"),
    Factor("n!/prod(y!)", ("multinomial",), lambda y: torch.lgamma(y.sum(-1) + 1) - torch.lgamma(y + 1).sum(-1),
           "the multinomial coefficient is left out"),
    Factor("1/y", ("positive", "unit"), lambda y: -torch.log(y), "the Jacobian of log y is left out"),
    Factor("y", ("positive", "unit"), torch.log, "a factor y is one too many"),
    Factor("1/(y (1 - y))", ("unit",), lambda y: -torch.log(y) - torch.log1p(-y), "the Jacobian of logit y is missing"),
    Factor("y (1 - y)", ("unit",), lambda y: torch.log(y) + torch.log1p(-y), "the Jacobian of logit y is one too many"),
    Factor("1/sqrt(y)", ("positive",), lambda y: -0.5 * torch.log(y), "the Jacobian of sqrt y is left out"),
    Factor("1/y^1.5", ("positive",), lambda y: -1.5 * torch.log(y), "an inverse Gaussian's own factor is left out"),
    Factor("1/prod(y)", ("simplex",), lambda y: -torch.log(y).sum(-1), "a Jacobian of log y is left out"),
    Factor("prod(y)", ("simplex",), lambda y: torch.log(y).sum(-1), "a Jacobian of log y is one too many"),
)  # fmt: skip


def factors_for(supports: tuple[str, ...], asked: str | None) -> tuple[Factor, ...]:
    """The factors to try on a support, or on those of columns; the one that was asked for alone, if one was."""
    if asked is None:
        return tuple(f for f in FACTORS if set(supports) & set(f.supports))
    return tuple(f for f in FACTORS if f.name == asked)


def check_name(asked: str | None) -> None:
    """Raise NllcheckError unless it is the name of a factor."""
    names = {f.name for f in FACTORS}
    if asked is not None and asked not in names:
        hint = did_you_mean(asked, names) or f"known: {', '.join(sorted(names))}"
        raise NllcheckError(f"unknown base measure '{asked}'", where="base_measure", hint=hint)
