"""A bare loss of tensors, captured and tested: what every case of the density test goes through."""

from __future__ import annotations

import torch

from nllcheck.axes import default_axes
from nllcheck.capture import LossGraph, capture
from nllcheck.density import density
from nllcheck.target import Batch, Target
from nllcheck.types import Density


def captured(fn, tensors: dict[str, torch.Tensor]) -> LossGraph:
    batch = Batch(kwargs=dict(tensors), whole=dict(tensors))
    return capture(Target(fn.__name__, fn, fn.__name__, None, (batch,), "function", target_names=("y",)), batch)


def answer(fn, tensors: dict[str, torch.Tensor], **options) -> Density:
    """The density test's answer on `fn(**tensors)`, whose target is `y`."""
    graph = captured(fn, tensors)
    return density(graph, default_axes(graph)[0], fn.__name__, **options)
