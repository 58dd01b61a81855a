"""Checkpoint and batch files -> tensors, without running anything inside them unless that is trusted."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from nllcheck.errors import NllcheckError
from nllcheck.load.sniff import WORDS, FileKind, kind_of, pickled_globals


def read(path: Path, trust: bool = False) -> Any:
    """The content of a file: a state dict, a batch, a bundle, or with `trust` a whole module.

    Raises NllcheckError; for a file that could run code and is not trusted it names the kind and the globals.
    """
    kind = kind_of(path)
    if kind == "safetensors":
        return _safetensors(path)
    if kind == "npz":
        return _npz(path)
    if kind in ("torchscript", "pt2"):
        return _program(path, kind, trust)
    return _torch(path, kind, trust)


def _torch(path: Path, kind: FileKind, trust: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not trust:
            raise _untrusted(path, kind) from None
        reason = error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever the pickled classes raise
        text = str(error).splitlines()[0] if str(error) else str(reason)
        raise NllcheckError(
            f"cannot be unpickled ({type(error).__name__}: {text})", where=str(path), hint=_IMPORTS
        ) from None


_IMPORTS = "a pickled module needs its classes importable under the same names"


def _untrusted(path: Path, kind: FileKind) -> NllcheckError:
    names = pickled_globals(path, kind)
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    inside = f" and would import {shown}" if names else ""
    message = f"{WORDS[kind]} that can run code{inside}; nothing of it was run"
    return NllcheckError(
        message, where=str(path), hint="pass --trust only if you know who wrote it, or save a state dict"
    )


def _damaged(path: Path, error: Exception) -> NllcheckError:
    text = str(error).strip().splitlines()
    return NllcheckError(
        f"the file is damaged ({text[0][:120] if text else type(error).__name__})",
        where=str(path),
        hint="copy or save it again",
    )


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _npz(path: Path) -> dict[str, torch.Tensor]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (ValueError, TypeError, OSError, EOFError) as error:
        hint = "arrays of plain numbers only: object arrays are pickles"
        raise NllcheckError(f"cannot be read ({error})", where=str(path), hint=hint) from None


def _program(path: Path, kind: FileKind, trust: bool) -> torch.nn.Module:
    if not trust:
        raise _untrusted(path, kind)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "torchscript":
                return torch.jit.load(str(path), map_location="cpu")
            return torch.export.load(path).module()
    except Exception as error:
        raise _damaged(path, error) from None
