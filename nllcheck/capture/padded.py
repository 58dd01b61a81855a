"""Selections that the values decide (`loss[loss > 0.5].mean()`), with a fixed number of places.

No batch of points has one shape for what such a mask selects. Here every place keeps its row; a place that is not
selected holds a copy of the first that is, without a gradient, and is left out where rows are summed. A copy, and no
number of our own, because the loss is known to have a value there: `log(p[p > 0])` has none at 0. Where none is
selected it is a copy of the first that the batch selects.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from nllcheck.capture import rowwise
from nllcheck.capture.asked import Asks, mask_behind, number_in, numbers_of, put_number
from nllcheck.capture.masks import Alike, coordinates, depending, dtype_of, mask_of, selected
from nllcheck.capture.reads import ASKED
from nllcheck.capture.rowwise import NoFormError, outline, shape_of

aten = torch.ops.aten


def padded(module: fx.GraphModule, moves: Callable[[int], bool], tensors: Sequence[torch.Tensor]) -> fx.GraphModule:
    """The program with a row for every place of a mask that depends on a placeholder that `moves`.

    `tensors`: what its placeholders are on the batch. As it is where it has no such mask, where something is computed
    of a selection that is empty on the batch, where something else than sums and means reads what is selected, or where
    code branches on another value than how many are selected (see `asked`).
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    steered = depending(graph, moves)
    if any(mask_of(node) in steered for node in graph.nodes if node.op == "call_function"):
        with contextlib.suppress(NoFormError):
            root = fx.GraphModule(module, graph)
            padding = _Padding(root, steered, selected(root, steered, tensors), tensors[0].device)
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


class _Padding:
    """Rewrites a graph; `held` knows which nodes have padded rows, and which of their places count, (N,)."""

    def __init__(
        self,
        module: fx.GraphModule,
        steered: set[fx.Node],
        chosen: Mapping[fx.Node, tuple[torch.Tensor, int]],
        device: torch.device,
    ) -> None:
        self.module, self.graph, self.steered, self.chosen = module, module.graph, steered, chosen
        self.device = {"device": device}
        self.asks = Asks(self.graph, device)
        self.awaited: list[fx.Node] = []  # masks of which something was asked before they select
        self.sizes: dict[fx.Node, int] = {}  # how many places count on the batch
        self.held: dict[fx.Node, fx.Node] = {}
        self.flat: dict[fx.Node, fx.Node] = {}
        self.alike = Alike()

    def run(self) -> None:
        for node in list(self.graph.nodes):
            reads = [self.held[n] for n in node.all_input_nodes if n in self.held]
            if mask_of(node) in self.steered and node.target is not aten.index_put.default:
                self._select(node, reads)
            elif node.target is aten._local_scalar_dense.default and node.all_input_nodes[0] in self.steered:
                self._read(node)
            elif reads:
                self._follow(node, reads)
            elif number := number_in(node, self.asks.numbers):
                with self.graph.inserting_before(node):
                    put_number(rowwise.builder(self.graph, node), node, number)
        if self.awaited:
            raise NoFormError

    def _read(self, node: fx.Node) -> None:
        """Python takes a value: how many places a mask has, or it is no number that only the selection decides."""
        mask = mask_behind(node)
        if mask is None and dtype_of(node.all_input_nodes[0]) == torch.bool:
            return  # the code goes one way or another: the sweeps know where it does not go this one
        if mask is None:
            raise NoFormError
        known = self._known(mask)
        if known is None:
            self.awaited.append(mask)
        else:
            self._ask(self.flat[known], node)

    def _ask(self, counts: fx.Node, asked: fx.Node) -> None:
        new = self.asks.settle(counts, asked)
        self.sizes[new] = self.sizes[counts]
        self.held = {n: new if c is counts else c for n, c in self.held.items()}

    def _asked_shape(self, node: fx.Node, counts: fx.Node) -> None:
        rows: Any = node.args[0]
        self._ask(counts, node)
        self.asks.numbers += numbers_of(rows, self.asks.of(counts), self.sizes[counts])

    def _follow(self, node: fx.Node, reads: list[fx.Node]) -> None:
        """One op that reads padded rows: it has padded rows, or reduces them, or has no form."""
        if node.target is aten.cat.default:
            self._join(node)
            return
        if any(count is not reads[0] for count in reads):
            raise NoFormError
        if node.target is ASKED:
            self._asked_shape(node, reads[0])
            return
        if node.target is aten.index_put.default:
            self._put_back(node, reads[0])
            return
        if self.sizes[reads[0]] == 1 and node.target is aten.reshape.default and self._put_alone(node, reads[0]):
            return
        if (source := rowwise.spread_source(self.graph, node, shape_of(reads[0])[0])) is not None:
            self.held[source] = reads[0]
            node.args = (node.args[0], source, *node.args[2:])
        with self.graph.inserting_before(node):
            other = rowwise.reduced(self.graph, node, self.held, reads[0])
        if other is not None:
            self._replace(node, other)
        else:
            rowwise.widen(node, self.held, shape_of(reads[0])[0])
            self.held[node] = reads[0]

    def _select(self, node: fx.Node, reads: list[fx.Node]) -> None:
        """`x[mask]`: its rows, where the mask holds; else the first of those."""
        if reads:
            raise NoFormError
        mask: Any = mask_of(node)
        with self.graph.inserting_before(node):
            add = rowwise.builder(self.graph, node)
            counts = self._flat(mask, add)
            before = set(counts.users)
            rows = self._rows(node, mask, add)
            first = add(aten.argmax.default, (add(aten._to_copy.default, (counts,), {"dtype": torch.int64}), 0, True))
            copied = add(aten.detach.default, (add(aten.index.Tensor, (rows, [first])),))
            is_any = rowwise.beside(add, add(aten.index.Tensor, (counts, [first])), rows)
            known = copied if self._only_put(node) else self._first_of_batch(node)
            spare = add(aten.where.self, (is_any, copied, known))
            chosen = add(aten.where.self, (rowwise.beside(add, counts, rows), rows, spare))
        self.asks.as_it_is |= set(counts.users) - before
        self.sizes[counts] = self.chosen[node][1]
        self.held[chosen] = self.asks.of(counts)
        self._replace(node, chosen)
        for asked in [m for m in self.awaited if self.alike(m, mask)]:
            self.awaited.remove(asked)
            self._ask(counts, asked)

    def _only_put(self, node: fx.Node) -> bool:
        """Nothing is computed of what is selected (`out[mask] = x[mask]`), so it may be anything where none is."""
        return all(user.target is aten.index_put.default for user in node.users)

    def _first_of_batch(self, node: fx.Node) -> fx.Node:
        """What a place holds where none is selected: empty sums take nothing of it, but products need a number."""
        value = self.chosen[node][0]
        if not len(value):
            raise NoFormError
        name = f"first_{node.name}"
        self.module.register_buffer(name, value)
        made = self.graph.get_attr(name)
        made.meta["val"] = rowwise.outline(tuple(value.shape), value.dtype)
        return made

    def _flat(self, mask: fx.Node, add: rowwise.Add) -> fx.Node:
        """The mask as (N,), one node for masks that are computed alike."""
        known = self._known(mask)
        if known is None:
            self.flat[mask] = add(aten.reshape.default, (mask, [math.prod(shape_of(mask))]))
        return self.flat[known or mask]

    def _known(self, mask: fx.Node) -> fx.Node | None:
        return next((m for m in self.flat if self.alike(m, mask)), None)

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

    def _put_back(self, node: fx.Node, counts: fx.Node) -> None:
        """`out[mask] = f(x[mask])`: every row is at its place already."""
        mask = mask_of(node)
        into, source = node.args[0], node.args[2]
        adds = len(node.args) > 3 and node.args[3]
        if adds or not self._selects_alike(mask, counts) or into in self.held or source not in self.held:
            raise NoFormError
        with self.graph.inserting_before(node):
            add = rowwise.builder(self.graph, node)
            shaped = add(aten.reshape.default, (source, list(shape_of(node))))
            wide = add(
                aten.reshape.default, (mask, [*shape_of(mask), *[1] * (len(shape_of(node)) - len(shape_of(mask)))])
            )
            self._replace(node, add(aten.where.self, (wide, shaped, into)))

    def _selects_alike(self, mask: fx.Node | None, counts: fx.Node) -> bool:
        known = self._known(mask) if mask is not None else None
        return known is not None and self.asks.of(self.flat[known]) is counts

    def _put_alone(self, node: fx.Node, counts: fx.Node) -> bool:
        """The one value that is selected, of which Python takes the leading ones before it is put back."""
        source = node.all_input_nodes[0]
        if self._only_put(node):
            self._replace(node, source)
            return True
        puts = [u for u in node.users if u.target is aten.where.self and u.args[1] is node]
        if len(puts) < len(node.users) or not all(self._selects_alike(u.args[0], counts) for u in puts):  # type: ignore[arg-type]
            return False
        for put in puts:
            with self.graph.inserting_before(put):
                rows = rowwise.builder(self.graph, put)(aten.reshape.default, (source, list(shape_of(put))))
            put.args = (put.args[0], rows, put.args[2])
        return True

    def _replace(self, old: fx.Node, new: fx.Node) -> None:
        if old in self.steered:
            self.steered.add(new)
        old.replace_all_uses_with(new)
        self.graph.erase_node(old)
