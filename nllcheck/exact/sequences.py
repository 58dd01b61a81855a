"""The exact form of the CTC loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nllcheck.exact import forms, reduce
from nllcheck.exact.ball import Ball, ball_of, mapped, slope_of, unary


def ctc(
    log_probs: Any, targets: torch.Tensor, lengths: Any, target_lengths: Any, blank: int = 0, *_: Any
) -> tuple[Ball, None]:
    """(T, N, C), (N, S) or the labels one after another -> (N,): minus the logarithm of the probability of all paths.

    The forward variable of Graves et al., "Connectionist Temporal Classification", ICML 2006, equations 5 to 8. Balls
    do not underflow, so that it is summed as it stands.
    """
    chances = reduce.exponential(ball_of(log_probs))
    if len(chances.shape) == 2:
        chances = mapped(chances, lambda a: a[:, None])
    steps, sizes = (np.asarray(v).reshape(-1).tolist() for v in (lengths, target_lengths))
    labels = _labels(targets, sizes)
    found = [_of_one(chances, n, steps[n], labels[n], blank) for n in range(len(sizes))]
    loss = unary(_joined(found), lambda a: -a.log(), lambda a, y: -1 / a)
    return (loss if len(ball_of(log_probs).shape) == 3 else mapped(loss, lambda a: a.reshape(()))), None


def _labels(targets: torch.Tensor, sizes: list[int]) -> list[list[int]]:
    rows = targets.split(sizes) if targets.dim() == 1 else targets
    return [row[:size].tolist() for row, size in zip(rows, sizes, strict=True)]


def _of_one(chances: Ball, n: int, steps: int, labels: list[int], blank: int) -> Ball:
    """(1,): the probability of all paths that spell `labels`."""
    states = [blank, *(s for label in labels for s in (label, blank))]
    skips = [k > 1 and s != blank and s != states[k - 2] for k, s in enumerate(states)]
    alpha = [_at(chances, 0, n, s) if k < 2 else ball_of(torch.zeros(1)) for k, s in enumerate(states)]
    for t in range(1, steps):
        own = alpha
        alpha = []
        for k, s in enumerate(states):
            before = [own[k], *(own[k - 1 : k] if k else ()), *(own[k - 2 : k - 1] if skips[k] else ())]
            alpha.append(forms.mul(reduce.total(_joined(before), 0, True), _at(chances, t, n, s)))
    return reduce.total(_joined(alpha[-2:]), 0, True)


def _at(chances: Ball, t: int, n: int, state: int) -> Ball:
    return mapped(chances, lambda a: a[t, n, state : state + 1])


def _joined(parts: list[Ball]) -> Ball:
    slope = None if all(p.slope is None for p in parts) else np.concatenate([slope_of(p) for p in parts])
    return Ball(np.concatenate([p.value for p in parts]), slope)
