"""The state of a rewriting that gives selections a fixed number of rows (see `padded`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from nllcheck.capture.asked import Asks, mask_behind, numbers_of
from nllcheck.capture.masks import Alike, dtype_of
from nllcheck.capture.rowwise import Add, NoFormError, shape_of

aten = torch.ops.aten


class Padding:
    """A graph that is rewritten; `held` knows which nodes have padded rows, and which of their places count, (N,)."""

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
        self.numbers: set[fx.Node] = set()  # those of them of which it was a number
        self.sizes: dict[fx.Node, int] = {}  # how many places count on the batch
        self.held: dict[fx.Node, fx.Node] = {}
        self.flat: dict[fx.Node, fx.Node] = {}
        self.alike = Alike()

    def read(self, node: fx.Node) -> None:
        """Python takes a value: how many places a mask has, or it is no number that only the selection decides."""
        mask = mask_behind(node)
        is_branch = dtype_of(node.all_input_nodes[0]) == torch.bool
        if mask is None and is_branch:
            return  # the code goes one way or another: the sweeps know where it does not go this one
        if mask is None:
            raise NoFormError
        known = self.known(mask)
        if known is None:
            self.awaited.append(mask)
            self.numbers |= set() if is_branch else {mask}
        else:
            self.ask(self.flat[known], node)

    def ask(self, counts: fx.Node, asked: fx.Node) -> None:
        new = self.asks.settle(counts, asked)
        self.sizes[new] = self.sizes[counts]
        self.held = {n: new if c is counts else c for n, c in self.held.items()}

    def asked_shape(self, node: fx.Node, counts: fx.Node) -> None:
        rows: Any = node.args[0]
        self.ask(counts, node)
        self.asks.numbers += numbers_of(rows, self.asks.of(counts), self.sizes[counts])

    def flattened(self, mask: fx.Node, add: Add) -> fx.Node:
        """The mask as (N,), one node for masks that are computed alike."""
        known = self.known(mask)
        if known is None:
            self.flat[mask] = add(aten.reshape.default, (mask, [math.prod(shape_of(mask))]))
        return self.flat[known or mask]

    def known(self, mask: fx.Node) -> fx.Node | None:
        return next((m for m in self.flat if self.alike(m, mask)), None)

    def selects_alike(self, mask: fx.Node | None, counts: fx.Node) -> bool:
        known = self.known(mask) if mask is not None else None
        return known is not None and self.asks.of(self.flat[known]) is counts

    def replace(self, old: fx.Node, new: fx.Node) -> None:
        if old in self.steered:
            self.steered.add(new)
        old.replace_all_uses_with(new)
        self.graph.erase_node(old)
