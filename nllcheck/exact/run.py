"""Runs a captured forward graph on balls: which op has which exact form, and where one meets its pole."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from flint import acb, arb
from torch import fx

from nllcheck import ops
from nllcheck.capture.own import OwnBackward
from nllcheck.capture.plain import op_of
from nllcheck.exact import forms, linalg, places
from nllcheck.exact.ball import Ball, UndecidedError, ball_of, lift
from nllcheck.exact.decomposed import inputs_of, program_of
from nllcheck.exact.rearranged import PUTS, holds_balls, rearranged, rearranges
from nllcheck.exact.table import FORMS, UNARY, one


class Still:
    """The nodes that no moved input reaches: their balls are the same wherever an axis goes. Those that others read are
    kept of the first run that meets no pole."""

    def __init__(self, module: fx.GraphModule, moving: Collection[int]) -> None:
        starts = [n for n in module.graph.nodes if n.op == "placeholder"]
        reached = {n for k, n in enumerate(starts) if k in moving}
        for n in module.graph.nodes:
            reached |= {n} if reached.intersection(n.all_input_nodes) else set()
        self.nodes = {n for n in module.graph.nodes if n not in reached and n.op in ("call_function", "get_attr")}
        self.read = {n for n in self.nodes if not self.nodes.issuperset(n.users)}
        self.values: dict[fx.Node, Any] = {}
        self.is_known = False

    def keeps(self, node: fx.Node) -> bool:
        """Is the node's value at hand, so that nothing is computed?"""
        return self.is_known and node in self.nodes


class Exact(fx.Interpreter):
    """Runs a forward graph on balls. Whatever holds no float runs as it is."""

    singular = ""  # the first op that has no value at exact arguments: a pole, not a want of precision
    reading: Sequence[Any] = ()  # what the op at work was given

    def __init__(self, module: fx.GraphModule, still: Still) -> None:
        super().__init__(module)
        self.still = still

    def run(self, *args: Any) -> Any:  # type: ignore[override]
        result = super().run(*args)
        self.still.is_known = self.still.is_known or not self.singular
        return result

    def run_node(self, n: fx.Node) -> Any:
        if self.still.keeps(n):
            return self.still.values.get(n)
        value = self._made(n)
        if n in self.still.read:
            self.still.values[n] = value
        return value

    def _made(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            value = super().run_node(n)
            return ball_of(value) if _is_float(value) else _on_cpu(value)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        spelled = ops.packet(str(n.target))
        args = _for_their_shape(n, args)
        if not holds_balls([*args, *kwargs.values()]):
            value = n.target(*args, **kwargs)  # type: ignore[operator]
            return ball_of(value) if _is_float(value) else value
        self.reading = args
        value = self._applied(n, spelled, args, kwargs)
        if not self.singular and (_is_pole(op_of(n), args, value) or _is_outside(spelled, args)):
            self.singular = op_of(n)
        if not self.singular and spelled == "_linalg_slogdet" and linalg.is_singular(args[0]):
            self.singular = op_of(n)
        if not self.singular and spelled == "where" and bool(args[0].any()) and _asks_for_a_sign(n.args[0]):
            self.singular = "logdet"
        return value

    def _applied(self, n: fx.Node, spelled: str, args: Any, kwargs: Any) -> Any:
        made = None if _has_form(n, spelled, args) else program_of(n.target, args, kwargs)
        if made is None:
            return _apply(n, spelled, args, kwargs)
        inner = Exact(made, Still(made, ()))
        value = inner.run(*inputs_of(args, kwargs))
        self.singular = self.singular or inner.singular
        return value


def _for_their_shape(node: fx.Node, args: Any) -> Any:
    """What is filled anew, as by `zeros_like`, is read for its shape; memory as it was found has no values."""
    fills = ops.row(op_of(node)).kind == "create" and "empty" not in str(node.target)
    return (torch.zeros(args[0].shape), *args[1:]) if fills and isinstance(args[0], Ball) else args


def _asks_for_a_sign(node: Any) -> bool:
    """`sign == -1` of a determinant, where `torch.logdet` is NaN by its own choice."""
    for name in ("eq", "getitem"):
        if not isinstance(node, fx.Node) or ops.packet(str(node.target)) != name:
            return False
        node = node.args[0]
    return ops.packet(str(node.target)) == "_linalg_slogdet"


def _is_pole(op: str, args: Sequence[Any], value: Any) -> bool:
    """No finite value at some element, though what it is computed from is known without error there.

    A division by exactly 0 has none whatever is divided.
    """
    if not isinstance(value, Ball) or not any(_is_nan(v) for v in value.value.flat):
        return False
    if ops.row(op).kind in ("view", "select", "choice", "join", "create"):  # these only hand on
        return False
    given = [a.value for a in args if isinstance(a, Ball)]
    if op == "div" and len(given) == 2:
        given = given[1:]
    if ops.row(op).kind != "elementwise":
        return all(_is_known(v) for part in given for v in part.flat)
    known = lift(lambda v, *parts: _is_nan(v) and all(map(_is_known, parts)), value.value, *given)
    return bool(known.any())


def reads_no_value(args: Sequence[Any]) -> bool:
    """Is one of the op's arguments nowhere a number? Then no precision will ever decide a comparison with it."""
    return any(isinstance(a, Ball) and any(not v.is_finite() for v in a.value.flat) for a in args)


def _is_nan(value: arb | acb) -> bool:
    return bool(value.is_nan() if isinstance(value, arb) else value.real.is_nan() or value.imag.is_nan())


def _is_known(value: arb | acb) -> bool:
    """Without error: a number, or an infinity that was written down."""
    return bool(value.is_exact() and not _is_nan(value))


# ATen name -> the ends of the op's domain; of a power, where its exponent is no whole number
DOMAINS = {
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt", "pow"), (0.0, math.inf)),
    **dict.fromkeys(("asin", "acos", "atanh"), (-1.0, 1.0)),
    "log1p": (-1.0, math.inf),
    "acosh": (1.0, math.inf),
    "logit": (0.0, 1.0),
}


def _is_outside(spelled: str, args: Sequence[Any]) -> bool:
    """Is an argument certainly outside the op's domain?"""
    if spelled not in DOMAINS or not isinstance(args[0], Ball) or (spelled == "pow" and not _is_fraction(args[1])):
        return False
    low, high = map(arb, DOMAINS[spelled])
    return any(bool(v < low) or bool(v > high) for v in args[0].value.flat)


def _is_fraction(exponent: Any) -> bool:
    return isinstance(exponent, float) and not exponent.is_integer()


def _on_cpu(value: Any) -> Any:
    """Indices and masks beside the balls, which live on the CPU."""
    return value.cpu() if isinstance(value, torch.Tensor) else value


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _apply(node: fx.Node, spelled: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if spelled in UNARY:
        return one(spelled, args[0])
    if spelled in forms.COMPARE:
        answer = forms.compared(spelled, args[0], args[1])
        return torch.as_tensor(np.asarray(answer, dtype=bool))
    if spelled in PUTS and not rearranges(node, spelled, args):
        return places.index_put(*args)
    if spelled in FORMS:
        return FORMS[spelled](*args, **{k: v for k, v in kwargs.items() if k != "dtype"})
    if spelled == "getitem":
        return args[0][args[1]]
    if spelled in SAME:
        return _same(spelled, args[0], kwargs)
    if rearranges(node, spelled, args):
        return rearranged(node.target, args, kwargs)
    if isinstance(node.target, OwnBackward) and node.target.is_derivative:
        return args[0] if node.target.results == 1 else args[: node.target.results]
    raise UndecidedError(f"no exact form of {op_of(node)}")


SAME = ("_to_copy", "detach", "clone", "alias", "lift_fresh_copy", "_local_scalar_dense")


def _has_form(node: fx.Node, spelled: str, args: Sequence[Any]) -> bool:
    own = spelled in UNARY or spelled in forms.COMPARE or spelled in FORMS or spelled in SAME
    return own or spelled in ("getitem", *PUTS) or rearranges(node, spelled, args)


def _same(spelled: str, x: Any, kwargs: dict[str, Any]) -> Any:
    dtype = kwargs.get("dtype")
    if isinstance(x, Ball) and dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        return torch.as_tensor(lift(lambda a: int(float(places.cut(a))), x.value).astype(np.int64)).to(dtype)
    if spelled in ("detach", "_local_scalar_dense") and isinstance(x, Ball):
        return Ball(x.value)
    return x
