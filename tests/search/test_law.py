"""Bounds hold over real losses: whatever a sweep of the boundary produces lies inside them, op by op."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from nllcheck.axes import default_axes
from nllcheck.bounds import REAL, bounds
from nllcheck.capture import capture
from nllcheck.sweep import sweep
from nllcheck.target import Batch, Target

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.detect.cases import CASES

LARGEST = torch.finfo(torch.float32).max
SOME = [c for c in CASES[::15] if c.setup().model is None and "singular_values" not in c.id]  # svd raises by itself


@pytest.mark.parametrize("case", SOME, ids=lambda c: c.id)
def test_swept_values_lie_inside_their_bounds(case):
    setup = case.setup()
    batch = Batch(kwargs=setup.tensors, whole=setup.tensors)
    graph = capture(Target("t", case.loss, "t", None, (batch,), "function", target_names=setup.targets), batch)
    axes = [a for a in default_axes(graph)[0] if a.is_boundary and a.mode != "toward"]
    ranges: dict[int, tuple[float, float]] = {}
    for axis in axes:
        own = (max(axis.domain[0], -LARGEST), min(axis.domain[1], LARGEST))
        low, high = ranges.get(axis.node, own)  # of other columns, which may live elsewhere
        wide = axis.mode == "scale"  # a factor may overflow the tensor itself
        ranges[axis.node] = REAL if wide else (min(low, own[0]), max(high, own[1]))
    known = bounds(graph, ranges)
    for node, (low, high) in sweep(graph, axes, {}, count=40).seen.items():
        written_over = graph.graph.nodes[node].aten.split(".")[1].endswith("_")  # its range holds the old value, too
        is_one = bool(graph.graph.nodes[node].dtype)  # of several results the sweep keeps one range, bounds the first's
        if low <= high and is_one and not written_over:  # an op that was NaN at every point has no range
            assert known[node][0] <= low and high <= known[node][1], (graph.graph.nodes[node], known[node], low, high)
