"""`module:name` and `file.py:name` -> the user's object. Whatever goes wrong is told with the user's own line."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from nllcheck.errors import NllcheckError, did_you_mean


def resolve(spec: str, what: str, base: Path | None = None) -> Any:
    """The object that `spec` names; paths are relative to `base` (default: the working directory).

    `what` ('model', 'loss') is for messages. Raises NllcheckError.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        hint = f"write --{what} package.module:name or --{what} file.py:name"
        raise NllcheckError(f"cannot read the {what} '{spec}'", hint=hint)
    found: Any = _module(place, what, base or Path.cwd())
    for part in name.split("."):
        if not hasattr(found, part):
            known = {n for n in dir(found) if not n.startswith("_")}
            raise NllcheckError(
                f"the {what} '{spec}' does not exist: no '{part}' in {place}", hint=did_you_mean(part, known)
            )
        found = getattr(found, part)
    return found


def _module(place: str, what: str, base: Path) -> ModuleType:
    if place.endswith(".py") or "/" in place:
        return _from_file((base / place).resolve(), what)
    with _on_path(base):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and place.split(".", maxsplit=1)[0] == error.name.split(".")[0]:
                hint = "give a file instead (file.py:name), or install the package"
                raise NllcheckError(f"there is no module '{place}' for the {what}", hint=hint) from None
            raise told(error, f"importing {place} failed") from None
        except Exception as error:
            raise told(error, f"importing {place} failed") from None


@functools.cache
def _from_file(path: Path, what: str) -> ModuleType:
    """Import a file under a name of its own, with its folder on the path, as pytest does."""
    if not path.is_file():
        known = {p.name for p in path.parent.glob("*.py")} if path.parent.is_dir() else set()
        raise NllcheckError(f"there is no file for the {what}", where=str(path), hint=did_you_mean(path.name, known))
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{digest}", path)
    if spec is None or spec.loader is None:
        raise NllcheckError(f"the {what} file is no Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with _on_path(path.parent):
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[spec.name]
            raise told(error, f"importing {path.name} failed") from None
    return module


class _on_path:
    """The folder at the front of `sys.path` while a module is imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __enter__(self) -> None:
        sys.path.insert(0, self.folder)

    def __exit__(self, *error: object) -> None:
        if self.folder in sys.path:
            sys.path.remove(self.folder)


def told(error: Exception, message: str, hint: str = "") -> NllcheckError:
    """An exception in the user's code as one error at the user's own line."""
    if isinstance(error, NllcheckError):
        return error
    package = str(Path(__file__).resolve().parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((package, "<frozen")) and "site-packages" not in f.filename]
    where = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}:{error.lineno}"
    text = str(error).strip().splitlines()
    return NllcheckError(f"{message}: {type(error).__name__}: {text[0] if text else ''}", where=where, hint=hint)
