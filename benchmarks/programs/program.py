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
        """The lines of the loss, and of what it calls, that are marked as defects; none of a sound program."""
        found = (self.loss.__globals__.get(name) for name in self.loss.__code__.co_names)
        called = [f for f in found if inspect.isfunction(f) and f.__module__ == self.loss.__module__]
        sources = map(inspect.getsourcelines, (self.loss, *called))
        return frozenset(start + k for lines, start in sources for k, text in enumerate(lines) if MARK in text)
