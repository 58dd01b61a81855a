"""Reports of earlier runs, found again while nothing they depend on has changed.

The key covers what was asked for, the versions of everything installed, nllcheck's own source and the rules; beside
the report stand the files that were read (checkpoints, batches, every module of the user's that was imported) with
their hashes. What else a loss reads (a data file it opens by itself, an environment variable) is not seen.

The store lies in the user's cache folder, never in the repository under test: a pull request cannot bring a report.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from nllcheck import disk, resources
from nllcheck.report import Report, formats, stored

KEPT = 30 * 24 * 3600  # seconds without use after which an entry goes
_PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """`$NLLCHECK_CACHE_DIR`, else nllcheck's place among the user's caches."""
    own = os.environ.get("NLLCHECK_CACHE_DIR")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nllcheck"


def key(asked: Mapping[str, Any], rules: Iterable[str]) -> str:
    """A name for everything but the files: `asked` in plain values, `rules` the folders beside the shipped ones."""
    told = {
        "asked": asked,
        "where": os.getcwd(),
        "python": (platform.python_version(), platform.machine(), sys.executable),
        "installed": sorted(f"{d.name} {d.version}" for d in distributions(path=_searched())),
        "device": (os.environ.get("CUDA_VISIBLE_DEVICES"), sorted(p.name for p in Path("/dev").glob("nvidia[0-9]*"))),
        "threads": (os.environ.get("OMP_NUM_THREADS"), os.cpu_count()),
        "nllcheck": hashes(_PACKAGE.rglob("*.py")),
        "rules": hashes(_rule_files(rules)),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _searched() -> list[str]:
    """Where packages are looked for, less what setuptools adds of its own once a compiler has imported it."""
    return [path for path in sys.path if not path.endswith("_vendor")]


def _rule_files(folders: Iterable[str]) -> list[Path]:
    places = [resources.folder("rules"), *map(Path, folders)]
    return [path for place in places for path in (sorted(place.iterdir()) if place.is_dir() else [place])]


def hashes(paths: Iterable[str | Path]) -> dict[str, str]:
    """SHA-256 of every file; of a pipe, or what else cannot be read to its end, no text that a hash could be."""
    return {str(path): _hash(path) for path in sorted(set(map(str, paths)))}


def _hash(path: str) -> str:
    try:
        if not os.path.isfile(path):
            return "unreadable"
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def users_files() -> set[str]:
    """Every module that was imported from outside the installation: the user's code as it ran.

    What Inductor writes and imports on the way goes by names of torch.
    """
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = tuple({str(Path(sysconfig.get_path(name)).resolve()) + os.sep for name in names})
    modules = (module for name, module in list(sys.modules.items()) if not name.startswith("torch."))
    found = {getattr(module, "__file__", None) for module in modules}
    own = (path for path in found if isinstance(path, str) and path.endswith(".py") and os.path.isabs(path))
    paths = {str(Path(path).resolve()) for path in own}
    return {p for p in paths if not p.startswith((*installed, str(_PACKAGE) + os.sep)) and "site-packages" not in p}


def find(name: str) -> Report | None:
    """The report stored under this key, if its files are unchanged. What is broken counts as absent."""
    path = folder() / f"{name}.json"
    try:
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["files"] != hashes(content["files"]):
            return None
        report = stored.decode(content["report"])
        os.utime(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return report


def store(name: str, report: Report, files: Iterable[str], since: float) -> None:
    """Keep a complete report of files that nobody touched `since` the check began (seconds since the epoch).

    A cache that cannot be written is none: nothing is raised.
    """
    read = hashes(files)
    if report.incomplete or any(_touched(path, since) for path in read):
        return
    content = {"files": read, "report": stored.encode(report)}
    with suppress(Exception):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        formats.write(stored.dumps(content), folder() / f"{name}.json")
        _tidy()


def _touched(path: str, since: float) -> bool:
    try:
        return os.stat(path).st_mtime >= since
    except OSError:
        return True


def _tidy() -> None:
    disk.tidy(folder())
    old = time.time() - KEPT
    for path in folder().glob("*.json"):
        with suppress(OSError):
            if path.stat().st_mtime < old:
                path.unlink()
