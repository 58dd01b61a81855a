"""Random small losses: a list of steps from the table below, each reading one or two earlier values."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

Made = Callable[[Tensor, Tensor], Tensor]

# Steps that no value can break short of overflow (`SAFE`), and those with a pole (`RISKY`), by rule name.
SAFE: dict[str, Made] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a, b: -a,
    "abs": lambda a, b: a.abs(),
    "square": lambda a, b: a * a,
    "cube": lambda a, b: a**3,
    "tanh": lambda a, b: torch.tanh(a),
    "sigmoid": lambda a, b: torch.sigmoid(a),
    "softplus": lambda a, b: F.softplus(a),
    "relu": lambda a, b: torch.relu(a),
    "softmax": lambda a, b: torch.softmax(a, -1),
    "log_softmax": lambda a, b: torch.log_softmax(a, -1),
    "logsumexp": lambda a, b: torch.logsumexp(a, -1, keepdim=True).expand(a.shape),
    "maximum": lambda a, b: torch.maximum(a, b),
    "clamp": lambda a, b: a.clamp(-3.0, 3.0),
    "floor": lambda a, b: a.clamp(min=1e-3),
    "where": lambda a, b: torch.where(a > 0, a, b),
    "sum": lambda a, b: a.sum(-1, keepdim=True).expand(a.shape),
    "mean": lambda a, b: a.mean(0, keepdim=True).expand(a.shape),
    "one minus": lambda a, b: 1 - a,
    "plus": lambda a, b: a + 1e-3,
    "centred": lambda a, b: a - a.max(-1, keepdim=True).values,
    "ones at least": lambda a, b: torch.exp(a - a.amax(-1, keepdim=True)).sum(-1, keepdim=True).expand(a.shape),
    "erf": lambda a, b: torch.erf(a),
    "cat": lambda a, b: torch.cat([a, b], -1)[..., 1 : 1 + a.shape[-1]],
    "norm": lambda a, b: torch.linalg.vector_norm(a, dim=-1, keepdim=True).expand(a.shape),
    "var": lambda a, b: a.var(-1, keepdim=True).expand(a.shape),
    "cumsum": lambda a, b: a.cumsum(-1),
    "atan": lambda a, b: torch.atan(a),
}
RISKY: dict[str, Made] = {
    "div": lambda a, b: a / b,
    "log": lambda a, b: torch.log(a),
    "sqrt": lambda a, b: torch.sqrt(a),
    "exp": lambda a, b: torch.exp(a),
    "expm1": lambda a, b: torch.expm1(a),
    "log1p": lambda a, b: torch.log1p(a),
    "rsqrt": lambda a, b: torch.rsqrt(a),
    "power": lambda a, b: a.abs() ** 0.5,
    "reciprocal": lambda a, b: 1 / a,
    "lgamma": lambda a, b: torch.lgamma(a),
}
STEPS = {**SAFE, **RISKY}


@dataclass(frozen=True)
class Program:
    """`loss(x, y)`: the mean of the sum of the last values; step k is (name, index of a, index of b)."""

    steps: tuple[tuple[str, int, int], ...]
    plant: str = ""  # a name of `PLANTS`: a term with one defect, added to the loss

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        values = [x, y]
        for name, i, j in self.steps:
            values.append(STEPS[name](values[i], values[j]))
        total = sum(values[2:][-3:], start=0.1 * x)
        return total.mean() + (PLANTS[self.plant][1](x) if self.plant else 0.0)


def programs(names: dict[str, Made], longest: int = 6, plants: tuple[str, ...] = ("",)) -> st.SearchStrategy[Program]:
    """Losses of one to `longest` steps out of `names`."""

    def build(drawn: list[tuple[str, int, int]], plant: str) -> Program:
        steps = zip(drawn, itertools.count(2), strict=False)
        return Program(tuple((name, i % k, j % k) for (name, i, j), k in steps), plant)

    step = st.tuples(st.sampled_from(sorted(names)), st.integers(0, 9), st.integers(0, 9))
    return st.builds(build, st.lists(step, min_size=1, max_size=longest), st.sampled_from(plants))


# A term with one defect, and the op that it is born at: every one fails within 10 x of a batch of unit normals.
PLANTS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "log of 1 - tanh**2": ("log", lambda x: torch.log(1 - torch.tanh(6 * x) ** 2).mean()),
    "log of softmax": ("log", lambda x: torch.log(torch.softmax(30 * x, -1)).mean()),
    "log of sigmoid": ("log", lambda x: torch.log(torch.sigmoid(30 * x)).mean()),
    "softplus by hand": ("exp", lambda x: torch.log(1 + torch.exp(20 * x)).mean()),
    "quotient of exponentials": ("exp", lambda x: (torch.exp(20 * x) / (1 + torch.exp(20 * x))).mean()),
    "sqrt of a square": ("sqrt", lambda x: torch.sqrt((x[..., 0] - 0.5) ** 2).sum()),
    "atanh of tanh": ("atanh", lambda x: torch.atanh(torch.tanh(5 * x)).mean()),
}
