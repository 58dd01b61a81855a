"""What is put somewhere of padded rows (see `padded`): back to where it was selected, or one value at their places."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from nllcheck.capture import rowwise
from nllcheck.capture.masks import mask_of
from nllcheck.capture.padding import Padding
from nllcheck.capture.rowwise import NoFormError, shape_of

aten = torch.ops.aten


def put_back(padding: Padding, node: fx.Node, counts: fx.Node) -> None:
    """`out[mask] = f(x[mask])`: every row is at its place already."""
    mask = mask_of(node)
    into, source = node.args[0], node.args[2]
    adds = len(node.args) > 3 and node.args[3]
    if not adds and _is_one_value(padding, node):
        _put_value(padding, node, counts)
        return
    if adds or not padding.selects_alike(mask, counts) or into in padding.held or source not in padding.held:
        raise NoFormError
    with padding.graph.inserting_before(node):
        add = rowwise.builder(padding.graph, node)
        shaped = add(aten.reshape.default, (source, list(shape_of(node))))
        wide = add(aten.reshape.default, (mask, [*shape_of(mask), *[1] * (len(shape_of(node)) - len(shape_of(mask)))]))
        padding.replace(node, add(aten.where.self, (wide, shaped, into)))


def _is_one_value(padding: Padding, node: fx.Node) -> bool:
    """`out[places] = 0`, where the places are padded."""
    into, source = node.args[0], node.args[2]
    places: Any = node.args[1]
    return into not in padding.held and not shape_of(source) and all(p in padding.held for p in places if p is not None)


def _put_value(padding: Padding, node: fx.Node, counts: fx.Node) -> None:
    """A place that does not count is one that does, so it changes nothing, but where none counts."""
    users = list(node.users)
    with padding.graph.inserting_before(node.next):
        add = rowwise.builder(padding.graph, node)
        kept = add(aten.where.self, (add(aten.any.default, (counts,)), node, node.args[0]))
    for user in users:
        user.replace_input_with(node, kept)


def put_alone(padding: Padding, node: fx.Node, counts: fx.Node) -> bool:
    """The one value that is selected, of which Python takes the leading ones before it is put back."""
    source = node.all_input_nodes[0]
    if _only_put(node):
        padding.replace(node, source)
        return True
    puts = [u for u in node.users if u.target is aten.where.self and u.args[1] is node]
    if len(puts) < len(node.users) or not all(padding.selects_alike(u.args[0], counts) for u in puts):  # type: ignore[arg-type]
        return False
    for put in puts:
        with padding.graph.inserting_before(put):
            rows = rowwise.builder(padding.graph, put)(aten.reshape.default, (source, list(shape_of(put))))
        put.args = (put.args[0], rows, put.args[2])
    return True


def _only_put(node: fx.Node) -> bool:
    """Is it read by nothing but `out[mask] = `?"""
    return all(user.target is aten.index_put.default for user in node.users)
