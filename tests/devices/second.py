"""A second device for machines that have none: torch's spare backend, made of the CPU (`second.cpp`).

It computes the CPU's numbers and refuses what a GPU refuses: tensors of two devices in one op, a generator of another
device, and its backward runs in a thread of its own. So whatever stays behind on the CPU is found without a GPU.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import torch

SOURCE = Path(__file__).with_name("second.cpp")
NAME = "second"


def compiler() -> str | None:
    """A C++ compiler that is at hand."""
    return shutil.which("c++") or shutil.which("g++")


def built(folder: Path) -> Path:
    """The device as a library of torch's in `folder`: about 10 s. Raises CalledProcessError where it does not build."""
    root, library = Path(torch.__file__).parent, folder / "second.so"
    headers = [root / "include", root / "include/torch/csrc/api/include"]
    seen = [part for header in headers for part in ("-isystem", str(header))]
    linked = [f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"]
    command = [
        compiler() or "c++",
        "-shared",
        "-fPIC",
        "-O0",
        "-std=c++20",
        *seen,
        str(SOURCE),
        "-o",
        str(library),
        *linked,
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def register(library: Path) -> None:
    """`torch.device("second")`, for the rest of this process."""
    torch.utils.rename_privateuse1_backend(NAME)
    torch.ops.load_library(str(library))
    module = ModuleType(f"torch.{NAME}")
    vars(module).update(
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        device=lambda index: contextlib.nullcontext(),
        _is_in_bad_fork=lambda: False,
        manual_seed_all=lambda seed: None,  # noise comes from the CPU's generator
        get_rng_state=lambda index=None: torch.empty(0, dtype=torch.uint8),
        set_rng_state=lambda state, index=None: None,
        get_amp_supported_dtype=lambda: [torch.float16, torch.bfloat16],
    )
    torch._register_device_module(NAME, module)
