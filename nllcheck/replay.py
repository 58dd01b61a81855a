"""A mixed-precision step repeated: with its autocast and scale, at scale 1, and at scale 1 in float32 and float64.

The user's own function runs each time, under torch's autocast, every op watched. Which of the runs fail says what it
was: the scaler's search for a scale, the range of the half precision at one line, or the loss in any precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch

from nllcheck.autocast import HALVES, MixedStep, mixed
from nllcheck.capture.interpret import promoted
from nllcheck.capture.program import Program, program
from nllcheck.diagnose.builtin import MIXED
from nllcheck.diagnose.finding import edit_site, op_name
from nllcheck.diagnose.texts import built
from nllcheck.diagnose.wording import number
from nllcheck.eager.graph import Book
from nllcheck.eager.record import Record, Step, record
from nllcheck.target import Batch, Target
from nllcheck.types import Event, Finding, Kind, Phase

Repeat = Callable[[MixedStep | None, torch.dtype | None], Record]


def replayed(target: Target, batch: Batch, seed: int) -> Finding | None:
    """What a recorded mixed-precision step was; None for a target that comes from none."""
    if target.mixed is None:
        return None
    own = program(target, batch)

    def repeat(step: MixedStep | None, dtype: torch.dtype | None = None) -> Record:
        return _repeated(own, seed, step, dtype)

    return _told(own, target.mixed, repeat)


def _repeated(own: Program, seed: int, step: MixedStep | None, dtype: torch.dtype | None) -> Record:
    """One forward and backward, every op noted: under the step's autocast and scale, or plainly in `dtype`."""
    here = own.leaves[0].value.device.type

    def call(*tensors: torch.Tensor) -> torch.Tensor:
        with mixed(step, here) if step else nullcontext():
            loss = own.call(*tensors)
        return loss * torch.tensor(step.scale, device=loss.device) if step else loss

    return record(replace(own, call=call), seed, [promoted(leaf.value, dtype) for leaf in own.leaves])


def _told(own: Program, step: MixedStep, repeat: Repeat) -> Finding:
    plain, single = repeat(replace(step, scale=1.0), None), repeat(None, torch.float32)
    head = f"A {step.dtype} step, recorded at scale {number(step.scale)}"
    error = plain.error or single.error
    if error is not None:
        return _note(plain, f"{head}, cannot be repeated here: {type(error).__name__} is raised.")
    if _fails(single):
        double = repeat(None, torch.float64)
        known = double.error is None and not _fails(double)
        where = "NaN or infinite in float32, not in float64" if known else "NaN or infinite in any precision"
        return _note(
            single, f"{head}: {where}, so neither autocast nor the scaler did it; the other findings say what."
        )
    if _fails(plain):
        return _of_range(own, plain, single, f"{head}: {step.dtype} range at this line", HALVES[step.dtype])
    scaled = repeat(step, None)
    if not _fails(scaled):
        text = f"{head}, is finite when repeated: noise, dropout (off here) or the device took part in it."
        return _note(scaled, text)
    return replace(_note(scaled, f"{head}: {_search(step, repeat)}"), verdict="legitimate")


def _fails(run: Record) -> bool:
    return not math.isfinite(run.loss) or not all(bool(torch.isfinite(g).all()) for g in run.gradients)


def _note(run: Record, text: str) -> Finding:
    is_nan = math.isnan(run.loss) or any(bool(torch.isnan(g).any()) for g in run.gradients)
    kind: Kind = "nan" if is_nan else "inf"
    reason = "repeated under autocast, and in float32"
    return Finding(**built(MIXED, text), kind=kind, verdict="undecided", severity="note", phase="backward", op="",
                   site=None, loss=run.loss, reason=reason, on_batch=True)  # fmt: skip


def _search(step: MixedStep, repeat: Repeat) -> str:
    """The largest scale that the step survives, coming down by halves as the scaler does."""
    scale, skipped = step.scale / 2, 1
    while scale > 1 and _fails(repeat(replace(step, scale=scale), None)):
        scale, skipped = scale / 2, skipped + 1
    steps = "one skipped step" if skipped == 1 else f"{skipped} skipped steps"
    ending = f"with this batch the scaler comes down to {number(scale)} in {steps} and goes on."
    return f"the scaler's search, ignore. At scale 1 loss and gradients are finite; {ending}"


def _of_range(own: Program, plain: Record, single: Record, head: str, dtype: torch.dtype) -> Finding:
    """The op and line at which the half precision ends, while float32 has the value."""
    first, inputs = _birth(plain)
    book = Book(own)
    book.add(plain)
    node = book.nodes[book.index.get(first.origin, book.index[plain.steps[plain.loss_step].key])]
    phase: Phase = "backward" if first.is_backward else "forward"
    kind: Kind = "nan" if first.state == 2 else "inf"
    half = f"the gradient of {op_name(book.graph, node)}" if first.is_backward else op_name(book.graph, node)
    text = f"{head}: {half} gives {'NaN' if kind == 'nan' else 'infinity'}{_because(first, inputs, single)}."
    sizes = [abs(single.loss), *(float(g.abs().max()) for g in single.gradients if g.numel())]
    return replace(
        _note(plain, f"{text} In float32 the loss is {number(single.loss)} and every gradient is finite."),
        kind=kind,
        phase=phase,
        severity="error",
        op=op_name(book.graph, node),
        site=edit_site(book.graph, Event(kind, phase, node.index, None, math.nan, None)),
        reference_loss=single.loss,
        reference="float32",
        verdict="defect" if max(sizes) < torch.finfo(dtype).max else "limit",
    )


def _birth(run: Record) -> tuple[Step, list[Step]]:
    """The first op whose output is bad while its inputs are not, on the way to the loss or a gradient; its inputs."""
    states = [s.state for s in run.steps]
    forward = not math.isfinite(run.loss)
    stack = [run.loss_step] if forward else [i for i, s in enumerate(run.steps) if s.is_backward and states[i]]
    reached = set(stack)
    while stack:
        new = {p for p in run.steps[stack.pop()].parents if states[p]} - reached
        reached |= new
        stack += new
    born = (i for i in sorted(reached) if states[i] and not any(states[p] for p in run.steps[i].parents))
    first = run.steps[next(born, run.loss_step)]
    inputs = [run.steps[p] for p in first.parents]
    casts = [s for s in inputs if "_to_copy" in s.aten]
    return first, inputs + [run.steps[p] for s in casts for p in s.parents]


def _because(first: Step, inputs: list[Step], single: Record) -> str:
    """What half precision did to its inputs: the largest value it was asked for, or one that became 0."""
    wide = {s.key: s.value for s in single.steps}
    for step in inputs:
        exact = wide.get(step.key)
        if not isinstance(exact, torch.Tensor) or not isinstance(step.value, torch.Tensor):
            continue
        if exact.shape == step.value.shape and bool(((step.value == 0) & (exact != 0)).any()):
            least = float(exact[step.value == 0].abs().max())
            return f", as its input {number(least)} became 0"
    own = wide.get(first.key)
    if isinstance(own, torch.Tensor) and own.is_floating_point() and bool(torch.isfinite(own).all()) and own.numel():
        return f" where float32 gives up to {number(float(own.abs().max()))}"
    return ""
