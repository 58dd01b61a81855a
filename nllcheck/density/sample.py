"""One sample's loss as a function of its own target: `-log p(y | theta)`, for all samples of a batch at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.axes.boundary import boundary
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.trace import plain_kernels
from nllcheck.density.terms import Tail, Term, tail_of, unreduced
from nllcheck.sweep.joint import cut, out_of_place

WIDE = torch.float64
MOST_ALONE = 3  # numbers of a target without a batch dimension that are taken for one sample's row


class UndecidedError(Exception):
    """The test cannot be made on this loss; the text says why, as the end of a sentence. `nodes`: the culprits."""

    def __init__(self, text: str, nodes: tuple[int, ...] = ()) -> None:
        super().__init__(text)
        self.nodes = nodes


@dataclass(frozen=True)
class Samples:
    """The loss cut at what the model gives, as terms of single samples.

    `shape` is the samples' shape (leading dimensions of the target), `event` what one target is beyond that: ()
    for a number, (D,) for a row. All values are float64, integers as they are.
    """

    module: fx.GraphModule
    tail: Tail
    moved: tuple[int, ...]  # plain indices of the placeholders
    base: tuple[torch.Tensor, ...]  # their values on the batch
    which: int  # the target's place among them
    shape: tuple[int, ...]
    event: tuple[int, ...]
    shares: dict[Term, torch.Tensor]  # what one sample's loss multiplies a term's elements with, in the term's shape
    values: dict[fx.Node, Any]  # every node's value on the batch
    counted: torch.Tensor  # (N,) which samples the loss counts at all: a mask leaves others out

    @property
    def count(self) -> int:
        """N, the number of samples."""
        return math.prod(self.shape)

    @property
    def target(self) -> torch.Tensor:
        """The targets of the batch, (N, *event)."""
        return self.base[self.which].reshape(self.count, *self.event)

    @property
    def free(self) -> tuple[Term, ...]:
        """The terms of single samples that depend on the model and not on the target."""
        return tuple(t for t in self._own if not self.tail.reads_target(t) and self.tail.reads_model(t))

    def nats(self, tensors: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(N,) each sample's whole loss, penalties left out, at other values of the placeholders; differentiable."""
        return sum(self._terms(tensors, self._own))  # type: ignore[return-value]

    @property
    def _own(self) -> tuple[Term, ...]:
        return tuple(t for t in self.tail.terms if t not in self.penalties)

    @property
    def penalties(self) -> tuple[Term, ...]:
        """Terms that belong to no sample, as a penalty on the weights does."""
        loose = [t for t in self.tail.terms if not self.tail.reads_target(t)]
        return tuple(t for t in loose if not _is_aligned(tuple(self.shares[t].shape), self.shape))

    @property
    def fixed(self) -> tuple[tuple[Term, float], ...]:
        """The plain numbers in one sample's loss."""
        found = [t for t in self._own if not self.tail.reads_target(t) and not self.tail.reads_model(t)]
        first = int(self.counted.int().argmax())
        values = {t: self.values[t.node] if t.constant is None else t.constant for t in found}
        return tuple((t, float(by_sample(values[t] * self.shares[t], self.shape)[first])) for t in found)

    def losses(self, target: torch.Tensor, theta: tuple[torch.Tensor, ...], chunk: int = 1 << 20) -> torch.Tensor:
        """(Q, P, N) the part of the loss that depends on the target.

        `target` is (Q, P, N, *event); `theta` holds every placeholder's value with a leading P (the target's own
        entry is ignored).
        """
        queries, points = target.shape[:2]
        full = target.reshape(queries, points, *self.base[self.which].shape)
        rows = max(1, chunk // max(1, points * self.count * max(1, math.prod(self.event))))
        with torch.no_grad(), plain_kernels():
            parts = [self._dependent(full[k : k + rows], theta) for k in range(0, queries, rows)]
        return torch.cat(parts)

    def free_terms(self, theta: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(P, N, J) the `free` terms of each sample."""
        if not self.free:
            return torch.zeros(len(theta[0]), self.count, 0, dtype=WIDE)
        with torch.no_grad(), plain_kernels():
            return torch.func.vmap(lambda *t: torch.stack(self._terms(t, self.free), -1))(*theta)

    def _dependent(self, target: torch.Tensor, theta: tuple[torch.Tensor, ...]) -> torch.Tensor:
        wanted = tuple(t for t in self.tail.terms if self.tail.reads_target(t))

        def at(y: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            return sum(self._terms((*rest[: self.which], y, *rest[self.which + 1 :]), wanted))  # type: ignore[return-value]

        over_points = torch.func.vmap(at)
        over_queries = torch.func.vmap(over_points, in_dims=(0, *(None for _ in theta)))
        return over_queries(target, *theta)  # type: ignore[no-any-return]

    def _terms(self, tensors: tuple[torch.Tensor, ...], wanted: tuple[Term, ...]) -> list[torch.Tensor]:
        """Each wanted term by sample, (N,)."""
        runner = Runner(self.module, WIDE)
        runner.run(*tensors)
        values = {t: runner.env[t.node] if t.constant is None else t.constant for t in wanted}
        return [by_sample(values[t] * self.shares[t], self.shape) for t in wanted]


def by_sample(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A term's elements summed by sample, (N,); one that spans several samples is shared out evenly."""
    count = math.prod(shape)
    if value.numel() % count == 0 and value.numel():
        return value.reshape(count, -1).sum(-1)
    if _spreads(tuple(value.shape), shape):
        return (value * (value.numel() / count)).expand(shape).reshape(-1)
    return value.sum().expand(count) / count


def _is_aligned(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Can a term of this shape be read by sample?"""
    count = math.prod(shape)
    leads = own[: len(shape)] == shape or (bool(own) and own[0] == count) or math.prod(own) == count
    return leads or _spreads(own, shape)


def _spreads(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    try:
        return tuple(torch.broadcast_shapes(own, shape)) == shape
    except RuntimeError:
        return False


def samples_of(graph: LossGraph, by_rows: bool | None = False) -> Samples:
    """Cut the loss into samples; `by_rows`: a target is a whole row, whatever the loss does with it.

    Raises UndecidedError with the reason where that is impossible.
    """
    target = _target(graph)
    edges = boundary(graph.graph)
    moved = tuple(n for n in edges.all if n not in graph.graph.targets and "float" in graph.graph.nodes[n].dtype)
    module = _on_cpu(unreduced(out_of_place(cut(graph, (*moved, target)))))
    base = tuple(_wide(graph.values[n].cpu()).detach() for n in (*moved, target))
    values = _run(module, base)
    tail = tail_of(module, f"moved_{target}", values)
    dependent = [t for t in tail.terms if tail.reads_target(t)]
    if not dependent:
        raise UndecidedError("the loss does not depend on the target through anything that can be moved")
    shape, event = _layout(module, base, dependent, 1 if by_rows else 0)
    shares, counted = _shares(values, module, tail, shape)
    return Samples(module, tail, (*moved, target), base, len(moved), shape, event, shares, values, counted)


def _on_cpu(module: fx.GraphModule) -> fx.GraphModule:
    """Float64 on the CPU wherever the model lives: the same bytes everywhere, and a GPU's float64 gains little."""
    for node in module.graph.nodes:
        if isinstance(node.kwargs.get("device"), torch.device):
            node.kwargs = {**node.kwargs, "device": torch.device("cpu")}
    module.recompile()
    return module.to("cpu")


def _target(graph: LossGraph) -> int:
    """The one target that the loss reads."""
    if not graph.graph.targets:
        raise UndecidedError("the loss has no target; name it with target=... (a bare function) or give a batch")
    read = [n for n in graph.graph.targets if n in _read(graph) and graph.values[n].numel() > 0]
    if len(read) != 1:
        raise UndecidedError(f"the loss reads {len(read)} targets, the test takes one")
    return read[0]


def _read(graph: LossGraph) -> set[int]:
    """Nodes that the loss is made of."""
    from nllcheck.axes import refs

    found, stack = {graph.graph.loss}, [graph.graph.loss]
    while stack:
        new = set(refs(graph.graph.nodes[stack.pop()])) - found
        found |= new
        stack += new
    return found


def _wide(value: torch.Tensor) -> torch.Tensor:
    return value.to(WIDE) if value.is_floating_point() else value


def _run(module: fx.GraphModule, base: tuple[torch.Tensor, ...]) -> dict[fx.Node, Any]:
    runner = Runner(module, WIDE)
    try:
        with torch.no_grad(), plain_kernels():
            runner.run(*base)
    except RuntimeError as error:
        raise UndecidedError(f"the loss does not run in float64 ({str(error).splitlines()[0][:100]})") from error
    return dict(runner.env)


def _layout(
    module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term], fewest: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(samples' shape, event shape): numbers if each element of every term reads one element, else rows."""
    shape = tuple(base[-1].shape)
    for event in range(fewest, 2 if len(shape) > 1 or 0 < base[-1].numel() <= MOST_ALONE else 1):
        if _is_local(module, base, dependent, shape[: len(shape) - event], shape[len(shape) - event :]):
            return shape[: len(shape) - event], shape[len(shape) - event :]
    origin = (dependent[0].node.meta.get("custom") or {}).get("origin")
    text = f"the loss is no sum over samples: '{_name(dependent[0].node)}' mixes the targets of several of them"
    raise UndecidedError(text, () if origin is None else (origin,))


def _name(node: fx.Node) -> str:
    return ops.packet(str(node.target)) if node.op == "call_function" else node.name


def _is_local(
    module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term],
    shape: tuple[int, ...], event: tuple[int, ...],
) -> bool:  # fmt: skip
    """Does each sample's part of every term read that sample's target alone? Tried on two samples far apart."""
    count = math.prod(shape)
    before = _run(module, base)
    if any(before[t.node].numel() % count for t in dependent):
        return False
    rows = base[-1].reshape(count, *event)
    return all(_stays(module, base, dependent, before, rows, k) for k in {0, count // 2, count - 1})


def _stays(
    module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term],
    before: dict[fx.Node, Any], rows: torch.Tensor, k: int,
) -> bool:  # fmt: skip
    count = len(rows)
    others = [r for r in rows if not torch.equal(r, rows[k])]
    moved = rows.clone()
    moved[k] = others[0] if others else _nudged(rows[k])
    after = _run(module, (*base[:-1], moved.reshape(base[-1].shape)))
    for term in dependent:
        old, new = (v[term.node].reshape(count, -1) for v in (before, after))
        same = ((old == new) | (old.isnan() & new.isnan())).all(-1)
        same[k] = True
        if not bool(same.all()):
            return False
    return True


def _nudged(row: torch.Tensor) -> torch.Tensor:
    """Another target for batches whose targets are all alike."""
    if row.dim() and not torch.equal(row, row.flip(-1)):
        return row.flip(-1)
    return row * 0.875 if row.is_floating_point() else 1 - row.clamp(0, 1)


def _shares(
    values: dict[fx.Node, Any], module: fx.GraphModule, tail: Tail, shape: tuple[int, ...]
) -> tuple[dict[Term, torch.Tensor], torch.Tensor]:
    """What one sample's loss multiplies each term with: the adjoint, freed of the reduction and of weights."""
    adjoint = _adjoints(module, tail, values)
    count = math.prod(shape)
    lead = next(t for t in tail.terms if tail.reads_target(t))
    width = values[lead.node].numel() / count
    reduced = lead.reduced * width if math.isclose(lead.reduced * count * width, 1, rel_tol=1e-6) else lead.reduced
    weights = (adjoint[lead] / (lead.factor * lead.reduced)).reshape(count, -1)
    counted = weights.abs().amax(-1) > 0
    shares = {t: adjoint[t] / reduced for t in tail.terms}
    if _is_common(tail, adjoint, weights, count):
        each = torch.where(counted, weights[:, 0], 1.0)
        shares = {t: _unweighted(s, each, count) for t, s in shares.items()}
    return shares, counted


def _is_common(tail: Tail, adjoint: dict[Term, torch.Tensor], weights: torch.Tensor, count: int) -> bool:
    """Are all terms by sample weighted alike? Then the weights are the samples' own and no part of the formula."""
    if not bool(torch.isclose(weights, weights[:, :1]).all()):
        return False
    for term in tail.terms:
        own = adjoint[term] / (term.factor * term.reduced)
        if own.numel() % count == 0 and not bool(torch.isclose(own.reshape(count, -1), weights[:, :1]).all()):
            return False
    return True


def _unweighted(share: torch.Tensor, each: torch.Tensor, count: int) -> torch.Tensor:
    if share.numel() % count:
        return share
    return (share.reshape(count, -1) / each[:, None]).reshape(share.shape)


def _adjoints(module: fx.GraphModule, tail: Tail, values: dict[fx.Node, Any]) -> dict[Term, torch.Tensor]:
    """d loss / d term, elementwise: constant, since the tail is linear; checked against the loss itself."""
    runner = _Opened(module, {t.node for t in tail.terms if t.constant is None}, values)
    with torch.enable_grad(), plain_kernels():
        loss = runner.run()
        nodes = list(dict.fromkeys(t.node for t in tail.terms))
        wanted = [runner.env[n] for n in nodes]
        grads = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    by_node = dict(zip(nodes, grads, strict=True))
    found = {t: by_node[t.node].detach() for t in tail.terms}
    total = sum(float((found[t] * (values[t.node] if t.constant is None else t.constant)).sum()) for t in tail.terms)
    if math.isfinite(float(loss.detach())) and not math.isclose(
        total, float(loss.detach()), rel_tol=1e-6, abs_tol=1e-6
    ):
        raise UndecidedError("the loss could not be read as a sum of terms")
    return found


class _Opened(Runner):
    """Runs the tail alone, from the terms' values on."""

    def __init__(self, module: fx.GraphModule, opened: set[fx.Node], values: dict[fx.Node, Any]) -> None:
        super().__init__(module, WIDE)
        self.opened, self.values = opened, values

    def run(self, *args: Any, **options: Any) -> Any:
        nodes: Any = self.module.graph.nodes  # type: ignore[union-attr]
        starts = [self.values[n] for n in nodes if n.op == "placeholder"]
        return super().run(*starts)

    def run_node(self, n: fx.Node) -> Any:
        if n in self.opened and n.op != "placeholder":
            return self.values[n].detach().clone().requires_grad_()
        value = super().run_node(n)
        return value.detach().clone().requires_grad_() if n in self.opened else value
