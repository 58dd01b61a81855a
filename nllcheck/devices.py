"""Devices: which there are, what they do to numbers, and whether one still answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from nllcheck.errors import NllcheckError


def device_of(name: str) -> torch.device:
    """'auto', 'cpu', 'cuda' or 'cuda:n'. Raises NllcheckError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise NllcheckError(f"unknown device '{name}'", hint="use auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise NllcheckError(f"there is no device '{name}' here", hint="use --device cpu, or see nllcheck doctor")
    return device


def noise_kept() -> contextlib.AbstractContextManager[None]:
    """The random state comes back: the CPU's, and that of GPUs in use. Torch's own default wakes up all that there are,
    which takes seconds and memory of each, and says so where they are several."""
    used = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    return torch.random.fork_rng(used, device_type="cuda")


@contextlib.contextmanager
def answering(device: torch.device) -> Iterator[None]:
    """Raises NllcheckError if the device answers no more at the end, whatever came of it: an assertion in one of its
    kernels (an index out of range, a probability above 1) ends a GPU for its process."""
    try:
        yield
    except Exception as error:
        _ask(device, error)
        raise
    _ask(device, None)


def _ask(device: torch.device, error: Exception | None) -> None:
    try:
        float(torch.ones((), device=device) + 1)
    except RuntimeError as answer:
        said = str(answer).strip().splitlines()[0]
        hint = "run it with --device cpu: there the op raises and says where"
        raise NllcheckError(
            f"an op stopped the device {device}, and nothing can be asked of it: {said}", hint=hint
        ) from error


def flushes_denormals(device: torch.device) -> bool:
    """Are subnormal numbers treated as zero on this device? (That moves every -104 edge to -87.4.)"""
    tiny = torch.tensor(1e-40, dtype=torch.float32, device=device)
    return bool((tiny * 1.0 == 0).item())


def shortened(device: torch.device, product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> bool:
    """Does `product(a, identity)` of float32 matrices (64, 64) give back fewer bits than `a` has, as TF32 does?

    Measured, because several switches of torch decide it, and the kernel that is chosen.
    """
    a = torch.full((64, 64), 1 + 2.0**-20, device=device)
    return not torch.equal(product(a, torch.eye(64, device=device)), a)


def convolved(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product of two matrices as a convolution of width 1."""
    return torch.nn.functional.conv2d(a.T[None, :, :, None], b.T[:, :, None, None])[0, :, :, 0].T
