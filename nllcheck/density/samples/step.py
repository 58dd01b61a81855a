"""Sequences in one target: the last step, given those before it.

A loss that predicts each step from the ones before reads one target tensor twice, as data and as history. Its factors
p(y_t | y_1 .. y_(t-1)) are densities one by one, and the last step's is the one that no later step reads.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx

from nllcheck.density.allowance import UndecidedError
from nllcheck.density.samples.shares import opened
from nllcheck.density.samples.terms import Tail, Term

EARLIER = "earlier_steps"


def last_step(module: fx.GraphModule, target: str, value: torch.Tensor) -> fx.GraphModule | None:
    """The module as a function of the target's last step (N, 1, ...) alone; None where there are no steps."""
    if value.dim() < 2 or value.shape[1] < 2 or len(value) < 2:
        return None
    made = copy.deepcopy(module)
    made.register_buffer(EARLIER, value[:, :-1])
    holder = next(n for n in made.graph.nodes if n.name == target)
    with made.graph.inserting_after(holder):
        earlier = made.graph.get_attr(EARLIER)
    with made.graph.inserting_after(earlier):
        whole = made.graph.call_function(torch.ops.aten.cat.default, ([earlier, holder], 1))
    holder.replace_all_uses_with(whole, delete_user_cb=lambda user: user is not whole)
    made.recompile()
    return made


def shares_of_steps(
    module: fx.GraphModule, tail: Tail, before: dict[fx.Node, Any], after: dict[fx.Node, Any], count: int
) -> tuple[dict[Term, torch.Tensor], torch.Tensor] | None:
    """What the last step's loss multiplies each term with, and the sequences counted; None without steps.

    `before` and `after`: every node's value, with the last step of every sequence moved in between. What is summed over
    the steps shows by its changes which of its elements the last one is. Raises UndecidedError for a number a sequence.
    """
    parts = {_whole(t): _changed(before[_whole(t)], after[_whole(t)], count) for t in tail.terms}
    lead = next(t for t in tail.terms if tail.reads_target(t))
    if parts[_whole(lead)] is None:
        return None
    runner, loss = opened(module, tail, before)
    shares = {}
    for term in tail.terms:
        whole = _whole(term)
        mask = parts[whole] if parts[whole] is not None else _like(before[whole], parts, count)
        (outer,) = torch.autograd.grad(loss, runner.env[whole], retain_graph=True)
        here = outer * mask / lead.reduced
        if whole is not term.node:
            (here,) = torch.autograd.grad(runner.env[whole], runner.env[term.node], here, retain_graph=True)
        shares[term] = here.detach()
    return shares, shares[lead].reshape(count, -1).abs().amax(-1) > 0


def _whole(term: Term) -> fx.Node:
    """What the innermost sum around a term goes over."""
    return term.summed or term.node


def _changed(old: torch.Tensor, new: torch.Tensor, count: int) -> torch.Tensor | None:
    """Which elements the last step reaches; None if all of a row, or none."""
    changed = (old != new) & ~(old.isnan() & new.isnan())
    if old.numel() % count:
        return None
    rows = changed.reshape(count, -1)
    return changed if bool(rows.any(1).any() and not rows.all(1).any()) else None


def _like(value: torch.Tensor, parts: dict[fx.Node, torch.Tensor | None], count: int) -> torch.Tensor:
    """Of a sum without the target: the elements at the places of the last step; none of a penalty."""
    mask = next((m for m in parts.values() if m is not None and m.numel() == value.numel()), None)
    if mask is not None:
        return mask.reshape(value.shape)
    if value.numel() % count == 0:
        raise UndecidedError("a term is one number a sequence, and what its last step has of it cannot be told")
    return torch.zeros_like(value)


def models_every_step(tail: Tail, before: dict[fx.Node, Any], target: torch.Tensor) -> bool:
    """Has the loss as many parts as the target (N, T, ...) has steps, so that no step is only history?"""
    lead = next(t for t in tail.terms if tail.reads_target(t))
    return int(before[_whole(lead)].numel()) >= len(target) * target.shape[1]
