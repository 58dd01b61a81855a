"""From a loss down to its terms: a walk through everything that is linear."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.density.samples.terms import Tail, Term, dependents, without_ones

_SAME = {
    "reshape", "view", "_unsafe_view", "squeeze", "unsqueeze", "expand", "permute", "transpose", "t", "clone", "detach",
    "alias", "_to_copy", "slice", "select", "index", "lift_fresh_copy", "masked_select", "nan_to_num", "getitem",
}  # fmt: skip


def tail_of(module: fx.GraphModule, target: str, values: dict[fx.Node, Any]) -> Tail:
    """The terms of the module's loss. `target` names the target's placeholder, `values` are the nodes' on the batch."""
    holders = {n for n in module.graph.nodes if n.op == "placeholder"}
    targets = {n for n in holders if n.name == target}
    on_target, on_model = dependents(module.graph, targets), dependents(module.graph, holders - targets)
    shape = next(iter(values[t].shape for t in targets))
    walk = _Walk(on_target, on_target | on_model, values, tuple(shape))
    loss = module.graph.output_node().args[0]
    return Tail(_merged(walk.terms(loss, 1.0, 1.0)), on_target, on_model)  # type: ignore[arg-type]


def _merged(terms: Iterator[Term]) -> tuple[Term, ...]:
    """Terms met on several ways are one, with the sum of their factors."""
    found: dict[Any, Term] = {}
    for term in terms:
        key = (term.node, term.constant is None, term.constant)
        old = found.get(key)
        found[key] = replace(old, factor=old.factor + term.factor) if old else term
    return tuple(t for t in found.values() if t.constant != 0)


def _counts(shape: tuple[int, ...]) -> set[float]:
    """Numbers that count samples: products of the target's leading dimensions, and of each alone."""
    return {float(math.prod(shape[:k])) for k in range(1, len(shape) + 1)} | {float(s) for s in shape}


class _Walk:
    def __init__(
        self, on_target: frozenset[fx.Node], varying: frozenset[fx.Node], values: dict[fx.Node, Any],
        shape: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.on_target, self.varying, self.values, self.shape = on_target, varying, values, shape
        self.counts, self.lead = _counts(shape) - {1.0}, shape[0] if shape else 0

    def terms(self, node: fx.Node, factor: float, reduced: float) -> Iterator[Term]:
        """The terms below `node`, of which the loss takes `factor * reduced` times the sum of elements."""
        name = ops.packet(str(node.target))
        if node not in self.varying or node.op != "call_function" or self._turns(node):
            yield Term(node, factor, reduced)
        elif name in ("add", "sub", "rsub"):
            yield from self._sum(node, name, factor, reduced)
        elif name == "neg":
            yield from self.terms(node.args[0], -factor, reduced)  # type: ignore[arg-type]
        elif name in ("sum", "mean") or self._is_of_one(node, name):
            shrink = self._size(node.args[0]) / self._size(node) if name == "mean" else 1.0
            for term in self.terms(node.args[0], factor, reduced / shrink):  # type: ignore[arg-type]
                yield replace(term, summed=term.summed or node.args[0])  # type: ignore[arg-type]
        elif name == "log" and (found := self._exponent(node.args[0])):
            yield from self._within(node, found[0], factor, reduced)
            yield from [Term(node, factor, reduced, found[1])] if found[1] else []
        elif name in ("mul", "div") and (way := self._scaled(node, name, factor, reduced)):
            yield from self._within(node, *way)
        elif name == "masked_fill" and node.args[1] not in self.varying and self._number(node.args[2]) == 0:
            yield from self.terms(node.args[0], factor, reduced)  # type: ignore[arg-type]
        elif name == "where" and node.args[0] not in self.varying and self._is_mask(node):
            for part in node.args[1:3]:
                if part in self.varying:
                    yield from self.terms(part, factor, reduced)  # type: ignore[arg-type]
        elif name in ("stack", "cat") and len(node.args[0]) == 1:  # type: ignore[arg-type]
            yield from self._within(node, node.args[0][0], factor, reduced)  # type: ignore[index]
        elif name in _SAME and node.args[0] in self.varying and not self._picks_by_value(node):
            yield from self._handed_on(node, factor, reduced)
        else:
            yield Term(node, factor, reduced)

    def _exponent(self, node: Any) -> tuple[fx.Node, float] | None:
        """What `node` is a mean of exponentials of, if of one each, and the logarithm of the factor before it."""
        factor, is_mean = 1.0, False
        while self._is_moving(node) and ops.packet(str(node.target)) != "exp":
            name, by = ops.packet(str(node.target)), node.args[1] if len(node.args) > 1 else None
            number = self._number(by) if name in ("mul", "div") and by not in self.varying else None
            is_one = name in ("sum", "mean", *_SAME) and self._size(node.args[0]) == self._size(node)
            if not is_one and not (number or 0) > 0:
                return None
            factor *= 1.0 if number is None else number if name == "mul" else 1 / number
            node, is_mean = node.args[0], is_mean or name in ("sum", "mean")
        return (node.args[0], math.log(factor)) if is_mean and self._is_moving(node) else None

    def _is_moving(self, node: Any) -> bool:
        return isinstance(node, fx.Node) and node.op == "call_function" and node in self.varying

    def _is_of_one(self, node: fx.Node, name: str) -> bool:
        """Does it take the largest of one number, or sum one in the exponent? It is that number then."""
        return name in ("logsumexp", "amax", "amin") and self._size(node.args[0]) == self._size(node)

    def _handed_on(self, node: fx.Node, factor: float, reduced: float) -> Iterator[Term]:
        """The terms of what a view or a selection hands on. A part of one value that fits the target is a term by
        itself: `output[:, 2:]` can be read by sample, the whole output cannot. Of what reads the target it need not."""
        found = list(self._within(node, node.args[0], factor, reduced))  # type: ignore[arg-type]
        larger = [t for t in found if t.constant is None and self._size(t.node) > self._size(node)]
        is_part = bool(larger) and (larger == found or any(not self._fits(t.node) for t in larger))
        apart = is_part and node not in self.on_target and self._fits(node)
        yield from [Term(node, factor, reduced)] if apart else found

    def _fits(self, node: fx.Node) -> bool:
        """Has it a number for every element of the target, or for each of its rows?"""
        own = tuple(self.values[node].shape)
        whole = len(own) == len(self.shape) and all(a in (1, b) for a, b in zip(own, self.shape, strict=True))
        return whole or own == self.shape[: len(own)]

    def _turns(self, node: fx.Node) -> bool:
        """Is it the first to have the samples in front, as behind `solve(L, (y - mu).T)` or `scale[mask]`? What is
        below cannot be read by sample."""
        both: tuple[Any, ...] = (node, node.args[0])
        shapes = [without_ones(v.shape) for n in both if isinstance(v := self.values.get(n), torch.Tensor)]
        if len(shapes) < 2 or not shapes[1] or self.lead < 2:
            return False
        picks = ops.packet(str(node.target)) in ("index", "masked_select")
        return shapes[0][:1] == (self.lead,) != shapes[1][:1] and (picks or self.lead in shapes[1][1:])

    def _picks_by_value(self, node: fx.Node) -> bool:
        """Is something besides the first argument taken from the model or the target (a gather by label), or is the
        node an element of a list of results?"""
        first = node.args[0]
        listed = not isinstance(self.values.get(first), torch.Tensor)  # type: ignore[arg-type]
        return listed or any(i in self.varying for i in node.all_input_nodes if i is not first)

    def _is_mask(self, node: fx.Node) -> bool:
        """Does it put 0 wherever it does not hand on a value?"""
        return all(part in self.varying or self._number(part) == 0 for part in node.args[1:3])

    def _sum(self, node: fx.Node, name: str, factor: float, reduced: float) -> Iterator[Term]:
        left, right = node.args[:2]
        alpha = float(node.kwargs.get("alpha", node.args[2] if len(node.args) > 2 else 1.0))  # type: ignore[arg-type]
        signs = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[name]
        for part, sign in zip((left, right), signs, strict=True):
            number = None if part in self.varying else self._number(part)
            if number is not None:
                yield Term(node, factor, reduced, sign * number)
            else:
                yield from self._within(node, part, factor * sign, reduced)

    def _within(self, node: fx.Node, part: Any, factor: float, reduced: float) -> Iterator[Term]:
        """The terms below `part`, marked where `node` spreads it over more elements than it has."""
        spread = self._size(part) < self._size(node)
        is_single = self._size(part) == 1
        for term in self.terms(part, factor, reduced):
            yield replace(term, shared=is_single, repeated=not is_single) if spread else term

    def _scaled(self, node: fx.Node, name: str, factor: float, reduced: float) -> tuple[fx.Node, float, float] | None:
        """Through a multiplication by what neither model nor target moves; None for any other."""
        first, second = node.args[:2]
        if name == "mul" and (not isinstance(first, fx.Node) or first not in self.varying):
            first, second = second, first
        if not isinstance(first, fx.Node) or first not in self.varying:
            return None
        if isinstance(second, fx.Node) and second in self.varying:
            return None
        number = self._number(second)
        if number is None:  # weights, a mask, lengths: their share is read from the adjoint
            return first, factor, reduced
        if name == "div":
            is_count = self._size(node) == 1 and (number in self.counts or isinstance(second, fx.Node))
            is_count |= isinstance(second, fx.Node) and self._summed(first) == number
            return (first, factor, reduced / number) if is_count else (first, factor / number, reduced)
        is_count = self._size(node) == 1 and any(
            c > 2 and math.isclose(number * c, 1, rel_tol=1e-6) for c in self.counts
        )
        return (first, factor, reduced * number) if is_count else (first, factor * number, reduced)

    def _summed(self, node: fx.Node) -> float:
        """How many elements go into each of a sum's; 0 of any other op."""
        return self._size(node.args[0]) / self._size(node) if ops.packet(str(node.target)) == "sum" else 0.0

    def _number(self, value: Any) -> float | None:
        """A number, or a fixed tensor that is the same everywhere; None for anything else."""
        if isinstance(value, fx.Node):
            tensor = self.values.get(value)
            if not isinstance(tensor, torch.Tensor) or tensor.numel() == 0:
                return None
            first = tensor.reshape(-1)[0]
            return float(first) if bool((tensor == first).all()) else None
        return float(value) if isinstance(value, (int, float)) else None

    def _size(self, node: Any) -> int:
        value = self.values.get(node)
        return max(1, int(value.numel())) if isinstance(value, torch.Tensor) else 1
