"""What this installation has: versions, devices, number behaviour, rules, and what is missing."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("torch", "numpy", "pandas", "pydantic", "PyYAML", "python-flint", "rich", "safetensors", "typer")
OLDEST_TORCH = (2, 10)


def examine() -> tuple[list[tuple[str, str]], list[str]]:
    """Facts as (name, value), and problems that keep the tool from working."""
    facts = [("nllcheck", _version("nllcheck") or "not installed"), ("python", platform.python_version())]
    facts += [(name, _version(name) or "missing") for name in PACKAGES]
    problems = [f"{name} is not installed" for name in PACKAGES if _version(name) is None]
    if "torch is not installed" not in problems:
        facts += _devices()
        problems += _torch_problems()
    found, trouble = _rules()
    return [*facts, *found], [*problems, *trouble]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch_problems() -> list[str]:
    version = _version("torch") or "0.0"
    parts = tuple(int(p) for p in version.split(".")[:2] if p.isdigit())
    return [f"torch {version} is older than 2.10"] if parts < OLDEST_TORCH else []


def _devices() -> list[tuple[str, str]]:
    import torch

    from nllcheck.summary import flushes_denormals

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [(f"cuda:{i}", torch.cuda.get_device_name(i)) for i in range(count)]
    flushed = "treated as 0" if flushes_denormals(torch.device("cpu")) else "kept"
    threads = f"{torch.get_num_threads()} threads"
    return [("cpu", threads), *(names or [("cuda", "no device")]), ("subnormal numbers", flushed)]


def _rules() -> tuple[list[tuple[str, str]], list[str]]:
    from nllcheck.errors import NllcheckError
    from nllcheck.rules import load

    try:
        return [("rules", str(len(load())))], []
    except NllcheckError as error:
        return [("rules", "cannot be read")], [str(error)]
