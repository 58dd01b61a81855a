"""One piece of a sweep as a file: tensors and JSON, no code, with a hash over both.

    piece-00012-of-00096.safetensors
        metadata["nllcheck"]  {"schema": 1, "key": ..., "piece": 12, "pieces": 96, "shard": "3/8", "made": {...}}
        metadata["sha256"]    over the line above and the tensors' bytes
        tensors               the columns of `sweep.trace.Trace`

A half-written piece never gets its name (`disk.whole`), and what has been damaged since does not pass for a piece.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nllcheck import disk
from nllcheck.errors import NllcheckError
from nllcheck.sweep.plan import Plan
from nllcheck.sweep.trace import Trace

SCHEMA = 1
_MOST = 1_000_000  # pieces
_SHARD = r"|[1-9]\d{0,8}/[1-9]\d{0,8}"
_COLUMNS = tuple(f.name for f in fields(Trace) if f.name not in ("axis", "names"))


@dataclass(frozen=True, slots=True)
class Label:
    """What a file says of itself."""

    key: str  # of the plan that it is a piece of: see `identity.key_of`
    piece: int  # position in `Plan.pieces`, from 0
    pieces: int  # in all
    shard: str = ""  # "3/8"
    made: Any = None  # of what: plain values, for whoever merges

    @property
    def name(self) -> str:
        return f"piece-{self.piece:05}-of-{self.pieces:05}.safetensors"


class DamagedError(Exception):
    """Not a piece, or not all of one."""


def write(label: Label, trace: Trace, folder: Path) -> None:
    """Raises NllcheckError where the folder cannot be written, or is full."""
    tensors = {name: getattr(trace, name).contiguous() for name in _COLUMNS}
    told = json.dumps({"schema": SCHEMA, **{f.name: getattr(label, f.name) for f in fields(Label)}})
    content = save(tensors, {"nllcheck": told, "sha256": _digest(told, tensors)})
    with disk.whole(folder / label.name) as stream:
        stream.write(content)


def label_of(path: Path) -> Label:
    """Raises DamagedError, and NllcheckError for a file that another version wrote."""
    return _label(_opened(path)[0], path)


def read(path: Path, plan: Plan) -> Trace:
    """The piece, checked against its hash and against the plan. Raises DamagedError."""
    metadata, tensors = _opened(path, with_tensors=True)
    label = _label(metadata, path)
    if set(tensors) != set(_COLUMNS) or metadata.get("sha256") != _digest(metadata["nllcheck"], tensors):
        raise DamagedError("its content does not fit its hash")
    piece = plan.pieces[label.piece]
    lane = plan.lanes[piece.lane]
    expected = lane.points[piece.start : piece.stop].cpu()
    if not torch.equal(tensors["points"], expected) or tensors["patterns"].shape[1] != len(lane.names):
        raise DamagedError("it holds other points")
    return Trace(axis=lane.axis, names=lane.names, **tensors)


def _opened(path: Path, with_tensors: bool = False) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if with_tensors else ()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError((str(error).splitlines() or [type(error).__name__])[0]) from None


def _label(metadata: dict[str, str], path: Path) -> Label:
    try:
        told = json.loads(metadata["nllcheck"])
        schema = told.pop("schema")
        if schema != SCHEMA:
            hint = "merge with the version that made it, or run the shard again"
            raise NllcheckError(f"a piece in form {schema}, this version reads {SCHEMA}", where=str(path), hint=hint)
        label = Label(**told)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DamagedError("it does not say what it is") from None
    numbers = type(label.piece) is int and type(label.pieces) is int and 0 <= label.piece < label.pieces <= _MOST
    if not (numbers and isinstance(label.key, str) and re.fullmatch(_SHARD, str(label.shard))):
        raise DamagedError("it does not say what it is")
    return label


def _digest(told: str, tensors: dict[str, torch.Tensor]) -> str:
    total = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        add_tensor(total, tensors[name])
    return total.hexdigest()


def add_tensor(total: Any, tensor: torch.Tensor) -> None:
    """Type, shape and bytes of a tensor into a hash."""
    total.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    total.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
