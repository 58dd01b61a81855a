"""What a repository holds that could be checked, from its names and syntax trees: nothing in it is imported or run."""

from __future__ import annotations

import ast
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOSS = re.compile(r"(^|_)(loss|nll|elbo|likelihood|criterion)(_|$)|(Loss|NLL|ELBO|Likelihood|Criterion)\d*$", re.ASCII)
FACTORY = re.compile(r"^(build|make|create|get)_?(model|net|network)?$|(^|_)(model|net|network)$")
WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors")
MAYBE = (".tar", ".bin")  # of torch's tutorials and of other libraries: if it is a zip, as torch writes
BATCH = re.compile(r"batch|sample", re.IGNORECASE)
STORED = re.compile(rb"_metadata|state_dict|\.weight|\.bias|nllcheck|torch\.nn\.modules")  # of a model's own dict
PASSED_OVER = {"node_modules", "build", "dist", "__pycache__", "site-packages", "venv", "env", "tests", "test"}
MOST = 5000  # files looked at


@dataclass(frozen=True, slots=True)
class Found:
    """Import paths and files, relative to the folder, the likeliest first."""

    losses: tuple[str, ...]
    models: tuple[str, ...]
    checkpoints: tuple[str, ...]
    batches: tuple[str, ...]
    unreadable: tuple[str, ...]  # Python files with no syntax tree


def look(folder: Path) -> Found:
    """Everything below `folder` but hidden, built and installed files, and tests."""
    files = list(_files(folder))
    losses: list[str] = []
    models: list[str] = []
    unreadable: list[str] = []
    for path in (p for p in files if p.suffix == ".py"):
        name = path.relative_to(folder).as_posix()
        tree = _tree(path)
        if tree is None:
            unreadable.append(name)
            continue
        losses += [f"{name}:{found}" for found in _losses(tree, "loss" in path.stem.lower())]
        models += [f"{name}:{found}" for found in _models(tree)]
    weights = [p for p in files if p.suffix in WEIGHTS or (p.suffix in MAYBE and zipfile.is_zipfile(p))]
    weights.sort(key=lambda p: (-_changed(p), p))
    named = [p.relative_to(folder).as_posix() for p in weights]
    batches = [n for n in named if BATCH.search(Path(n).stem)]
    batches += [p.relative_to(folder).as_posix() for p in files if p.suffix == ".npz"]
    batches += [n for n in named if n not in batches and not _holds_weights(folder / n)]
    checkpoints = [n for n in named if n not in batches]
    lists = _from_one_place(sorted(losses, key=_unlikely), models, checkpoints, batches)
    return Found(*(tuple(some) for some in (*lists, unreadable)))


def _from_one_place(
    losses: list[str], models: list[str], checkpoints: list[str], batches: list[str]
) -> list[list[str]]:
    """The same, those first that lie with the newest checkpoint: in its folder, or the nearest above it that has both
    a loss and a model. A repository may hold several projects."""
    above = Path(checkpoints[0]).parents if checkpoints else ()
    home = next((f for f in above if all(any(_is_below(n, f) for n in some) for some in (losses, models))), Path())
    return [sorted(some, key=lambda n: not _is_below(n, home)) for some in (losses, models, checkpoints, batches)]


def _is_below(name: str, folder: Path) -> bool:
    return Path(name).is_relative_to(folder)


def _holds_weights(path: Path) -> bool:
    """Does it look like a checkpoint? By names in its pickle, which is not run; what is no zip may well be one."""
    try:
        with zipfile.ZipFile(path) as stored:
            name = next((n for n in stored.namelist() if n.endswith("data.pkl")), None)
            return name is None or bool(STORED.search(stored.read(name)))
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError):
        return True


def _files(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in PASSED_OVER)
        for name in sorted(names):
            seen += 1
            if seen > MOST:
                return
            wanted = name.endswith((".py", ".npz", *WEIGHTS, *MAYBE)) and not name.startswith((".", "test_"))
            if wanted and os.path.isfile(os.path.join(place, name)):
                yield Path(place) / name


def _tree(path: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their invalid escapes
            return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _losses(tree: ast.Module, is_for_losses: bool) -> list[str]:
    """Public functions of two values or more, and modules, that are named like a loss; all such functions of a file
    for losses in which none is."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and len(n.args.posonlyargs + n.args.args) >= 2]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and _is_module(n)]
    named: list[ast.FunctionDef | ast.ClassDef] = [*functions, *classes]
    public = [n for n in named if not n.name.startswith("_")]
    called_so = [n for n in public if LOSS.search(n.name)]
    return [n.name for n in called_so or [n for n in public if is_for_losses and n in functions]]


def _models(tree: ast.Module) -> list[str]:
    """What builds a model without being told anything: factories first, then module classes, those first that know
    their own training step, those last that another class is made of."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and FACTORY.search(n.name) and _is_bare(n)]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and _is_module(n) and not LOSS.search(n.name)]
    ready = [
        n
        for n in classes
        if all(_is_bare(f, 1) for f in n.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    ]
    ready.sort(key=lambda c: (not _trains(c), any(_names(c.name, other) for other in classes if other is not c)))
    named: list[ast.FunctionDef | ast.ClassDef] = [*functions, *ready]
    return [n.name for n in named]


def _trains(node: ast.ClassDef) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == "training_step" for n in node.body)


def _names(name: str, node: ast.ClassDef) -> bool:
    """Does its body speak of it? What it is derived from is no part of it."""
    return any(isinstance(n, ast.Name) and n.id == name for part in node.body for n in ast.walk(part))


def _is_bare(function: ast.FunctionDef, own: int = 0) -> bool:
    """Can it be called without arguments (beside `self`)?"""
    arguments = function.args
    required = len(arguments.posonlyargs + arguments.args) - len(arguments.defaults) - own
    return required <= 0 and all(default is not None for default in arguments.kw_defaults)


def _is_module(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith(("Module", "LightningModule", "_Loss")) for base in node.bases)


def _unlikely(spec: str) -> tuple[bool, bool, str]:
    """Sorts what stands in a file named for losses first, and one that says NLL before others."""
    place, _, name = spec.rpartition(":")
    return "loss" not in place.lower(), "nll" not in name.lower(), spec
