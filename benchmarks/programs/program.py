"""A program: a model of the size its authors train, a batch of theirs in shape, and the loss as they write it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

MARK = "# <- here"


@dataclass(frozen=True, slots=True)
class Program:
    """What `nllcheck.check` is given. `make` builds model and batch anew; weights and data are drawn at random."""

    name: str
    origin: str
    loss: Callable[..., Any]
    make: Callable[[], tuple[nn.Module, Any]]

    @property
    def guilty(self) -> frozenset[int]:
        """The lines of the loss that are marked as defects; none of a sound program."""
        lines, start = inspect.getsourcelines(self.loss)
        return frozenset(start + k for k, text in enumerate(lines) if MARK in text)
