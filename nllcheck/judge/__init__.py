"""Events -> verdicts, and the signs that worry people, compared with the reference."""

from __future__ import annotations

import torch

from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.detect import Located
from nllcheck.judge.collapse import collapses
from nllcheck.judge.flips import flips_along, is_turned
from nllcheck.judge.labels import off_labels
from nllcheck.judge.noise import over_noise
from nllcheck.judge.sample import Sampler
from nllcheck.judge.series import Reading, over_readings, over_samples
from nllcheck.judge.signs import negative_loss
from nllcheck.judge.silent import silent
from nllcheck.judge.unbounded import falls
from nllcheck.judge.verdict import judge
from nllcheck.sweep import Swept
from nllcheck.types import Density, Event, Judged


def verdicts(found: list[Located], swept: Swept, dtype: torch.dtype, sample: Sampler) -> list[Judged]:
    """Every failure with its verdict, judged on the joint graph that shows it, or on the sample that decides."""
    judged = []
    for event, k in found:
        if event.kind in ("precision", "dead-gradient"):
            judged += [one for one in [silent(event, swept.joints[k])] if one]
        elif event.chain and event.chain[0].op == "input":
            judged.append(_given(event.reaches, event, dtype))
        elif _has_no_alignment(event):
            reach = 1.0 if event.axis is None else reach_of(event.axis, event.witness)
            judged.append(Judged(event, "limit", reach, "no alignment fits: the likelihood is exactly 0"))
        else:
            judged.append(judge(event, swept.joints[k], dtype, sample))
    return judged


def _has_no_alignment(event: Event) -> bool:
    """A CTC loss that is infinite of finite inputs: the target is longer than the input can spell."""
    return any(s.op == "ctc_loss" and s.node == event.node and s.what == "inf" for s in event.chain)


def _given(reaches: tuple[str, ...], event, dtype: torch.dtype) -> Judged:  # type: ignore[no-untyped-def]
    """Non-finite data is nobody's rounding: it is a limit where it spoils the loss, else left out on purpose."""
    if reaches:
        return Judged(event, "limit", 1.0, "the value is there before anything is computed")
    return Judged(event, "legitimate", 1.0, "it reaches neither the loss nor a gradient")


def signs(
    graph: LossGraph,
    swept: Swept,
    batches: tuple[list[Reading], list[Reading]],
    checkpoints: tuple[list[Reading], list[Reading]],
    answer: Density,
    whole: LossGraph,
    memory: int,
) -> list[Judged]:
    """Negative losses and sign changes: along axes, over samples and time, over batches, over checkpoints.

    `batches` and `checkpoints` hold readings in the training dtype and the same in float64; `answer` is the
    density test's, which says what a negative loss means. `graph` may be a part of the batch's `whole` graph.
    """
    boundary = [p for p in swept.parts if p.trace.axis.is_boundary and p.trace.axis.mode != "toward"]
    boundary = [p for p in boundary if p.trace.axis.role != "hidden"]
    found = off_labels(graph, swept.joints[0]) if swept.joints else []
    told = bool(found)  # why a loss falls without end, which then no axis has to show
    found += negative_loss(whole, swept.joints[0], boundary, answer) if swept.joints else []
    for part in boundary:
        if part.wide is not None and part.trace.axis.role != "target":
            flips = flips_along(graph, swept.joints[part.joint], part.trace, part.wide)
            found += [
                one for one in flips if one.verdict != "defect" or is_turned(one, swept.joints[part.joint], whole)
            ]
            found += [] if told else falls(graph, swept.joints[part.joint], part.wide, float(graph.loss), answer)
    if batches[0]:
        found += over_samples(graph, batches[0][0], batches[1][0])
    if swept.joints and not any(j.event.kind == "unbounded" for j in found):
        found += collapses(graph, swept.joints[0], answer)
    found += over_noise(graph, memory)
    found += over_readings(graph, *batches, "batches")
    return found + over_readings(graph, *checkpoints, "checkpoints")
