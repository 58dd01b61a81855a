"""The bundle that `nllcheck.save` writes: one plain file of tensors and text that names its model and loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nllcheck.errors import NllcheckError

KEY = "nllcheck_bundle"
SCHEMA = 1
TORCH_OWN = ("torch.nn.functional:", "torch.nn:", "torch.nn.modules.loss:")


def is_bundle(content: Any) -> bool:
    """Was this written by `nllcheck.save`?"""
    return isinstance(content, Mapping) and KEY in content


def checked(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The bundle, if this version can read it. Raises NllcheckError."""
    version = content[KEY]
    if not isinstance(version, int) or version > SCHEMA:
        message = f"the bundle has schema {version}, this nllcheck reads up to {SCHEMA}"
        raise NllcheckError(message, where=where, hint="install a newer nllcheck")
    missing = [k for k in ("state", "batch", "model", "loss") if k not in content]
    if missing:
        raise NllcheckError(
            f"the bundle lacks {', '.join(missing)}", where=where, hint="write it again with nllcheck.save"
        )
    return content


def confirmed(spec: str, given: str | None, what: str, trust: bool, where: str) -> str:
    """The import path to use: a bundle may only name torch's own code; other names must be given or trusted.

    A file must not choose which of the user's modules is imported. Raises NllcheckError.
    """
    if given is not None:
        return given
    if spec.startswith(TORCH_OWN) or trust:
        return spec
    message = f"the bundle names its {what} as '{spec}', which is not torch's own code"
    raise NllcheckError(
        message, where=where, hint=f"confirm it with --{what} {spec}, or in pyproject.toml, or pass --trust"
    )
