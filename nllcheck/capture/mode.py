"""The base of what looks at every op as it is dispatched."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class Watching(TorchDispatchMode):
    """A dispatch mode that does not load Dynamo, a second of start-up, only to keep it away.

    By default a mode is wrapped so that compiled code does not compile the mode itself; the user's compiled functions
    run uncompiled here (`target.evaluate`).
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
