"""Batch files -> `Batch`. Flat formats spell nesting in their names: 'inputs.0', 'inputs/mask', 'arr_1'."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.errors import NllcheckError
from nllcheck.load import bundle, files
from nllcheck.load.sniff import kind_of
from nllcheck.target import Batch, split_batch


def read_batch(path: Path, trust: bool) -> Batch:
    """One batch from a file. Raises NllcheckError."""
    content = files.read(path, trust)
    if kind_of(path) in ("safetensors", "npz"):
        content = nested(content)
    if isinstance(content, torch.nn.Module) or bundle.is_bundle(content):
        raise NllcheckError("this is a model, not a batch", where=str(path), hint="--batch takes (inputs, targets)")
    batch = split_batch(content, path.name)
    if not any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(batch.whole)):
        hint = "store (inputs, targets), or a dict with 'inputs' and 'targets'"
        raise NllcheckError("there is no tensor in this batch", where=str(path), hint=hint)
    return batch


def nested(content: dict[str, Any]) -> Any:
    """{'inputs.a': t, 'targets': u} -> {'inputs': {'a': t}, 'targets': u}; names 0, 1, … make a tuple.

    np.savez names positional arrays arr_0, arr_1, …: a tuple, too. Other names stay as they are.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        head, *rest = re.split(r"[./]", name, maxsplit=1)
        groups.setdefault(head, {})[rest[0] if rest else ""] = value
    if any("" in group and len(group) > 1 for group in groups.values()):
        return content  # 'x' and 'x.y' side by side: plain names
    return _tuple({head: group[""] if "" in group else nested(group) for head, group in groups.items()})


def _tuple(named: dict[str, Any]) -> Any:
    for prefix in ("", "arr_"):
        if set(named) == {f"{prefix}{i}" for i in range(len(named))}:
            return tuple(named[f"{prefix}{i}"] for i in range(len(named)))
    return named
