"""A module that can be called: `nllcheck.check` is both the module and, for users, the function of that name.

Importing a submodule binds it on its package, over any function of the same name; so the module itself answers
the call, whatever was imported first.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """Calls go to the function that is named like the module."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module's function of its own name."""
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


def make_callable(name: str) -> None:
    """Turn the module `name`, which is being imported, into one that can be called."""
    module = sys.modules[name]
    module.__class__ = CallableModule
    function = getattr(module, name.rpartition(".")[2])
    module.__doc__ = f"{module.__doc__}\n\nCalled, this module is its function:\n\n{function.__doc__}"
