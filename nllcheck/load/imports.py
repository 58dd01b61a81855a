"""`module:name` and `file.py:name` -> the user's object. Whatever goes wrong is told with the user's own line."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from nllcheck.errors import NllcheckError, did_you_mean

_LIBRARIES = (str(Path(__file__).resolve().parents[1]), sysconfig.get_path("stdlib"), "<frozen")
_from: dict[str, Path] = {}  # users' top-level modules and the folder each came from


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


def findable(folder: Path) -> None:
    """Put the folder last on `sys.path`: siblings that user code imports late, or that a pickle names, are found."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _module(place: str, what: str, base: Path) -> ModuleType:
    if place.endswith(".py") or "/" in place:
        return _from_file((base / place).resolve(), what)
    try:
        with _importing_from(base.resolve()):
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            hint = f"give a file instead (--{what} path/to/file.py:name), or install the package"
            raise NllcheckError(f"there is no module '{place}' for the {what}", hint=hint) from None
        raise told(error, f"importing {place} failed") from None
    except (Exception, SystemExit) as error:
        raise told(error, f"importing {place} failed") from None


def _from_file(path: Path, what: str) -> ModuleType:
    """Import a file under the name it has for its neighbours, as pytest does: `from model import Net` elsewhere
    in the project is then the same class, and relative imports in a package work."""
    if not path.is_file():
        known = {p.name for p in path.parent.glob("*.py")} if path.parent.is_dir() else set()
        raise NllcheckError(f"there is no file for the {what}", where=str(path), hint=did_you_mean(path.name, known))
    folder, name = _dotted(path)
    try:
        with _importing_from(folder):
            return _under_its_name(path, folder, name) or _under_own_name(path)
    except (Exception, SystemExit) as error:
        raise told(error, f"importing {path.name} failed") from None


def _dotted(path: Path) -> tuple[Path, str]:
    """The folder from which the file can be imported, and its dotted name there."""
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _under_its_name(path: Path, folder: Path, name: str) -> ModuleType | None:
    """The module, unless its name belongs to somebody else."""
    top = name.split(".", maxsplit=1)[0]
    taken = top in sys.modules and not _lies_in(sys.modules[top], folder)
    if taken or top in sys.stdlib_module_names or not all(part.isidentifier() for part in name.split(".")):
        return None
    module = importlib.import_module(name)
    return module if _file_of(module) == path else None


def _under_own_name(path: Path) -> ModuleType:
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NllcheckError("this is no Python file", where=str(path), hint="write file.py:name")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """The folder first on `sys.path`, and last from then on; modules it brings are remembered as its own."""
    _make_room(folder)
    importlib.invalidate_caches()
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        findable(folder)
        new = {name for name in set(sys.modules) - before if "." not in name}
        _from.update({name: folder for name in new if _lies_in(sys.modules[name], folder)})


def _make_room(folder: Path) -> None:
    """Forget modules of other projects that have a namesake here: each folder means its own `utils`."""
    for top, owner in list(_from.items()):
        if owner != folder and ((folder / f"{top}.py").is_file() or (folder / top).is_dir()):
            for name in [n for n in sys.modules if n == top or n.startswith(f"{top}.")]:
                del sys.modules[name]
            del _from[top]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Is this top-level module a file or a package directly in the folder?"""
    path = _file_of(module)
    return path is not None and (path.parent == folder or (path.name == "__init__.py" and path.parent.parent == folder))


def _file_of(module: ModuleType) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name).resolve() if name else None


def told(error: BaseException, message: str, hint: str = "") -> NllcheckError:
    """An exception in the user's code as one error at the user's own line."""
    if isinstance(error, NllcheckError):
        return error
    if isinstance(error, SystemExit):
        hint = "what a script does belongs under: if __name__ == '__main__'"
        return NllcheckError(f"{message}: it calls sys.exit", where=users_line(error), hint=hint)
    text = (str(error).strip().splitlines() or [""])[0]
    return NllcheckError(f"{message}: {type(error).__name__}: {text}", where=users_line(error), hint=hint)


def users_line(error: BaseException) -> str:
    """`file:line` of the innermost frame that is neither nllcheck's nor a library's; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_LIBRARIES) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""
