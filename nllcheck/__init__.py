"""nllcheck: is this likelihood loss wrong, where, from which values on, and what to write instead.

    report = nllcheck.check(loss, model=model, batch=(inputs, targets))
    report = nllcheck.check_function(fn, {"mu": mu, "sigma": sigma, "y": y}, target="y")
    nllcheck.save("bundle.pt", model=model, loss=loss, batch=batch)
    guard = nllcheck.Guard("dump", model=model, loss=loss)

Importing the package costs nothing: torch is imported by the first call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nllcheck import callbacks
    from nllcheck.check import check, check_function
    from nllcheck.errors import NllcheckError
    from nllcheck.guard import Guard
    from nllcheck.report import Report
    from nllcheck.save import save

__version__ = "0.1.0"
__all__ = ["Guard", "NllcheckError", "Report", "__version__", "callbacks", "check", "check_function", "save"]

_HOMES = {
    "check": "nllcheck.check",
    "check_function": "nllcheck.check",
    "save": "nllcheck.save",
    "Guard": "nllcheck.guard",
    "callbacks": "nllcheck.callbacks",
    "Report": "nllcheck.report",
    "NllcheckError": "nllcheck.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nllcheck' has no attribute '{name}'")
    home = import_module(_HOMES[name])
    # `check` and `save` are also modules of the package: these can be called (see `callable_module`).
    return home if name in ("callbacks", "check", "save") else getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
