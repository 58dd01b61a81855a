"""What looks at every op as it is dispatched, and the ops that cannot be looked at so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode

_OF_FUNCTIONS = ("cond", "while_loop", "scan", "map", "map_impl")


class Watching(TorchDispatchMode):
    """A dispatch mode that does not load Dynamo, a second of start-up, only to keep it away.

    By default a mode is wrapped so that compiled code does not compile the mode itself; the user's compiled functions
    run uncompiled here (`target.evaluate`).
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class OfFunctionsError(NotImplementedError):
    """An op that takes functions, `torch.cond` for one."""


@contextlib.contextmanager
def without_ops_of_functions() -> Iterator[None]:
    """Such ops raise: under a functional trace they trace their functions themselves, on tensors without memory, and
    what a mode from outside does there ends the process (torch 2.13)."""
    plain = HigherOrderOperator.__call__

    def call(op: Any, /, *args: Any, **kwargs: Any) -> Any:
        if op.name() in _OF_FUNCTIONS:
            raise OfFunctionsError(f"torch's {op.name()} takes functions, into which no op can be followed")
        return plain(op, *args, **kwargs)

    HigherOrderOperator.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        HigherOrderOperator.__call__ = plain  # type: ignore[method-assign]
