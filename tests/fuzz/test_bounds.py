"""No computed value ever leaves its static bound: random programs, random values, every node."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import STEPS, programs

from nllcheck.bounds import bounds
from nllcheck.capture import LossGraph, capture
from nllcheck.capture.interpret import run_all
from nllcheck.capture.numerics import plain_kernels
from nllcheck.target import Batch, Target

LARGEST = torch.finfo(torch.float32).max


def graph_of(loss, dtype: torch.dtype = torch.float32) -> LossGraph:
    generator = torch.Generator().manual_seed(3)
    tensors = {name: torch.randn(4, 3, generator=generator).to(dtype) for name in ("x", "y")}
    target = Target("t", loss, "t", None, (Batch(kwargs=tensors, whole=tensors),), "function")
    return capture(target, target.batches[0])


def assert_inside(graph: LossGraph, known: dict[int, tuple[float, float]], tensors: list[torch.Tensor]) -> None:
    with torch.no_grad(), plain_kernels():
        values = run_all(graph.module, tensors)
    for node, value in zip(graph.graph.nodes, values, strict=True):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, torch.Tensor) and part.is_floating_point():
                numbers = part[~torch.isnan(part)].double()
                low, high = known[node.index]
                inside = (numbers >= low) & (numbers <= high)
                assert bool(inside.all()), (node.index, node.aten, low, high, numbers[~inside][:3].tolist())


def leaf(generator: torch.Generator, low: float, high: float, dtype: torch.dtype) -> torch.Tensor:
    """A third each: ordinary numbers, every magnitude, and the ends of the range and 0."""
    normal = torch.randn(4, 3, generator=generator)
    wide = torch.sign(normal) * 10 ** (80 * torch.rand(4, 3, generator=generator, dtype=torch.float64) - 42)
    ends = torch.tensor([low, high, 0.0, 1.0])[torch.randint(4, (4, 3), generator=generator)]
    pick = torch.randint(3, (4, 3), generator=generator)
    return torch.where(pick == 0, normal, torch.where(pick == 1, wide, ends)).clamp(low, high).to(dtype)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(programs(STEPS), st.sampled_from([(-LARGEST, LARGEST), (0.0, LARGEST), (-25.0, 25.0), (1e-3, 1e3)]))
def test_values_lie_inside_their_bounds(program, ends):
    graph = graph_of(program)
    known = bounds(graph, {0: ends, 1: ends})
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        assert_inside(graph, known, [leaf(generator, *ends, torch.float32) for _ in range(2)])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(programs(STEPS), st.sampled_from([torch.float64, torch.float16, torch.bfloat16]))
def test_values_lie_inside_their_bounds_in_other_dtypes(program, dtype):
    graph = graph_of(program, dtype)
    ends = (-60000.0, 60000.0)
    known = bounds(graph, {0: ends, 1: ends})
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        assert_inside(graph, known, [leaf(generator, *ends, dtype) for _ in range(2)])


CASES = {
    "1 - tanh**2 reaches 0": (lambda x, y: (1 - torch.tanh(x) ** 2).sum(), "sub", (0.0, 1.0)),
    "softplus + 1e-6": (lambda x, y: (torch.nn.functional.softplus(x) + 1e-6).sum(), "add",
                        (float(torch.tensor(1e-6)), math.inf)),
    "1 / sqrt(-0.0) is -inf": (lambda x, y: torch.rsqrt(x).sum(), "rsqrt", (-math.inf, math.inf)),
    "1 + 1e-10 is 1": (lambda x, y: (torch.sigmoid(x) + 1e-10).sum(), "add", (float(torch.tensor(1e-10)), 1.0)),
    "sum of exp(x - max)": (lambda x, y: torch.exp(x - x.max(-1).values.unsqueeze(-1)).sum(-1).mean(), "sum",
                            (1.0, None)),
    "a maximum of other rows proves nothing": (lambda x, y: (x[:3] - x[:3].max(0).values[:, None]).sum(), "sub",
                                               (-math.inf, math.inf)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_known_bounds(name):
    loss, op, (low, high) = CASES[name]
    graph = graph_of(loss)
    known = bounds(graph, {0: (-LARGEST, LARGEST), 1: (-LARGEST, LARGEST)})
    found = known[next(n.index for n in graph.graph.nodes if n.op == op)]
    assert found[0] == low
    assert high is None or found[1] == high
