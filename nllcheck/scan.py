"""What a repository holds that could be checked, from its names and syntax trees: nothing in it is imported or run."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOSS = re.compile(r"(^|_)(loss|nll|elbo|likelihood|criterion)(_|$)|(Loss|NLL|ELBO|Likelihood|Criterion)\d*$", re.ASCII)
FACTORY = re.compile(r"^(build|make|create|get)_?(model|net|network)?$|(^|_)(model|net|network)$")
WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors")
BATCH = re.compile(r"batch|sample", re.IGNORECASE)
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
        losses += [f"{name}:{found}" for found in _losses(tree)]
        models += [f"{name}:{found}" for found in _models(tree)]
    weights = [p for p in files if p.suffix in WEIGHTS]
    weights.sort(key=lambda p: (-_changed(p), p))
    named = [p.relative_to(folder).as_posix() for p in weights]
    batches = [n for n in named if BATCH.search(Path(n).stem)]
    batches += [p.relative_to(folder).as_posix() for p in files if p.suffix == ".npz"]
    checkpoints = [n for n in named if n not in batches]
    return Found(*map(tuple, (sorted(losses, key=_unlikely), models, checkpoints, batches, unreadable)))


def _files(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in PASSED_OVER)
        for name in sorted(names):
            seen += 1
            if seen > MOST:
                return
            wanted = name.endswith((".py", ".npz", *WEIGHTS)) and not name.startswith((".", "test_"))
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


def _losses(tree: ast.Module) -> list[str]:
    """Public functions of two values or more, and modules, that are named like a loss."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and len(n.args.posonlyargs + n.args.args) >= 2]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and _is_module(n)]
    named: list[ast.FunctionDef | ast.ClassDef] = [*functions, *classes]
    return [n.name for n in named if LOSS.search(n.name) and not n.name.startswith("_")]


def _models(tree: ast.Module) -> list[str]:
    """What builds a model without being told anything: factories first, then module classes."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and FACTORY.search(n.name) and _is_bare(n)]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and _is_module(n) and not LOSS.search(n.name)]
    ready = [
        n
        for n in classes
        if all(_is_bare(f, 1) for f in n.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    ]
    named: list[ast.FunctionDef | ast.ClassDef] = [*functions, *ready]
    return [n.name for n in named]


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
