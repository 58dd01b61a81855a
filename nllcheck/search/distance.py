"""How far an op's argument is from where its value or slope stops being finite, one row a set of `ops.SINGULAR`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from nllcheck import ops
from nllcheck.bounds import Interval
from nllcheck.types import Node


def _smallest(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1).min()


def _overflow(x: torch.Tensor) -> torch.Tensor:
    return _smallest(math.log(torch.finfo(x.dtype).max) - x)


def _determinant(x: torch.Tensor) -> torch.Tensor:
    """Of a matrix of small numbers as a share of the product of the rows' lengths, which it cannot exceed (Hadamard
    1893): it is no nearer to a singular one for that. One of large numbers is no further away, but what steps lead it
    to, where rounding alone makes it singular, is of no use to anybody."""
    size = torch.linalg.slogdet(x)[1]
    share = (size - x.norm(dim=-1).log().sum(-1).clamp(max=0)).exp()
    return _smallest(torch.where(torch.isneginf(size), 0.0, share))


# Set -> distance of a tensor to it: above 0 outside, 0 or below inside. The nearest element counts.
DISTANCES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "zero": lambda x: _smallest(x.abs()),
    "up to 0": _smallest,
    "up to -1": lambda x: _smallest(1 + x),
    "up to 1": lambda x: _smallest(x - 1),
    "outside (-1, 1)": lambda x: _smallest(1 - x.abs()),
    "outside (0, 1)": lambda x: _smallest(torch.minimum(x, 1 - x)),
    "overflow": _overflow,
    "singular": _determinant,
    "constant": lambda x: x.var(unbiased=False) if x.dim() < 2 else _smallest(x.var(-1, unbiased=False)),
}
# Of sets that are left through an end: the distance to that end, from both sides
ENDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "up to 0": lambda x: _smallest(x.abs()),
    "up to 1": lambda x: _smallest((x - 1).abs()),
    "outside (-1, 1)": lambda x: _smallest((1 - x.abs()).abs()),
}


def singular(node: Node) -> tuple[int, str] | None:
    """The argument of an op that has a bad set, and which; of powers by their exponent."""
    if node.op != "pow":
        return ops.SINGULAR.get(node.op)
    power = node.args[1] if len(node.args) > 1 else 2
    if not isinstance(power, (int, float)):
        return None
    if power != int(power):
        return 0, "up to 0"
    return (0, "zero") if power < 0 else None


def proof(kind: str, argument: Interval, dtype: torch.dtype) -> str:
    """Why an argument within this interval cannot meet the set; empty where it can.

    With room to spare: the slope at the interval's end must be finite, too.
    """
    low, high = argument
    room = math.sqrt(torch.finfo(dtype).tiny)  # 1 / room**2 is finite
    if kind == "zero" and (low >= room or high <= -room):
        return f"its argument is at least {min(abs(low), abs(high)):.3g} away from 0"
    edge = {"up to 0": 0.0, "up to -1": -1.0, "up to 1": 1.0}.get(kind)
    if edge is not None and low - edge >= room:
        return f"its argument is at least {low:.6g}"
    if kind == "overflow" and high < math.log(torch.finfo(dtype).max):
        return f"its argument is at most {high:.6g}"
    if kind == "outside (-1, 1)" and low > -1 and high < 1:
        return f"its argument lies in [{low:.6g}, {high:.6g}]"
    if kind == "outside (0, 1)" and low > room and high < 1:
        return f"its argument lies in [{low:.6g}, {high:.6g}]"
    return ""
