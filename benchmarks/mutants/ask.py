"""One mutant: what the density test says of it, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.mutants.brute import SUPPORTS, outputs_of, truth
from benchmarks.mutants.losses import LOSSES, Loss
from benchmarks.mutants.mutate import mutants
from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.factors import FACTORS
from nllcheck.target import Batch, Target
from nllcheck.types import Density

ROWS = {"real": "plane", "positive": "quadrant", "unit": "square", "simplex": "simplex"}  # supports of two numbers
SAYS_YES = ("proper", "constant", "target-factor")


@dataclass(frozen=True)
class Asked:
    """An answer beside the truth.

    'right'; 'undecided'; 'other': no likelihood either way; 'penalty': a likelihood only beside a term without target
    that is taken for a penalty, and said so; 'elsewhere': right on the support that the batch shows; 'unknown': the
    truth is not known; or 'WRONG'.
    """

    mark: str
    name: str
    truth: str
    text: str


def cases(only: str = "") -> Iterator[tuple[str, str, Callable[..., torch.Tensor]]]:
    """(loss, what was changed, the changed loss), the correct ones first."""
    for name, loss in LOSSES.items():
        if only in name:
            yield name, "as it should be", loss.fn
            yield from ((name, change, fn) for change, fn in mutants(loss.fn) if _is_loss(loss, fn))


def _is_loss(loss: Loss, fn: Callable[..., torch.Tensor]) -> bool:
    """Does it run, and give a number a sample?"""
    try:
        return tuple(fn(outputs_of(loss), loss.y).shape) == (len(loss.y),)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False


def asked(name: str, fn: Callable[..., torch.Tensor]) -> Asked:
    """The answer to the mean of `fn` over the batch, its support inferred unless no batch shows it."""
    loss = LOSSES[name]

    def nll(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return fn(out, y).mean()

    tensors: dict[str, Any] = {"out": outputs_of(loss), "y": loss.y}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target(name, nll, "nll", None, (batch,), "function", target_names=("y",)), batch)
    found = density(graph, default_axes(graph)[0], "nll", support=loss.support if loss.stated else None)
    factor = next((f.log for f in FACTORS if f.name == found.factor), None)
    real = truth(loss.support, loss, fn, factor)
    mark = _mark(found, real)
    there = found.support if loss.y.dim() == 1 else ROWS.get(found.support, "")
    if mark in ("WRONG", "other") and there in SUPPORTS and there != loss.support:
        real = truth(there, loss, fn, factor)
        mark = "elsewhere" if _mark(found, real) == "right" else mark
    return Asked(mark, found.name, "/".join(real), found.text)


def _mark(found: Density, real: tuple[str, ...]) -> str:
    name = found.name
    if name in ("undecided", "not-samples"):
        return "undecided"
    if not real:
        return "unknown"
    if set(real) & ({"proper", "constant"} if name == "target-factor" else {name}):
        return "right"
    if name in SAYS_YES and found.left_out:
        return "penalty"
    return "WRONG" if name in SAYS_YES or set(real) <= {"proper", "constant"} else "other"
