"""The losses of tests/engine as plans of many small pieces."""

from __future__ import annotations

import functools

import torch
from cases import ALL, batch_for, model_for

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.sweep import planned
from nllcheck.sweep.plan import Plan
from nllcheck.target import Target, split_batch, style_of

MEMORY = 2**18  # small enough that an axis is several chunks, and with `small_pieces` several pieces


def noisy(output, target):
    """Noise is drawn inside the loss: every engine must hold the same."""
    sampled = output[:, 0] + torch.randn(len(output)) * torch.exp(output[:, 1])
    return ((sampled - target) ** 2).mean() + torch.nn.functional.dropout(output[:, 2], 0.5).exp().mean()


LOSSES = {
    "correlation": ("correlation", None),
    "where_hides_nan": ("where_hides_nan", None),
    "mixture_logsumexp": ("mixture_logsumexp", torch.bfloat16),
    "noisy": ("huber", None),
}


@functools.cache
def plan_for(name: str) -> Plan:
    """Made once: engines must not change it."""
    case, dtype = ALL[LOSSES[name][0]], LOSSES[name][1]
    loss = noisy if name == "noisy" else case.loss
    model, (inputs, targets) = model_for(case), batch_for(case)
    if dtype is not None:
        model, inputs, targets = model.to(dtype), inputs.to(dtype), targets.to(dtype)
    target = Target(name, loss, name, model, (split_batch((inputs, targets)),), style_of(loss))
    graph = capture(target, target.batches[0])
    return planned(graph, default_axes(graph)[0], {}, count=200, memory=MEMORY)
