"""Which points of several axes are survived: the cheapest question, asked of many axes in one vectorised run.

A small program costs what calling its ops costs, so that four axes together take a little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from nllcheck.capture.interpret import promoted
from nllcheck.capture.numerics import plain_kernels
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.sweep.program import watching
from nllcheck.sweep.watch import UnsweepableError, chunk_size
from nllcheck.types import Axis

Bools: TypeAlias = npt.NDArray[np.bool_]


class Survey:
    """Axes of a joint graph that set elements to a value (mode "set"), in one dtype (None: as the graph has it)."""

    def __init__(self, joint: Joint, axes: Sequence[Axis], dtype: torch.dtype | None, memory: int = 2**30) -> None:
        self.program = watching(joint, (), dtype)
        self.bases = [promoted(base, dtype) for base in joint.base]
        self.masks = _masks(joint, axes, self.bases)
        self.chunk = chunk_size(joint, memory, dtype)

    def survived(self, asked: Sequence[tuple[int, torch.Tensor]]) -> list[Bools]:
        """For each (axis, points (P,)) where loss and gradients are finite, by the vectorised program; an axis by its
        position. Raises UnsweepableError where that cannot be run at many points at once.
        """
        counts = torch.tensor([len(points) for _, points in asked])
        device = self.bases[0].device
        which = torch.tensor([k for k, _ in asked]).repeat_interleave(counts).to(device)
        points = torch.cat([points for _, points in asked]).to(device)
        parts = zip(which.split(self.chunk), points.split(self.chunk), strict=True)
        found = np.concatenate([np.zeros(0, dtype=bool), *(self._at(*part) for part in parts)])
        return np.split(found, np.cumsum(counts.numpy())[:-1])

    def survives(self, k: int, value: float) -> bool:
        """The canonical answer at one value of axis `k`: plain kernels at the batch's own shapes."""
        leaves = [_set(mask[k], torch.tensor(value, dtype=torch.float64, device=b.device), b)
                  for mask, b in zip(self.masks, self.bases, strict=True)]  # fmt: skip
        with torch.no_grad(), plain_kernels():
            return bool(self._sound(*leaves))

    def _at(self, which: torch.Tensor, points: torch.Tensor) -> Bools:
        pairs = zip(self.masks, self.bases, strict=True)
        leaves = [_set(mask[which], points.reshape(-1, *[1] * base.dim()), base) for mask, base in pairs]
        try:
            with torch.no_grad(), plain_kernels():
                return torch.func.vmap(self._sound, randomness="same")(*leaves).cpu().numpy()
        except Exception as error:  # no batching rule, no kernel for this dtype
            raise UnsweepableError((str(error).strip() or type(error).__name__).splitlines()[0][:200]) from error

    def _sound(self, *leaves: torch.Tensor) -> torch.Tensor:
        (loss, *gradients), _ = self.program(*leaves)
        return torch.stack([torch.isfinite(t).all() for t in (loss, *gradients)]).all()


def _masks(joint: Joint, axes: Sequence[Axis], bases: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """(A, *shape) for every moved tensor: which elements each axis sets."""
    ways = [[way for _, way in placements(joint, axis, bases, bases[0].new_zeros(()))] for axis in axes]
    return [torch.stack([_moves(way[j], base) for way in ways]) for j, base in enumerate(bases)]


def _moves(way: torch.Tensor | None, base: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(base, dtype=torch.bool) if way is None else way.bool()


def _set(mask: torch.Tensor, value: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    return torch.where(mask, value.to(base.dtype), base)
