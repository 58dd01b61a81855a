"""One run op by op -> which ops fail, and the event that tells it."""

from __future__ import annotations

import math
from typing import Literal

import torch

from nllcheck import ops
from nllcheck.detect.births import carries_intent
from nllcheck.detect.chain import harm_of
from nllcheck.eager.graph import Book
from nllcheck.eager.record import Key, Record, Step
from nllcheck.graphs import ancestors
from nllcheck.sweep.program import extent
from nllcheck.types import ChainStep, Event, Graph, Kind, Phase

Offence = tuple[Key, Phase]  # the forward op, and whether the loss is hit


def offences(run: Record) -> set[Offence]:
    """Ops that give birth to what reaches the loss, or only the gradient; in a run that raised, none."""
    if run.error is not None:
        return set()
    states = [s.state for s in run.steps]
    born = _born(run.steps, states)
    loss_bad = not math.isfinite(run.loss)
    gradient_bad = any(not bool(torch.isfinite(g).all()) for g in run.gradients)
    ends = {run.loss_step} if loss_bad else {len(run.steps) - 1} if gradient_bad else set()
    reached = _leading_to(run.steps, states, ends, not loss_bad)
    phase: Phase = "forward" if loss_bad else "backward"
    return {(run.steps[i].origin, phase) for i in born if i in reached and not (loss_bad and run.steps[i].is_backward)}


def _born(steps: list[Step], states: list[int]) -> list[int]:
    """Bad output, sound inputs; an infinity that the code writes in is sound until an op makes something else of it."""
    intended, alarming, born = set(), set(), []
    for i, step in enumerate(steps):
        if not states[i]:
            continue
        from_intent = step.written or any(p in intended for p in step.parents)
        spoilt = any(p in alarming for p in step.parents)
        if states[i] == 1 and from_intent and not spoilt and carries_intent(ops.rule_name(step.aten)):
            intended.add(i)
            continue
        alarming.add(i)
        born += [] if spoilt else [i]
    return born


def _leading_to(steps: list[Step], states: list[int], ends: set[int], any_backward: bool) -> set[int]:
    """Positions from which bad values lead to the loss, or (backward) to any bad value of the backward pass."""
    reached = set(ends)
    if any_backward and ends:
        reached |= {i for i, s in enumerate(steps) if s.is_backward and states[i]}
    for i in range(len(steps) - 1, -1, -1):
        if i in reached:
            reached.update(p for p in steps[i].parents if states[p])
    return {i for i in reached if states[i]}


def refusals(run: Record) -> set[Offence]:
    return {(_raised(run), "forward")} if run.error else set()


def _raised(run: Record) -> Key:
    return ("raises", type(run.error).__name__, run.steps[-1].key)


def state_of(values: torch.Tensor) -> int:
    return 2 if bool(torch.isnan(values).any()) else int(not bool(torch.isfinite(values).all()))


def event_at(book: Book, run: Record, offence: Offence, wide: Record | None, witness: float) -> Event:
    """One failure of a run; `wide` is the same run in float64, for the chain."""
    origin, phase = offence
    raised = origin[0] == "raises"
    node = book.index.get(origin[2] if raised else origin, book.loss)
    bad = max((state_of(g) for g in run.gradients), default=0)
    state = state_of(torch.tensor(run.loss)) if phase == "forward" else bad
    kind: Kind = "raises" if raised else "nan" if state == 2 else "inf"
    reaches = [w for w, hit in (("loss", not math.isfinite(run.loss)), ("gradient", bad > 0)) if hit]
    return Event(
        kind=kind,
        phase=phase,
        node=node,
        axis=None,
        witness=witness,
        threshold=None,
        reaches=("loss",) if raised else tuple(reaches),  # type: ignore[arg-type]
        loss=run.loss,
        slope=run.slope,
        chain=_chain(book, run, node, wide),
        ranges=_ranges(book, run),
        detail=f"{type(run.error).__name__}: {str(run.error).splitlines()[0][:120]}" if raised and run.error else "",
    )


def _ranges(book: Book, run: Record) -> tuple[tuple[int, float, float], ...]:
    found = {}
    for step in run.steps:
        extremes = extent(step.value)
        if not step.is_backward and extremes and step.key in book.index:
            found[book.index[step.key]] = (float(extremes[0].detach()), float(extremes[1].detach()))
    return tuple((i, low, high) for i, (low, high) in sorted(found.items()))


def _chain(book: Book, run: Record, node: int, wide: Record | None) -> tuple[ChainStep, ...]:
    """The first op before the birth that rounding harmed, then the birth, then the end."""
    nodes = book.nodes
    exact = {s.key: s.value for s in wide.steps} if wide and wide.error is None else {}
    steps: list[ChainStep] = []
    before = ancestors(Graph(tuple(nodes), book.loss), node)
    for step in run.steps:
        at = book.index.get(step.key, -1)
        if step.is_backward or at not in before or at >= node or steps or step.key not in exact:
            continue
        harm = None if ops.is_transparent(nodes[at].op) else harm_of(nodes[at].op, step.value, exact[step.key])
        steps += [ChainStep(at, nodes[at].op, harm[0], nodes[at].site, harm[1])] if harm else []  # type: ignore[arg-type]
    kind: Literal["nan", "inf"] = "nan" if math.isnan(run.loss) else "inf"
    end: Literal["gradient", "loss"] = "gradient" if math.isfinite(run.loss) else "loss"
    steps.append(ChainStep(node, nodes[node].op, kind, nodes[node].site))
    last = next((n.site for n in reversed(nodes) if n.site and n.zone == "loss"), None)
    return (*steps, ChainStep(book.loss, nodes[book.loss].op, end, last, run.loss))
