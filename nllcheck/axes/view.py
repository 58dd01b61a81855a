"""What the axes read of a program, whether it was captured as a graph or is run op by op."""

from __future__ import annotations

from typing import Any, Protocol

from nllcheck.capture.program import Program
from nllcheck.types import Graph


class View(Protocol):
    """`LossGraph` has all of it; what else it holds, an op-by-op run has not."""

    @property
    def graph(self) -> Graph: ...

    @property
    def values(self) -> tuple[Any, ...]:
        """Every node's value on the batch."""

    @property
    def program(self) -> Program: ...
