"""What one sample's loss multiplies each term with: the reduction and the samples' weights undone."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.samples.sample import WIDE, leads
from nllcheck.density.samples.terms import Tail, Term


def shares_of(
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
        shares = {t: _unweighted(s, each.reshape(shape)) for t, s in shares.items()}
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


def _unweighted(share: torch.Tensor, each: torch.Tensor) -> torch.Tensor:
    """A term's share without the samples' weights `each`, in the samples' shape."""
    if share.numel() % each.numel() == 0:
        return (share.reshape(each.numel(), -1) / each.reshape(-1, 1)).reshape(share.shape)
    if leads(tuple(share.shape), tuple(each.shape)):
        return share / each.reshape(*share.shape, -1).mean(-1)
    return share


def _adjoints(module: fx.GraphModule, tail: Tail, values: dict[fx.Node, Any]) -> dict[Term, torch.Tensor]:
    """d loss / d term, elementwise: constant, since the tail is linear; checked against the loss itself."""
    runner, loss = opened(module, tail, values)
    nodes = list(dict.fromkeys(t.node for t in tail.terms))
    wanted = [runner.env[n] for n in nodes]
    with torch.enable_grad(), plain_kernels():
        grads = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    by_node = dict(zip(nodes, grads, strict=True))
    found = {t: by_node[t.node].detach() for t in tail.terms}
    total = sum(float((found[t] * (values[t.node] if t.constant is None else t.constant)).sum()) for t in tail.terms)
    if math.isfinite(float(loss.detach())) and not math.isclose(
        total, float(loss.detach()), rel_tol=1e-6, abs_tol=1e-6
    ):
        raise UndecidedError("the loss could not be read as a sum of terms")
    return found


def opened(module: fx.GraphModule, tail: Tail, values: dict[fx.Node, Any]) -> tuple[Runner, torch.Tensor]:
    """The tail run from the terms' values on, which are leaves, and the loss."""
    runner = _Opened(module, {t.node for t in tail.terms if t.constant is None}, values)
    with torch.enable_grad(), plain_kernels():
        return runner, runner.run()


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

    def _run_node(self, n: fx.Node) -> Any:
        """What holds back a gradient hands on a value, and the value is what is shared out."""
        if ops.packet(str(n.target)) == "detach":
            return self.fetch_args_kwargs_from_env(n)[0][0]
        return self._plain(n)
