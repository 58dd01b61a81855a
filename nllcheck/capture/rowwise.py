"""What ops do to padded rows (see `padded`): keep each row by itself, or reduce those that count."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import fx

from nllcheck import ops

aten = torch.ops.aten
Add = Callable[..., fx.Node]


class NoFormError(Exception):
    """An op that is not known to keep rows apart."""


_ALONG = ("_softmax", "_log_softmax", "logsumexp", "sum", "mean", "amax", "amin", "argmax", "argmin", "cumsum",
          "select", "slice", "squeeze", "gather", "prod", "linalg_vector_norm", "logcumsumexp", "unbind",
          "select_scatter", "slice_scatter", "split_with_sizes", "split")  # fmt: skip
_OF_EACH = ("_to_copy", "detach", "alias", "zeros_like", "ones_like", "full_like", "log_sigmoid_forward")
_MEANS, _SUMS = 1, 2  # torch's numbers for a reduction


def outline(shape: tuple[int, ...], dtype: torch.dtype | None) -> torch.Tensor:
    """A tensor without memory, for what a node says of its value."""
    return torch.empty(shape, dtype=dtype, device="meta")


def shape_of(node: Any) -> tuple[int, ...]:
    """A node's shape on the batch. Raises NoFormError for what is no tensor."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    if isinstance(value, (tuple, list)):  # the first of several results is what is read
        value = value[0]
    if not isinstance(value, torch.Tensor):
        raise NoFormError
    return tuple(value.shape)


def builder(graph: fx.Graph, like: fx.Node) -> Add:
    """`add(op, args, kwargs)`: a new node at the line of `like`, with the shape that the op gives."""

    def add(op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> fx.Node:
        named = dict(kwargs or {})
        node = graph.call_function(op, args, named)
        nowhere = {"device": torch.device("meta")} if "device" in named else {}
        values = pytree.tree_map_only(fx.Node, lambda n: n.meta["val"], args)
        node.meta = {**like.meta, "val": op(*values, **{**named, **nowhere})}
        return node

    return add


def beside(add: Add, counts: fx.Node, rows: fx.Node) -> fx.Node:
    """Which rows count, (N,), in a shape that goes with the rows (N, ...)."""
    return add(aten.reshape.default, (counts, [-1, *[1] * (len(shape_of(rows)) - 1)]))


def widen(node: fx.Node, held: Mapping[fx.Node, Any], places: int, selected: int) -> None:
    """An op that gives a row for each row: what it says of its shape is set right. Raises NoFormError for others.

    `selected`: how many of the `places` count on the batch, where its shapes are from.
    """
    shape = shape_of(node)
    if not (_is_plain(node, held, len(shape)) or _is_along(node, held) or _is_by_rows(node, held)):
        if not _is_reshaped(node, selected):
            raise NoFormError
        node.args = (node.args[0], [places, *shape[1:]])
    values = node.meta["val"]
    first = values[0] if isinstance(values, (tuple, list)) else values
    wide = outline((places, *shape[1:]), first.dtype)
    node.meta["val"] = (wide, *values[1:]) if isinstance(values, (tuple, list)) else wide


def _tensors(node: fx.Node, held: Mapping[fx.Node, Any]) -> list[tuple[int, bool, int]]:
    """Of each tensor that is read: dimensions, is it padded, and its rows."""
    shapes = [(shape_of(n), n in held) for n in node.all_input_nodes]
    return [(len(s), padded, s[0] if s else 1) for s, padded in shapes]


def _is_plain(node: fx.Node, held: Mapping[fx.Node, Any], dims: int) -> bool:
    """Elementwise, rows beside rows, and with nothing else that differs from row to row."""
    name = ops.packet(str(node.target))
    if name == "getitem":
        source, place = _args(node)
        return place == 0 or ops.packet(str(source.target)) in ("unbind", "split_with_sizes", "split")
    if torch.Tag.pointwise not in node.target.tags and name not in _OF_EACH:  # type: ignore[union-attr]
        return False
    return all((d == dims) if padded else (d < dims or rows == 1) for d, padded, rows in _tensors(node, held))


def _is_along(node: fx.Node, held: Mapping[fx.Node, Any]) -> bool:
    """Along other dimensions than the rows."""
    name, args = ops.packet(str(node.target)), _args(node)
    if name == "unsqueeze":
        return bool(args[1] % (len(shape_of(args[0])) + 1) != 0)
    if name == "constant_pad_nd":
        return len(args[1]) // 2 < len(shape_of(args[0]))
    if name not in _ALONG or any(not padded for _, padded, _ in _tensors(node, held)):
        return False
    along = dims_of(node)
    return bool(along) and 0 not in along


def dims_of(node: fx.Node) -> tuple[int, ...]:
    """The dimensions that an op is told, counted from the first; () where it takes all."""
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    told = {**dict(zip(names, _args(node), strict=False)), **node.kwargs}.get("dim")
    count = max(len(shape_of(node.args[0])), 1)
    return tuple(d % count for d in ([told] if isinstance(told, int) else told or ()))


def _args(node: fx.Node) -> tuple[Any, ...]:
    return node.args


def _is_by_rows(node: fx.Node, held: Mapping[fx.Node, Any]) -> bool:
    """A layer on rows, or a table that is read with rows of places."""
    name, args = ops.packet(str(node.target)), _args(node)
    if name in ("mm", "addmm"):
        *added, rows, weight = args
        return rows in held and weight not in held and all(len(shape_of(a)) == 1 for a in added)
    if name == "embedding":
        return args[0] not in held
    if name == "index":
        return args[0] not in held and all(p in held for p in args[1])
    return False


def _is_reshaped(node: fx.Node, selected: int) -> bool:
    """Another shape of each row by itself: the first dimension stays."""
    before, after = shape_of(node.args[0]), shape_of(node)
    if not after or after[0] != selected:
        return False
    if ops.packet(str(node.target)) == "expand":
        return len(before) == len(after)
    return ops.packet(str(node.target)) == "reshape" and math.prod(before[1:]) == math.prod(after[1:])


def reduced(graph: fx.Graph, node: fx.Node, held: Mapping[fx.Node, Any], counts: fx.Node) -> fx.Node | None:
    """What stands for an op that takes all rows together; None for an op that does not."""
    name, add = ops.packet(str(node.target)), builder(graph, node)
    if name in ("sum", "mean", "logsumexp") and (not dims_of(node) or 0 in dims_of(node)):
        return _summed(add, node, counts)
    if name in _EXTREMES and len(node.args) == 1:
        return add(node.target, (_without(add, node.args[0], counts, _EXTREMES[name]),))
    if name == "nll_loss_forward" and all(a in held for a in node.args[:2]) and node.args[3] != 0:
        out = add(aten.logical_not.default, (counts,))
        labels = add(aten.masked_fill.Scalar, (node.args[1], out, node.args[4]))
        return _meant(add(node.target, (node.args[0], labels, *node.args[2:])), "nll_loss")
    return _loss(add, node, held, counts)


_EXTREMES = {"min": math.inf, "amin": math.inf, "max": -math.inf, "amax": -math.inf}


def spread_source(graph: fx.Graph, node: fx.Node, places: int) -> fx.Node | None:
    """Of an assignment to a part of each row, one value for all: spread over `places` rows. None if it is not that."""
    source: Any = node.args[1] if ops.packet(str(node.target)) in ("select_scatter", "slice_scatter") else None
    if not isinstance(source, fx.Node) or source.target is not aten.expand.default:
        return None
    if shape_of(source.args[0]):
        return None
    with graph.inserting_before(node):
        return builder(graph, node)(aten.expand.default, (source.args[0], [places, *shape_of(source)[1:]]))


def _summed(add: Add, node: fx.Node, counts: fx.Node) -> fx.Node:
    name, source = ops.packet(str(node.target)), node.args[0]
    filled = _without(add, source, counts, -math.inf if name == "logsumexp" else 0)
    if name != "mean":
        return add(node.target, (filled, *node.args[1:]), node.kwargs)
    return _over(add, add(node.target, (filled, *node.args[1:]), node.kwargs), counts, name)


def _over(add: Add, mean: fx.Node, counts: fx.Node, name: str) -> fx.Node:
    """A mean over all rows, zeros among them, divided by the share of those that count: the end of an op `name`.

    The total and the number of rows may be beyond float16, which such means are not.
    """
    ones = add(aten._to_copy.default, (counts,), {"dtype": mean.meta["val"].dtype})
    ones.meta["custom"] = counts.meta.get("custom", {})
    return _meant(add(aten.div.Tensor, (mean, add(aten.mean.default, (ones,)))), name)


def _meant(node: fx.Node, name: str) -> fx.Node:
    """The op that somebody wrote: the last of those that stand for it bears its name."""
    note = node.meta.get("custom") or {}
    if "mark" in note:
        node.meta["custom"] = {**note, "mark": replace(note["mark"], meant=name)}
    return node


def _without(add: Add, rows: Any, counts: fx.Node, neutral: float) -> fx.Node:
    """The rows that do not count are neutral."""
    out = add(aten.logical_not.default, (beside(add, counts, rows),))
    return add(aten.masked_fill.Scalar, (rows, out, neutral))


_LOSSES = ("mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "soft_margin_loss")


def _loss(add: Add, node: fx.Node, held: Mapping[fx.Node, Any], counts: fx.Node) -> fx.Node | None:
    """A loss of torch's that reduces by itself: without its reduction, then reduced."""
    name = ops.packet(str(node.target))
    if name not in _LOSSES or any(not padded for _, padded, _ in _tensors(node, held)):
        return None
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = [node.args[i] if i < len(node.args) else a.default_value for i, a in enumerate(schema)]
    at = [a.name for a in schema].index("reduction")
    if given[at] not in (_MEANS, _SUMS):
        raise NoFormError
    each = add(node.target, (*given[:at], 0, *given[at + 1 :]), node.kwargs)
    filled = _without(add, each, counts, 0)
    if given[at] == _SUMS:
        return add(aten.sum.default, (filled,))
    return _over(add, add(aten.mean.default, (filled,)), counts, ops.rule_name(str(node.target)))
