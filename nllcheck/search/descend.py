"""Gradient steps that push an op's argument towards its bad set, from several starts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.search.space import Space

GROW, SHRINK = 1.6, 0.3  # of the step where it helped, where it did not
CLOSE, LAST = 1e-3, 12  # distance from which on a sum of squares is followed to its exact 0, and the steps for that


Measured = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # rows (S, D) -> distances, their slopes


@dataclass(frozen=True, slots=True)
class Way:
    """Every point that a descent has visited, and the smallest distance that it got to."""

    rows: torch.Tensor  # (V, D)
    best: float
    at: torch.Tensor  # (D,)


class _Prefix(Runner):
    """Runs the forward program up to one value. A detach stops no search: it holds back training's gradient only."""

    def __init__(self, module: fx.GraphModule, last: fx.Node) -> None:
        super().__init__(module)
        self.last = last

    def run(self, *args: Any) -> Any:  # type: ignore[override]
        self.args_iter = iter(args)
        for node in self.graph.nodes:
            self.env[node] = self.run_node(node)
            if node is self.last:
                return self.env[node]
        raise LookupError(self.last.name)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return args[0] if target is torch.ops.aten.detach.default else super().call_function(target, args, kwargs)


Distance = Callable[[torch.Tensor], torch.Tensor]  # a row of `distance.DISTANCES`


def descend(space: Space, argument: fx.Node, distance_of: Distance, tried: torch.Tensor, keep: int, steps: int) -> Way:
    """Newton steps on the distance from the `keep` nearest of the points tried (S, D), each with a length of its own.

    Newton's step is the same for the distance and its logarithm, so a vanishing probability is followed down to 0.
    """
    forward = space.joint.forward
    batched = torch.func.vmap(lambda *tensors: distance_of(_Prefix(forward, argument).run(*tensors)), randomness="same")

    def measured(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = rows.detach().requires_grad_()
        with torch.enable_grad(), plain_kernels():
            distance = batched(*space.tensors(rows))
            felt = distance.requires_grad  # not behind a detach, nor of what was counted
            slope = torch.autograd.grad(distance.sum(), rows, allow_unused=True)[0] if felt else None
        slope = torch.zeros_like(rows) if slope is None else slope
        return distance.detach(), torch.nan_to_num(slope.detach(), 0.0, 0.0, 0.0)

    distance, slope = measured(tried)
    nearest = torch.nan_to_num(distance, torch.inf).argsort()[:keep]
    rows, distance, slope = tried[nearest], distance[nearest], slope[nearest]
    length = torch.ones(len(rows), dtype=rows.dtype, device=rows.device)
    visited = [rows]
    for _ in range(steps):
        if not bool((distance > 0).any()):
            break
        tried = space.within(rows + torch.nan_to_num(_newton(distance * length, slope)))
        there, its_slope = measured(tried)
        better = (there < distance) | torch.isnan(distance)
        rows = torch.where(better[:, None], tried, rows)
        slope = torch.where(better[:, None], its_slope, slope)
        distance = torch.where(better, there, distance)
        length = torch.where(better, length * GROW, length * SHRINK)
        visited.append(tried)
    visited = visited[-12:]
    best = int(torch.nan_to_num(distance, torch.inf).argmin())
    trained = any(a.role == "weight" for a in space.axes)  # weights that are all exactly 0 are no state of training
    if 0 < float(distance[best]) < CLOSE and not trained:
        visited += _to_the_bottom(space, measured, rows, slope)
    return Way(torch.cat(visited), float(distance[best]), rows[best])


def _to_the_bottom(space: Space, measured: Measured, rows: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    """The points of further steps down to where the slope is 0, as it is where a sum of squares is.

    The steps are those of Barzilai and Borwein 1988, equation 5: unlike Newton's they soon fit every curvature of a
    quadratic form, and its bottom is met to the last digit.
    """
    length = torch.full_like(rows[:, :1], 1e-2)
    visited = []
    for _ in range(LAST):
        tried = space.within(rows - length * slope)
        its_slope = measured(tried)[1]
        step, bend = tried - rows, its_slope - slope
        curved = (step * bend).sum(1, keepdim=True)
        length = torch.where(curved > 0, (step**2).sum(1, keepdim=True) / curved, length)
        rows, slope = tried, its_slope
        visited.append(rows)
    return visited


def _newton(distance: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """(S,), (S, D) -> the shortest step to distance 0, were it linear; scaled first, so that no square underflows."""
    largest = slope.abs().amax(1).clamp(min=torch.finfo(slope.dtype).tiny)
    unit = slope / largest[:, None]
    return -(distance / largest / (unit**2).sum(1).clamp(min=1.0))[:, None] * unit
