"""Selections that the values decide (`loss[loss > 0.5].mean()`), with a fixed number of places.

No batch of points has one shape for what such a mask selects. Here every place keeps its row; a place that is not
selected holds a copy of the first that is, without a gradient, and is left out where rows are summed. A copy, and no
number of our own, because the loss is known to have a value there: `log(p[p > 0])` has none at 0. Where none is
selected it is a copy of the first that the batch selects; where this selects none either, of the first there is.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from nllcheck.capture import rowwise
from nllcheck.capture.asked import number_in, put_number
from nllcheck.capture.masks import coordinates, depending, dtype_of, mask_of, selected
from nllcheck.capture.padding import Padding
from nllcheck.capture.putback import put_alone, put_back
from nllcheck.capture.reads import ASKED
from nllcheck.capture.rowwise import NoFormError, outline, shape_of

aten = torch.ops.aten


def padded(module: fx.GraphModule, moves: Callable[[int], bool], tensors: Sequence[torch.Tensor]) -> fx.GraphModule:
    """The program with a row for every place of a mask that depends on a placeholder that `moves`.

    `tensors`: what its placeholders are on the batch. As it is where it has no such mask, where something else than
    sums and means reads what is selected, or where code reads another number than how many are selected (see `asked`).
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    steered = depending(graph, moves)
    if any(mask_of(node) in steered for node in graph.nodes if node.op == "call_function"):
        with contextlib.suppress(NoFormError):
            root = fx.GraphModule(module, graph)
            padding = _Rewriting(root, steered, selected(root, steered, tensors), tensors[0].device)
            padding.run()
            root.meta["padded"] = True
            root.meta["asked"] = tuple(padding.asks.reads)
            return _without_notes(root)
    return _without_notes(module)


def _without_notes(module: fx.GraphModule) -> fx.GraphModule:
    """Nobody runs what only notes that a shape was asked for, nor what nothing reads any more."""
    kept = ("placeholder", "output")
    module.graph.eliminate_dead_code(lambda n: n.op in kept or n.target is aten._local_scalar_dense.default)
    module.recompile()
    return module


class _Rewriting(Padding):
    """Op by op, in their order."""

    def run(self) -> None:
        for node in list(self.graph.nodes):
            reads = [self.held[n] for n in node.all_input_nodes if n in self.held]
            if mask_of(node) in self.steered and node.target is not aten.index_put.default:
                self._select(node, reads)
            elif node.target is aten._local_scalar_dense.default and node.all_input_nodes[0] in self.steered:
                self.read(node)
            elif reads:
                self._follow(node, reads)
            elif number := number_in(node, self.asks.numbers):
                with self.graph.inserting_before(node):
                    put_number(rowwise.builder(self.graph, node), node, number)
        if self.numbers & set(self.awaited):
            raise NoFormError

    def _follow(self, node: fx.Node, reads: list[fx.Node]) -> None:
        """One op that reads padded rows: it has padded rows, or reduces them, or has no form."""
        if node.target is aten.cat.default:
            self._join(node)
            return
        if any(count is not reads[0] for count in reads):
            raise NoFormError
        if node.target is ASKED:
            self.asked_shape(node, reads[0])
            return
        if node.target is aten.index_put.default:
            put_back(self, node, reads[0])
            return
        if self.sizes[reads[0]] == 1 and node.target is aten.reshape.default and put_alone(self, node, reads[0]):
            return
        if (source := rowwise.spread_source(self.graph, node, shape_of(reads[0])[0])) is not None:
            self.held[source] = reads[0]
            node.args = (node.args[0], source, *node.args[2:])
        with self.graph.inserting_before(node):
            other = rowwise.reduced(self.graph, node, self.held, reads[0])
        if other is not None:
            self.replace(node, other)
        else:
            rowwise.widen(node, self.held, shape_of(reads[0])[0], self.sizes[reads[0]])
            self.held[node] = reads[0]

    def _select(self, node: fx.Node, reads: list[fx.Node]) -> None:
        """`x[mask]`: its rows, where the mask holds; else the first of those."""
        if reads:
            raise NoFormError
        mask: Any = mask_of(node)
        with self.graph.inserting_before(node):
            add = rowwise.builder(self.graph, node)
            counts = self.flattened(mask, add)
            before = set(counts.users)
            rows = self._rows(node, mask, add)
            first = add(aten.argmax.default, (add(aten._to_copy.default, (counts,), {"dtype": torch.int64}), 0, True))
            copied = add(aten.detach.default, (add(aten.index.Tensor, (rows, [first])),))
            is_any = rowwise.beside(add, add(aten.index.Tensor, (counts, [first])), rows)
            known = self._first_of_batch(node)
            spare = add(aten.where.self, (is_any, copied, known)) if known else copied
            chosen = add(aten.where.self, (rowwise.beside(add, counts, rows), rows, spare))
        self.asks.as_it_is |= set(counts.users) - before
        self.sizes[counts] = self.chosen[node][1]
        self.held[chosen] = self.asks.of(counts)
        self.replace(node, chosen)
        for asked in [m for m in self.awaited if self.alike(m, mask)]:
            self.awaited.remove(asked)
            self.ask(counts, asked)

    def _first_of_batch(self, node: fx.Node) -> fx.Node | None:
        """What a place holds where none is selected: empty sums take nothing of it, but products need a number."""
        value = self.chosen[node][0]
        if not len(value):
            return None
        name = f"first_{node.name}"
        self.module.register_buffer(name, value)
        made = self.graph.get_attr(name)
        made.meta["val"] = rowwise.outline(tuple(value.shape), value.dtype)
        return made

    def _rows(self, node: fx.Node, mask: fx.Node, add: rowwise.Add) -> fx.Node:
        """What is selected from, (N, ...) for the N places of the mask."""
        places = shape_of(mask)
        if node.target is aten.nonzero.default:
            return coordinates(places, add, self.device)
        source: Any = node.args[0]
        if node.target is aten.masked_select.default and shape_of(source) != places:
            raise NoFormError
        return add(aten.reshape.default, (source, [math.prod(places), *shape_of(source)[len(places) :]]))

    def _join(self, node: fx.Node) -> None:
        """Parts one after the other: those that are not padded count with all their rows."""
        parts: Any = node.args[0]
        if len(node.args) > 1 and node.args[1] != 0:
            raise NoFormError
        with self.graph.inserting_before(node):
            add = rowwise.builder(self.graph, node)
            counts = [self.held.get(p) or add(aten.full.default, ([shape_of(p)[0]], True), self.device) for p in parts]
            all_of_them = add(aten.cat.default, (counts,))
        rest = shape_of(node)[1:]
        node.meta["val"] = outline((shape_of(all_of_them)[0], *rest), dtype_of(node))
        self.held[node] = all_of_them
        self.sizes[all_of_them] = sum(self.sizes[self.held[p]] if p in self.held else shape_of(p)[0] for p in parts)
