"""What this installation has: versions, devices, number behaviour, rules, and what is missing."""

from __future__ import annotations

import platform
from importlib import import_module, metadata

MODULES = {
    "torch": "torch",
    "numpy": "numpy",
    "pandas": "pandas",
    "pydantic": "pydantic",
    "PyYAML": "yaml",
    "python-flint": "flint",
    "rich": "rich",
    "safetensors": "safetensors",
    "typer": "typer",
}
OLDEST_TORCH = (2, 10)  # below it, weights_only=True can be made to run code

Facts = list[tuple[str, str]]


def examine() -> tuple[Facts, list[str]]:
    """Facts as (name, value), and problems that keep the tool from working."""
    facts: Facts = [("nllcheck", _version("nllcheck") or "not installed"), ("python", platform.python_version())]
    problems: list[str] = []
    for name in MODULES:
        trouble = _trouble(name)
        facts.append((name, _version(name) or ("missing" if trouble else "of unknown version")))
        problems += [trouble] if trouble else []
    for look in (_torch, _rules, _fixtures):
        try:
            found, wrong = look()
        except Exception as error:
            found, wrong = [], _also(f"{type(error).__name__}: {error}", problems)
        facts += found
        problems += wrong
    return facts, problems


def _also(text: str, problems: list[str]) -> list[str]:
    """What fails only because a package is missing is no problem of its own."""
    return [] if problems else [text]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _trouble(name: str) -> str | None:
    """Why a package cannot be used; an installed one may still fail to load."""
    try:
        import_module(MODULES[name])
    except Exception as error:
        if _version(name) is None:
            return f"{name} is not installed: pip install {name}"
        return f"{name} does not load: {type(error).__name__}: {error}"
    return None


def _torch() -> tuple[Facts, list[str]]:
    import torch

    devices = [("cpu", torch.device("cpu"), f"{torch.get_num_threads()} threads")]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices += [(f"cuda:{i}", torch.device("cuda", i), torch.cuda.get_device_name(i)) for i in range(count)]
    seen = [_device(*device) for device in devices]
    facts = [fact for fact, _ in seen] + ([] if count else [("cuda", "no device")])
    return facts, [trouble for _, trouble in seen if trouble] + _age(torch.__version__)


def _device(name: str, device: object, about: str) -> tuple[tuple[str, str], str]:
    from nllcheck.devices import flushes_denormals

    try:
        flushed = flushes_denormals(device)  # type: ignore[arg-type]
    except Exception as error:
        return (name, about), f"{name} cannot compute: {type(error).__name__}: {str(error).splitlines()[0]}"
    return (name, f"{about}, subnormal numbers {'treated as 0' if flushed else 'kept'}"), ""


def _age(version: str) -> list[str]:
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return [f"torch {version} is older than {'.'.join(map(str, OLDEST_TORCH))}"] if parts < OLDEST_TORCH else []


def _rules() -> tuple[Facts, list[str]]:
    from nllcheck.errors import NllcheckError
    from nllcheck.rules import load

    try:
        return [("rules", str(len(load())))], []
    except NllcheckError as error:
        return [("rules", "cannot be read")], [str(error)]


def _fixtures() -> tuple[Facts, list[str]]:
    from nllcheck import resources

    names = [path.parent.name for path in resources.folder("fixtures").glob("*/pyproject.toml")]
    return [("example models", str(len(names)))], []
