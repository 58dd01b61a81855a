"""Points of a space -> which ops fail there, by the same births that a sweep is read with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nllcheck.capture.numerics import plain_kernels
from nllcheck.detect.births import Bools, births, culprits
from nllcheck.detect.events import batch_axis
from nllcheck.search.space import Space
from nllcheck.sweep.program import observed
from nllcheck.sweep.trace import on_cpu, trace_of
from nllcheck.sweep.watch import chunk_size


@dataclass(frozen=True, eq=False)
class Probe:
    """Runs loss and gradients at many points of a space, within a memory budget."""

    space: Space
    names: tuple[str, ...]  # watched ops, as in the sweeps
    memory: int
    left: frozenset[int]  # ops of which it is known that they leave their domain: only their slope is looked at

    def failing(self, rows: torch.Tensor) -> dict[int, Bools]:
        """Op (index) -> at which of the points (S, D) a failure is born there and reaches loss or gradient."""
        size = chunk_size(self.space.joint, self.memory, None)
        parts = [self._failing(part) for part in rows.split(size)]
        every = {op for part in parts for op in part}
        sizes = [len(part) for part in rows.split(size)]
        return {
            op: np.concatenate([p.get(op, np.zeros(n, bool)) for p, n in zip(parts, sizes, strict=True)])
            for op in every
        }

    def _failing(self, rows: torch.Tensor) -> dict[int, Bools]:
        joint = self.space.joint
        run = torch.func.vmap(lambda *t: observed(joint, [(x, None) for x in t], self.names), randomness="same")
        with torch.no_grad(), plain_kernels():
            row = run(*self.space.tensors(rows))
        trace = on_cpu(trace_of(batch_axis(joint), torch.arange(len(rows), dtype=rows.dtype), row, self.names))
        found: dict[int, Bools] = {}
        for one in culprits(joint, trace, births(joint, trace)):
            if one.phase == "forward" and one.origin in self.left:
                continue
            found[one.origin] = found.get(one.origin, np.zeros(len(rows), bool)) | one.points
        return found

    def fails(self, op: int, rows: torch.Tensor) -> Bools:
        """At which of the points (S, D) does this op fail?"""
        return self.failing(rows).get(op, np.zeros(len(rows), bool))
