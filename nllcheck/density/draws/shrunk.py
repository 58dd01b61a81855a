"""Draws along a dimension: the program with one of them, where the loss is the same whenever all of them agree.

The program is run with draws that agree, and again, op by op, with a single one. Each value must be what the first run
has for one draw; what a sum over the draws lacks then, a factor of their number, is put in its place. So nothing is
known of the ops but what they give, and where one gives something else there is no such program.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from nllcheck import ops
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.density.draws.compared import compares_draws, vanishes
from nllcheck.density.draws.cuts import Cut, cuts_between, is_drawn, same
from nllcheck.density.draws.rebuilt import Rebuilt, rebuilt
from nllcheck.density.draws.ways import One, Way, scaled, shorter

WIDE = torch.float64
_OPS = (RuntimeError, TypeError, ValueError, IndexError)  # what ops raise at shapes they never saw
MOST_REPEATS = 4  # ops that a value may be repeated by
aten = torch.ops.aten


def shrunk(graph: LossGraph, starts: dict[fx.Node, Cut], from_repeats: bool) -> Rebuilt | None:
    """The program with one draw, given where its draws (or the stacks of what is computed of each) have theirs; None
    where there is none. `from_repeats`: what is repeated along that dimension is taken to be so for the draws."""
    try:
        with quiet_numerics(graph.seed), torch.no_grad():
            walk = _Walk(graph, starts, _agreed(graph, starts), set(starts.values()) if from_repeats else set())
            walk.run()
        return walk.rebuilt()
    except _OPS:
        return None


def _agreed(graph: LossGraph, starts: dict[fx.Node, Cut]) -> dict[fx.Node, Any]:
    """Every node's value in float64, with draws that agree and with leaves of which no two numbers are alike: what is
    equal then is so whatever the data are."""
    values = dict(zip(graph.fx_nodes, graph.values, strict=True))
    drawn = {n: starts[n].agreed(v.to(WIDE)) if n in starts else v for n, v in values.items() if is_drawn(n)}
    leaves = {n: _elsewhere(v) for n, v in values.items() if n.op == "placeholder"}
    leaves |= {n: cut.agreed(leaves[n]) for n, cut in starts.items() if n in leaves}
    runner = Runner(graph.module, WIDE, given={n.name: v for n, v in drawn.items()})
    runner.run(*leaves.values())
    return dict(runner.env)


def _elsewhere(value: Tensor) -> Tensor:
    places = torch.arange(value.numel()).reshape(value.shape)
    if value.is_floating_point():
        return value.to(WIDE) * (1 + 0.01 * torch.sin(1.0 + places)) + 0.01 * torch.cos(0.7 * places)
    if value.dtype == torch.bool or not value.numel():
        return value if not value.numel() else places % 2 == 0
    return value.min() + places.to(value.dtype) % (value.max() - value.min() + 1).clamp(min=2)


class _Walk:
    """The new program, node by node: `made` has the new node of each old one, `now` its value, `cuts` where the old
    one had draws that the new one has not."""

    def __init__(
        self, graph: LossGraph, starts: dict[fx.Node, Cut], old: dict[fx.Node, Any], repeats: set[Cut]
    ) -> None:  # fmt: skip
        self.graph, self.starts, self.old, self.repeats = graph, starts, old, repeats
        self.count = next(iter(starts.values())).count
        self.runner, self.new = Runner(graph.module, WIDE), fx.Graph()
        self.made, self.back = dict[fx.Node, fx.Node](), dict[fx.Node, fx.Node]()
        self.now, self.cuts = dict[fx.Node, Any](), dict[fx.Node, Cut]()
        self.drawn = dict(zip(graph.fx_nodes, graph.values, strict=True))
        self.sums = set[fx.Node]()  # inserted products of a sum and the number of draws

    def run(self) -> None:
        """Raises ValueError where a value is not that of one draw."""
        for node in self.graph.module.graph.nodes:
            if node.op != "call_function" or is_drawn(node) or not self._is_changed(node):
                self._copy(node)
            else:
                self._compute(node)
            if node.op == "call_function" and node not in self.cuts and not is_drawn(node):
                self._take_one(node)

    def rebuilt(self) -> Rebuilt:
        (loss,) = (n for n in self.graph.module.graph.nodes if n.op == "output")
        if any(n in self.cuts for n in loss.all_input_nodes):
            raise ValueError("the loss has draws")
        given = {n: v for n, v in self.drawn.items() if is_drawn(n) or (n in self.starts and n.op == "placeholder")}
        given = {n: self.cuts[n].one(v) if n in self.cuts else v for n, v in given.items()}
        return rebuilt(self.graph, self.new, self.back, {self.made[n]: v for n, v in given.items()})

    def _is_changed(self, node: fx.Node) -> bool:
        return node in self.starts or any(self.now[n] is not self.old[n] for n in node.all_input_nodes)

    def _take_one(self, node: fx.Node) -> None:
        """What a value repeats, in its place."""
        for cut in self.repeats:
            if cut.is_in(self.old[node]) and self._repeated(node, one := cut.one(self.old[node])) is not None:
                return self._keep(node, self._node(One(node, cut)), one, cut)

    def _copy(self, node: fx.Node) -> None:
        made = self.new.node_copy(node, lambda n: self.made[n])
        cut = self.starts.get(node)
        value: Any = self.old.get(node)
        self._keep(node, made, value if cut is None else cut.one(value), cut)

    def _keep(self, node: fx.Node, made: fx.Node, value: Any, cut: Cut | None) -> None:
        self.made[node], self.now[node] = made, value
        self.back.setdefault(made, node)
        self.cuts |= {} if cut is None else {node: cut}

    def _compute(self, node: fx.Node) -> None:
        if compares_draws(node, self.cuts, self.old):
            raise ValueError(f"{node} compares draws")
        for way in self._ways(node):
            try:
                value = self._value(way)
            except _OPS:
                continue
            for fitting in scaled(way, self.count):
                own = value * fitting.times + fitting.more if fitting is not way else value
                fits, cut = self._fitted(node, own)
                if fits and vanishes(node, own, self.drawn[node]):
                    raise ValueError(f"{node} is how draws differ")
                if fits:
                    return self._place(node, fitting, own, cut)
        raise ValueError(f"{node} is not that of one draw")

    def _value(self, way: Way) -> Any:
        args, kwargs = fx.node.map_aggregate((way.args, way.kwargs), self._given)  # type: ignore[misc]
        return self.runner.call_function(way.target, args, dict(kwargs))

    def _given(self, arg: Any) -> Any:
        if isinstance(arg, One):
            return arg.cut.one(self.old[arg.node])
        return self.now[arg] if isinstance(arg, fx.Node) else arg

    def _fitted(self, node: fx.Node, value: Any) -> tuple[bool, Cut | None]:
        """Is it what one draw has, and where are the draws of the old one?"""
        old = self.old[node]
        if not isinstance(old, Tensor):  # a list of results: each is looked at when it is read
            return isinstance(value, list | tuple), None
        if value.shape == old.shape:
            return same(value, old) and not self._is_spread(node, old), None
        cuts = (c for c in cuts_between(old, value) if c.count == self.count)
        found = next((c for c in cuts if c.is_in(old) and same(c.one(old), value)), None)
        return found is not None, found

    def _is_spread(self, node: fx.Node, old: Tensor) -> bool:
        """Has it all draws still, where one met what is different in each?"""
        read = ((self.old[n], self.cuts[n]) for n in node.all_input_nodes if n in self.cuts)
        ends = ((v.shape[cut.axis], cut.axis - v.dim()) for v, cut in read)
        return any(-axis <= old.dim() and old.shape[axis] == size for size, axis in ends)

    def _ways(self, node: fx.Node) -> Iterator[Way]:
        """With one draw of the arguments that are the same in all, with all as they are, with shorter sizes."""
        if node in self.starts:
            yield Way(node.target, (list(node.args[0])[:1], *node.args[1:]), node.kwargs)  # type: ignore[arg-type]
            return
        for args, kwargs in (*self._with_one(node), (node.args, node.kwargs)):
            for own in (args, *shorter(args, self.count)):
                yield Way(node.target, own, kwargs)

    def _with_one(self, node: fx.Node) -> Iterator[tuple[Any, Any]]:
        read = [n for n in node.all_input_nodes if isinstance(self.old[n], Tensor)]
        for cut in dict.fromkeys(self.cuts[n].moved(-self.old[n].dim()) for n in read if n in self.cuts):
            own = {n: cut.moved(self.old[n].dim()) for n in read if n not in self.cuts and n.op != "placeholder"}
            ones = {n: One(n, c) for n, c in own.items() if c.is_in(self.old[n])}
            if ones:
                yield fx.node.map_aggregate((node.args, node.kwargs), partial(_of, ones))

    def _place(self, node: fx.Node, way: Way, value: Any, cut: Cut | None) -> None:
        args, kwargs = fx.node.map_aggregate((way.args, way.kwargs), lambda a: self._node(a))  # type: ignore[misc]
        target = self._linear(node, way.target)
        args, times = self._outwards(target, self._folded(target, tuple(args)), way.times)
        made = self._insert(node, target, args, dict(kwargs))
        if times != 1.0:
            made = self._insert(node, aten.mul.Tensor, (made, times))
            self.sums.add(made)
        if way.more:
            made = self._insert(node, aten.add.Tensor, (made, way.more))
        self._keep(node, made, value, cut)

    def _linear(self, node: fx.Node, target: Any) -> Any:
        """A mean, in place of what is one of a single draw."""
        read = node.all_input_nodes[:1] if ops.packet(str(target)) in ("logsumexp", "amax", "amin") else []
        is_alone = any(self.now[n].numel() == self.old[node].numel() for n in read)
        return aten.mean.dim if is_alone else target

    def _folded(self, target: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of a sum over draws and samples, divided by the number of both, that of the samples is left."""
        is_mean = ops.packet(str(target)) == "div" and args[0] in self.sums and isinstance(args[1], int | float)
        return (args[0].args[0], args[1] / args[0].args[1]) if is_mean else args

    def _outwards(self, target: Any, args: tuple[Any, ...], times: float) -> tuple[tuple[Any, ...], float]:
        """A sum of what is multiplied by the number of draws is the product of a sum: a division further on may be by
        that number, and is none by the number of anything else that is as large."""
        is_sum = ops.packet(str(target)) in ("sum", "mean") and args[0] in self.sums
        return ((args[0].args[0], *args[1:]), times * args[0].args[1]) if is_sum else (args, times)

    def _node(self, arg: Any) -> Any:
        if not isinstance(arg, One):
            return self.made[arg] if isinstance(arg, fx.Node) else arg
        one = arg.cut.one(self.old[arg.node])
        if (source := self._repeated(arg.node, one)) is not None:
            made = self.made[source]
            is_same = self.old[source].shape == one.shape
            return made if is_same else self._insert(arg.node, aten.reshape.default, (made, list(one.shape)))
        start, stop, step = arg.cut.first(self.old[arg.node])
        return self._insert(arg.node, aten.slice.Tensor, (self.made[arg.node], arg.cut.axis, start, stop, step))

    def _repeated(self, node: fx.Node, one: Tensor) -> fx.Node | None:
        """What a value only repeats for each draw, as `mu.repeat(k, 1)` does."""
        for _ in range(MOST_REPEATS):
            if len(node.all_input_nodes) != 1:
                return None
            (node,) = node.all_input_nodes
            value = self.old[node]
            if isinstance(value, Tensor) and value.numel() == one.numel() and same(value.reshape(one.shape), one):
                return node
        return None

    def _insert(
        self, node: fx.Node, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> fx.Node:
        made = self.new.call_function(target, args, kwargs)
        made.meta, self.back[made] = dict(node.meta), node
        return made


def _of(ones: dict[fx.Node, One], arg: Any) -> Any:
    return ones.get(arg, arg) if isinstance(arg, fx.Node) else arg
