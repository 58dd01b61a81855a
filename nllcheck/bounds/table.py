"""One table: the rule name of an op and the interval of its result, given those of its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from nllcheck import ops
from nllcheck.bounds import interval as iv
from nllcheck.bounds.interval import REAL, Interval
from nllcheck.types import Node, Ref

ROUNDED_ONCE = ("add", "sub", "mul", "div", "neg", "abs", "max", "min", "maximum", "minimum", "clamp", "relu",
                "where", "masked_fill", "gather", "index", "select", "sort", "view", "cat", "embedding", "pad", "triu",
                "scatter", "nan_to_num", "hardtanh", "sign", "input", "constant")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """An op with what it reads: `known[i]` is the interval of node i, `sizes[i]` its number of elements."""

    node: Node
    known: dict[int, Interval]
    sizes: dict[int, int]
    dtype: torch.dtype

    @property
    def spelled(self) -> str:
        return ops.packet(self.node.aten)

    def arg(self, k: int, otherwise: Interval = REAL) -> Interval:
        """The interval of the k-th argument: of a node, a number, or several nodes together."""
        return self.of(self.node.args[k], otherwise) if k < len(self.node.args) else otherwise

    def of(self, value: Any, otherwise: Interval = REAL) -> Interval:
        if isinstance(value, Ref):
            return self.known[value.index]
        if isinstance(value, (bool, int, float)):
            return self._number(float(value))
        if isinstance(value, tuple) and value:
            return iv.hull(self.of(v) for v in value)
        return otherwise

    def _number(self, value: float) -> Interval:
        """A number in the source is rounded to the op's dtype, under half precision perhaps to float32 only."""
        wider = torch.promote_types(self.dtype, torch.float32)
        near = [torch.tensor(value, dtype=torch.float64).to(d).item() for d in (self.dtype, wider)]
        return min(near), max(near)

    def keyword(self, name: str, otherwise: Any = None) -> Any:
        return dict(self.node.kwargs).get(name, otherwise)

    def folded(self) -> int:
        """How many elements of the first argument make one of the result."""
        first = self.node.args[0]
        whole = self.sizes[first.index] if isinstance(first, Ref) else 1
        return max(1, whole // max(1, self.sizes[self.node.index]))


def of_node(read: Reading) -> Interval:
    """The interval of every number or infinity that the op can return."""
    made = TABLE.get(read.node.op)
    told = ops.row(read.node.op).bounds or REAL
    raw = told if made is None else made(read)
    squared = read.node.op == "pow" and read.node.args[1] == 2  # computed as x * x
    once = read.node.op in ROUNDED_ONCE and read.keyword("alpha", 1) == 1
    slack = 0 if once or squared else iv.SLACK
    return iv.meet(iv.rounded(raw, read.dtype, slack), told)


def _scaled_second(read: Reading) -> Interval:
    alpha = read.keyword("alpha", read.node.args[2] if len(read.node.args) > 2 else 1)
    return read.arg(1) if alpha == 1 else iv.mul(read.arg(1), read.of(alpha))


def _div(read: Reading) -> Interval:
    return REAL if read.keyword("rounding_mode") else iv.div(read.arg(0), read.arg(1))


def _pow(read: Reading) -> Interval:
    base, power = read.arg(0), read.node.args[1] if len(read.node.args) > 1 else 2
    if power == 2:
        return iv.square(base)
    if not isinstance(power, (int, float)) or power < 0:
        return (0.0, math.inf) if base[0] >= 0 or power in (-2, -4) else REAL
    if base[0] >= 0 or (power == int(power) and power % 2):
        return iv.rising(lambda x: math.copysign(abs(x) ** power, x))(base)
    return (0.0, math.inf) if power == int(power) else REAL


def _rsqrt(read: Reading) -> Interval:
    """Of a zero it is an infinity of the zero's own sign."""
    low, high = iv.rising(math.sqrt)(read.arg(0))
    return iv.div((1.0, 1.0), (low, high)) if low > 0 else REAL


def _sum(read: Reading) -> Interval:
    return _total(read.arg(0), read.folded(), read.dtype)


def _total(part: Interval, count: int, dtype: torch.dtype) -> Interval:
    """Adding in any order is off by at most count - 1 roundings of the sum of magnitudes (Higham 2002, 4.2).

    A sum of numbers that are not negative never falls below its largest one.
    """
    slack = min(0.5, (count + 2) * torch.finfo(dtype).eps)
    return -_at_most(-part[0], count, slack), _at_most(part[1], count, slack)


def _at_most(high: float, count: int, slack: float) -> float:
    return count * high * (1 + slack) if high > 0 else min(high, count * high * (1 - slack)) if high < 0 else 0.0


def _mean(read: Reading) -> Interval:
    low, high = _sum(read)
    largest = torch.finfo(read.dtype).max
    count = read.folded()
    return (-math.inf if low < -largest else low / count), (math.inf if high > largest else high / count)


def _cumsum(read: Reading) -> Interval:
    one = read.arg(0)
    return iv.hull([one, _total(one, max(read.node.shape or (1,)), read.dtype)])


def _prod(read: Reading) -> Interval:
    low, high = read.arg(0)
    return (0.0, 1.0 if high <= 1 else math.inf) if low >= 0 else REAL


def _logsumexp(read: Reading) -> Interval:
    low, high = read.arg(0)
    return low, high + math.log(read.folded())


def _clamp(read: Reading) -> Interval:
    low, high = read.arg(1, (-math.inf, -math.inf)), read.arg(2, (math.inf, math.inf))
    if read.spelled == "clamp_max":
        low, high = (-math.inf, -math.inf), read.arg(1, (math.inf, math.inf))
    x = read.arg(0)
    return min(max(x[0], low[0]), high[0]), min(max(x[1], low[1]), high[1])


def _larger(read: Reading) -> Interval:
    a, b = read.arg(0), read.arg(1)
    return (min(a[0], b[0]) if read.spelled == "fmax" else max(a[0], b[0])), max(a[1], b[1])


def _smaller(read: Reading) -> Interval:
    a, b = read.arg(0), read.arg(1)
    return min(a[0], b[0]), (max(a[1], b[1]) if read.spelled == "fmin" else min(a[1], b[1]))


def _nan_to_num(read: Reading) -> Interval:
    largest = torch.finfo(read.dtype).max
    x, nan = read.arg(0), read.arg(1, (0.0, 0.0))
    ends = [read.arg(2, (largest, largest))] if x[1] == math.inf else []
    ends += [read.arg(3, (-largest, -largest))] if x[0] == -math.inf else []
    return iv.hull([(max(x[0], -largest), min(x[1], largest)), nan, *ends])


def _joined(read: Reading) -> Interval:
    """Assignments into a part; one that adds to what is there has no bound."""
    if read.spelled in ("scatter_add", "index_add") or (read.spelled == "index_put" and len(read.node.args) > 3):
        return REAL
    written = [a for a in (*read.node.args[1:], *(v for _, v in read.node.kwargs)) if isinstance(a, (Ref, float))]
    return iv.hull([read.arg(0), *map(read.of, written)])


def _view(read: Reading) -> Interval:
    return iv.hull([read.arg(0), read.arg(1)]) if read.spelled == "copy" else read.arg(0)


def _first(read: Reading) -> Interval:
    return read.arg(0)


def _rising(**functions: Callable[[float], float]) -> Callable[[Reading], Interval]:
    """By ATen spelling; a spelling (or a setting) that is not listed has the row's own bounds."""

    def of(read: Reading) -> Interval:
        function = functions.get(read.spelled)
        known = function is not None and len(read.node.args) == 1
        return iv.rising(function)(read.arg(0)) if known and function else ops.row(read.node.op).bounds or REAL

    return of


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


TABLE: dict[str, Callable[[Reading], Interval]] = {
    "add": lambda r: iv.add(r.arg(0), _scaled_second(r)),
    "sub": lambda r: iv.add(r.arg(0), iv.negative(_scaled_second(r))),
    "mul": lambda r: iv.mul(r.arg(0), r.arg(1)),
    "div": _div, "pow": _pow,
    "neg": lambda r: iv.negative(r.arg(0)),
    "abs": lambda r: iv.absolute(r.arg(0)),
    "sqrt": _rising(sqrt=math.sqrt), "rsqrt": _rsqrt,
    "exp": _rising(exp=math.exp, exp2=lambda x: 2.0**x), "expm1": _rising(expm1=math.expm1),
    "log": _rising(log=math.log), "log2": _rising(log2=math.log2), "log10": _rising(log10=math.log10),
    "log1p": _rising(log1p=math.log1p), "tanh": _rising(tanh=math.tanh), "sigmoid": _rising(sigmoid=_sigmoid),
    "softplus": _rising(softplus=_softplus), "erf": _rising(erf=math.erf), "atan": _rising(atan=math.atan),
    "asinh": _rising(asinh=math.asinh), "relu": _rising(relu=lambda x: max(x, 0.0)),
    "clamp": _clamp, "maximum": _larger, "minimum": _smaller, "nan_to_num": _nan_to_num,
    "where": lambda r: iv.hull([r.arg(1), r.arg(2)]),
    "masked_fill": lambda r: iv.hull([r.arg(0), r.arg(2)]),
    "hardtanh": lambda r: (r.arg(1, (-1, -1))[0], r.arg(2, (1, 1))[1]) if r.spelled == "hardtanh" else REAL,
    "sum": lambda r: _sum(r) if r.spelled == "sum" else REAL,
    "mean": lambda r: _mean(r) if r.spelled == "mean" else REAL,
    "cumsum": _cumsum, "prod": _prod, "max": _first, "min": _first, "logsumexp": _logsumexp,
    "var": lambda r: (0.0, math.inf) if r.spelled == "var" else REAL,
    "std": lambda r: (0.0, math.inf) if r.spelled == "std" else REAL,
    "mse_loss": lambda r: (0.0, math.inf),
    "gather": _first, "index": _first, "select": _first, "sort": _first, "embedding": _first, "view": _view,
    "cat": _first, "scatter": _joined,
    "pad": lambda r: iv.hull([r.arg(0), r.arg(2, (0.0, 0.0))]),
    "triu": lambda r: iv.hull([r.arg(0), (0.0, 0.0)]),
}  # fmt: skip
