"""Log-determinants along a chain: log |det dh / d eps| of every step h, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.samples.prune import until
from nllcheck.density.samples.sample import WIDE
from nllcheck.ops import packet

MOST_WIDE = 32  # numbers of one row
MOST_WORK = 4e6  # elements of a step's Jacobians at all settings


def log_dets(module: fx.GraphModule, place: int, steps: Sequence[fx.Node], values: Sequence[Tensor]) -> Tensor:
    """(S, B, J) log |det| of J steps with respect to placeholder `place`, at (S, ...) values of all of them. A row is
    the fewest numbers that depend on no other row's noise.

    Raises UndecidedError where the rows cannot be told apart or are too wide.
    """
    short = until(module, steps)

    def at(*given: Tensor) -> tuple[Tensor, ...]:
        return tuple(v.reshape(-1) for v in _Differentiable(short, WIDE, keep=False).run(*given))

    noise = values[place].detach().requires_grad_()
    with plain_kernels(), torch.enable_grad():
        made = torch.func.vmap(at)(*values[:place], noise, *values[place + 1 :])
        width = _width(made, noise)
        if len(steps) * width * noise.numel() > MOST_WORK:
            raise UndecidedError("too much work")
        found = [_by_row(step, noise, width) for step in made]
    return torch.stack([torch.linalg.slogdet(j)[1] for j in found], -1)


class _Differentiable(Runner):
    """Slopes of what is computed, whatever the user's code lets through to its own gradients.

    They are taken backwards: torch's forward mode loads its whole compiler at the first product.
    """

    def _run_node(self, n: fx.Node) -> Any:
        return self.env[n.all_input_nodes[0]] if packet(str(n.target)) == "detach" else self._plain(n)


def _by_row(step: Tensor, noise: Tensor, width: int) -> Tensor:
    """(S, B, w, w): number i of a step's rows (S, N), in all rows of the batch at once, by the noise."""
    count, rows = len(noise), noise[0].numel() // width
    ways = torch.eye(width, dtype=WIDE).repeat(1, rows)[:, None].expand(-1, count, -1)
    (found,) = torch.autograd.grad(step, noise, ways, retain_graph=True, is_grads_batched=True)
    return found.reshape(width, count, rows, width).permute(1, 2, 0, 3)


def _width(steps: Sequence[Tensor], noise: Tensor) -> int:
    """The numbers of one row: the first row's noise moves no other row."""
    shape, size = noise.shape[1:], noise[0].numel()
    weights = torch.rand(size, generator=torch.Generator().manual_seed(0), dtype=WIDE) + 0.5
    for kept in range(len(shape), -1, -1):
        width = math.prod(shape[kept:])
        if width > MOST_WIDE:
            break
        others = torch.where(torch.arange(size) < width, 0, weights).expand(len(noise), -1)
        (moved,) = torch.autograd.grad(steps, noise, [others for _ in steps], retain_graph=True)
        if not bool(moved.reshape(len(noise), -1)[:, :width].any()):
            return width
    raise UndecidedError("the rows of what is drawn cannot be told apart")
