"""NaN and infinity that are already in the batch or in the weights, before anything is computed."""

from __future__ import annotations

import math

import torch

from nllcheck.capture import LossGraph
from nllcheck.types import ChainStep, Event


def leaf_events(graph: LossGraph) -> list[Event]:
    """One event a non-finite tensor that the program starts from; the loss says whether it matters."""
    found = []
    loss = float(graph.loss)
    for index, leaf in enumerate(graph.program.leaves):
        if leaf.value.is_floating_point() and not bool(torch.isfinite(leaf.value).all()):
            found.append(_event(index, leaf.value, leaf.name, loss))
    return found


def _event(index: int, value: torch.Tensor, name: str, loss: float) -> Event:
    bad = ~torch.isfinite(value)
    kind = "nan" if bool(torch.isnan(value).any()) else "inf"
    reaches = ("loss", "gradient") if not math.isfinite(loss) else ()
    return Event(
        kind=kind,  # type: ignore[arg-type]
        phase="forward",
        node=index,
        axis=None,
        witness=math.nan,
        threshold=None,
        reaches=reaches,  # type: ignore[arg-type]
        loss=loss,
        chain=(ChainStep(index, "input", kind, None, math.nan),),  # type: ignore[arg-type]
        on_batch=True,
        detail=f"{int(bad.sum())} of {value.numel()} values of {name} are {'NaN' if kind == 'nan' else 'infinite'}",
    )
