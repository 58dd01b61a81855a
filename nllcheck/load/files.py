"""Checkpoint and batch files -> tensors, without running anything inside them unless that is trusted."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nllcheck.errors import NllcheckError
from nllcheck.load import arrays
from nllcheck.load.imports import findable
from nllcheck.load.opcodes import scan
from nllcheck.load.sniff import WORDS, FileKind, kind_of, printable


def read(path: Path, trust: bool = False) -> Any:
    """The content of a file: a state dict, a batch, a bundle, or with `trust` a whole module.

    Raises NllcheckError; for a file that could run code and is not trusted it names the kind and the globals.
    """
    kind = kind_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks on its own formats
        return _READERS[kind](path, kind, trust)


def _torch(path: Path, kind: FileKind, trust: bool) -> Any:
    try:
        return _loaded(path, weights_only=True)
    except pickle.UnpicklingError as error:
        found = scan(path)
        if not found.whole:
            raise _damaged(path, error) from None
        if not (found.names or trust):
            raise _unknown_to_torch(path, error) from None
    except Exception as error:  # a damaged file can raise anything
        raise _damaged(path, error) from None
    _needs_trust(path, kind, trust)
    return _unpickled(path, lambda: _loaded(path, weights_only=False))


def _loaded(path: Path, weights_only: bool) -> Any:
    """As an open file: by its path torch takes whatever is named .safetensors for one. Arrays become tensors."""
    standins: list[Any] = list(arrays.STANDINS) if weights_only else []
    with path.open("rb") as file, torch.serialization.safe_globals(standins):
        return arrays.as_tensors(torch.load(file, map_location="cpu", weights_only=weights_only))


def _pickle(path: Path, kind: FileKind, trust: bool) -> Any:
    """A pickle that torch.save did not write."""
    _needs_trust(path, kind, trust)
    return _unpickled(path, lambda: pickle.loads(path.read_bytes()))


def _unpickled(path: Path, load: Callable[[], Any]) -> Any:
    """Run a trusted pickle; classes are looked for beside the file and in the working directory, too."""
    findable(path.resolve().parent)
    findable(Path.cwd())
    try:
        return load()
    except Exception as error:  # whatever the pickled classes raise
        text = _text(error)
        hint = "a pickled module needs its classes importable under the same names; a state dict needs only --model"
        if "__main__" in text:
            hint = "it was pickled by a script whose classes cannot be imported: save model.state_dict() instead"
        raise NllcheckError(
            f"cannot be unpickled ({type(error).__name__}: {text})", where=str(path), hint=hint
        ) from None


def _program(path: Path, kind: FileKind, trust: bool) -> torch.nn.Module:
    _needs_trust(path, kind, trust)
    try:
        if kind == "torchscript":
            return torch.jit.load(str(path), map_location="cpu")
        return torch.export.load(path).module()
    except Exception as error:
        raise _damaged(path, error) from None


def _needs_trust(path: Path, kind: FileKind, trust: bool) -> None:
    if trust:
        return
    found = scan(path).names if kind in ("torch", "pickle") else ()
    names = [printable(n) for n in found if n not in arrays.NAMES] or [printable(n) for n in found]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    inside = f" and would import {shown}" if names else ""
    message = f"{WORDS[kind]} that can run code{inside}; nothing of it was run"
    hint = "pass --trust only if you know who wrote it, or save tensors alone, such as model.state_dict()"
    raise NllcheckError(message, where=str(path), hint=hint)


def _unknown_to_torch(path: Path, error: Exception) -> NllcheckError:
    """Plain tensors in a spelling that the safe loader does not read: pickle protocols above 3."""
    message = f"torch's safe loader cannot read this torch.save file ({_text(error)})"
    return NllcheckError(message, where=str(path), hint="save it again without pickle_protocol=, or pass --trust")


def _damaged(path: Path, error: Exception) -> NllcheckError:
    return NllcheckError(f"the file is damaged ({_text(error)})", where=str(path), hint="copy or save it again")


def _text(error: Exception) -> str:
    """One line, without torch's advice to load it unsafely."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return (text.splitlines() or [type(error).__name__])[0][:120]


def _safetensors(path: Path, kind: FileKind, trust: bool) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None


def _npz(path: Path, kind: FileKind, trust: bool) -> dict[str, torch.Tensor]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except Exception as error:  # a damaged archive raises what zipfile, zlib or numpy feel like
        hint = "arrays of plain numbers only: object arrays are pickles"
        raise NllcheckError(f"cannot be read ({error})", where=str(path), hint=hint) from None


_READERS: dict[FileKind, Callable[[Path, FileKind, bool], Any]] = {
    "torch": _torch,
    "pickle": _pickle,
    "torchscript": _program,
    "pt2": _program,
    "safetensors": _safetensors,
    "npz": _npz,
}
