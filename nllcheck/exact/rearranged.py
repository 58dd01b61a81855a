"""Views, selections, joins and choices of balls: each element of the result is one that the op is given, or a zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import fx

from nllcheck import ops
from nllcheck.capture.plain import op_of
from nllcheck.exact.ball import STILL, Ball, ball_of, lift

PUTS = ("index_put", "_unsafe_index_put", "_index_put_impl")


def rearranges(node: fx.Node, spelled: str, args: Sequence[Any]) -> bool:
    """Is each element of its result one that it is given, or a zero?"""
    adds = (spelled in PUTS and len(args) > 3 and args[3]) or str(node.target).endswith(("reduce", "value_reduce"))
    known = spelled == "broadcast_in_dim" or spelled.startswith("upsample_nearest") or _strides(node, spelled)
    return not adds and (known or ops.row(op_of(node)).kind in ("view", "select", "join", "choice"))


def _strides(node: fx.Node, spelled: str) -> bool:
    """A view by strides of what lies in memory in its own order, as balls do."""
    given = node.args[0].meta.get("val") if spelled == "as_strided" and isinstance(node.args[0], fx.Node) else None
    return isinstance(given, torch.Tensor) and given.is_contiguous() and not given.storage_offset()


def rearranged(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ball:
    """Views, selections, joins and choices: the op itself is run on the positions, then the balls are fetched.

    Position 0 holds a zero, for ops that fill up.
    """
    pool: list[Any] = [Ball(np.asarray([arb(0)], dtype=object))]
    offset = 1

    def positions(value: Any) -> Any:
        nonlocal offset
        if isinstance(value, (tuple, list)) and holds_balls(value):
            return [positions(ball_of(v) if isinstance(v, torch.Tensor) else v) for v in value]
        if not isinstance(value, Ball):
            return value
        count = value.value.size
        pool.append(Ball(value.value.reshape(-1), None if value.slope is None else value.slope.reshape(-1)))
        offset += count
        return torch.arange(offset - count, offset).reshape(value.shape)

    name = ops.packet(str(target))
    moved = [positions(a) for a in (_with_values(args, FILLED[name]) if name in FILLED else args)]
    if name in FILLED and name != "where" and isinstance(moved[-1], torch.Tensor) and not moved[-1].dim():
        moved[-1] = int(moved[-1])
    if name.startswith("upsample_nearest"):  # has no kernel for whole numbers
        moved[0] = moved[0].double()
    where = target(*moved, **{k: positions(v) for k, v in kwargs.items()})
    return _fetched(pool, where)


# Ops that put plain values beside or into what they are given -> from which argument on they are values
FILLED = {"where": 1, "masked_fill": 2, "constant_pad_nd": 2, "scatter": 3, "index_fill": 3}


def _with_values(args: tuple[Any, ...], first: int) -> tuple[Any, ...]:
    """Numbers and tensors of whole numbers as balls: they are no positions."""
    values = tuple(ball_of(a) if isinstance(a, (int, float, torch.Tensor)) else a for a in args[first:])
    return (*args[:first], *values)


def _fetched(pool: list[Ball], where: Any) -> Any:
    if isinstance(where, (tuple, list)):
        return tuple(_fetched(pool, w) if isinstance(w, torch.Tensor) else w for w in where)
    index = where.long().numpy()
    values = np.concatenate([p.value for p in pool])
    if all(p.slope is None for p in pool):
        return Ball(_taken(values, index))
    zero = lift(lambda a: STILL, values)
    spans = np.cumsum([0, *(p.value.size for p in pool)])
    for part, start in zip(pool, spans, strict=False):
        if part.slope is not None:
            zero[start : start + part.value.size] = part.slope
    slope = _taken(zero, index)
    return Ball(_taken(values, index), None if all(v is STILL for v in slope.flat) else slope)


def _taken(values: Any, index: Any) -> Any:
    out = np.empty(index.shape, dtype=object)
    out[...] = values[index]
    return out


def holds_balls(values: Sequence[Any]) -> bool:
    """Is a ball among them, or in a list among them?"""
    return any(isinstance(v, Ball) or (isinstance(v, (tuple, list)) and holds_balls(v)) for v in values)
