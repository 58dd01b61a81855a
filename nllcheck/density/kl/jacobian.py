"""Log-determinants along a chain: log |det dh / d eps| of every step h, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx

from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.samples.prune import until
from nllcheck.density.samples.sample import WIDE

MOST_WIDE = 32  # numbers of one row
MOST_WORK = 4e6  # elements of a step's Jacobians at all settings

Step = Callable[..., tuple[Tensor, ...]]


def log_dets(module: fx.GraphModule, place: int, steps: Sequence[fx.Node], values: Sequence[Tensor]) -> Tensor:
    """(S, B, J) log |det| of J steps with respect to placeholder `place`, at (S, ...) values of all of them. A row is
    the fewest numbers that depend on no other row's noise.

    Raises UndecidedError where the rows cannot be told apart or are too wide.
    """
    short = until(module, steps)
    shape = values[place].shape[1:]

    def at(noise: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = (*rest[:place], noise, *rest[place:])
        return tuple(v.reshape(-1) for v in Runner(short, WIDE, keep=False).run(*given))

    others = [v for k, v in enumerate(values) if k != place]
    with plain_kernels():
        width = _width(at, shape, [values[place][0], *(v[0] for v in others)])
        if width * values[place].numel() > MOST_WORK:
            raise UndecidedError("too much work")
        found = _by_row(at, shape, width, [values[place], *others])
    return torch.stack([torch.linalg.slogdet(j)[1] for j in found], -1)


def _by_row(at: Step, shape: torch.Size, width: int, values: Sequence[Tensor]) -> list[Tensor]:
    """(S, B, w, w) of each step: row i of the noise's numbers moved in all rows of the batch at once."""
    rows = shape.numel() // width
    ways = torch.eye(width, dtype=WIDE).repeat(1, rows).reshape(width, *shape)

    def moved(way: Tensor, noise: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(lambda e: at(e, *rest), (noise,), (way,))[1]

    over = torch.func.vmap(moved, in_dims=(0, *(None for _ in values)))
    with torch.no_grad():
        found = torch.func.vmap(over, in_dims=(None, *(0 for _ in values)))(ways, *values)
    return [f.reshape(len(f), width, rows, width).permute(0, 2, 3, 1) for f in found]


def _width(at: Step, shape: torch.Size, values: Sequence[Tensor]) -> int:
    """The numbers of one row: what moves the first row's noise moves no other row."""
    noise, *rest = values
    for kept in range(len(shape), -1, -1):
        width = math.prod(shape[kept:])
        if width > MOST_WIDE:
            break
        way = torch.zeros(shape.numel(), dtype=WIDE)
        way[:width] = torch.rand(width, generator=torch.Generator().manual_seed(0), dtype=WIDE) + 0.5
        moved = torch.func.jvp(lambda e: at(e, *rest), (noise,), (way.reshape(shape),))[1]
        if not any(bool(m[width:].any()) for m in moved):
            return width
    raise UndecidedError("the rows of what is drawn cannot be told apart")
