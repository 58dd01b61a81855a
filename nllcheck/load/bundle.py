"""The bundle that `nllcheck.save` writes: one plain file of tensors and text that names its model and loss."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch

from nllcheck.autocast import HALVES, MixedStep
from nllcheck.errors import NllcheckError
from nllcheck.load.sniff import printable

KEY = "nllcheck_bundle"
SCHEMA = 1
_PARTS = {"state": Mapping, "batch": object, "model": str, "loss": str}


def is_bundle(content: Any) -> bool:
    """Was this written by `nllcheck.save`?"""
    return isinstance(content, Mapping) and KEY in content


def checked(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The bundle, if this version can read it. Raises NllcheckError."""
    version = content[KEY]
    if type(version) is not int or not 1 <= version <= SCHEMA:
        message = f"the bundle has schema {version}, this nllcheck reads up to {SCHEMA}"
        raise NllcheckError(message, where=where, hint="install a newer nllcheck, or write the bundle again")
    bad = [k for k, kind in _PARTS.items() if k not in content or not isinstance(content[k], kind)]
    bad += [] if isinstance(content.get("kwargs", {}), Mapping) else ["kwargs"]
    bad += [] if _is_mixed(content.get("mixed")) else ["mixed"]
    if bad:
        hint = "write it again with nllcheck.save"
        raise NllcheckError(f"the bundle lacks a usable {', '.join(bad)}", where=where, hint=hint)
    return content


def _is_mixed(found: Any) -> bool:
    """None, or what `mixed_of` reads: all plain values that a step can have."""
    if found is None:
        return True
    if not isinstance(found, Mapping) or set(found) != set(MixedStep.__dataclass_fields__):
        return False
    scale = found["scale"]
    sound = type(scale) in (int, float) and math.isfinite(scale) and scale > 0
    return sound and found["dtype"] in tuple(HALVES) and found["device"] in ("cpu", "cuda")


def mixed_of(content: Mapping[str, Any]) -> MixedStep | None:
    """The mixed-precision step that a checked bundle was written in."""
    return MixedStep(**content["mixed"]) if content.get("mixed") is not None else None


def confirmed(spec: str, given: str | None, what: str, trust: bool, where: str) -> str:
    """The import path to use: a bundle may only name torch's own code; other names must be given or trusted.

    A file must not choose which code is imported or called. Raises NllcheckError.
    """
    if given is not None:
        return given
    if trust or is_torchs_own(spec):
        return spec
    message = f"the bundle names its {what} as '{printable(spec)}', which is not torch's own layer or loss"
    hint = f"if that is your own code, name it with --{what} or in pyproject.toml, or pass --trust"
    raise NllcheckError(message, where=where, hint=hint)


def is_torchs_own(spec: str) -> bool:
    """A function written in `torch.nn.functional` or a module class of `torch.nn`, named plainly.

    A prefix is not enough: 'torch.nn.functional:torch.serialization.load' starts like torch's own losses and
    unpickles whatever its arguments name.
    """
    module, _, name = spec.partition(":")
    if module == "torch.nn.functional" and name in vars(torch.nn.functional):
        found = vars(torch.nn.functional)[name]
        return inspect.isfunction(found) and found.__module__ == module and not name.startswith("_")
    found = vars(torch.nn).get(name) if module == "torch.nn" else None
    return inspect.isclass(found) and issubclass(found, torch.nn.Module)
