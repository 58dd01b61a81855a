"""NumPy arrays and numbers in a torch.save file, read without NumPy's own unpickling.

Their pickles name functions of NumPy that take whatever a file says of an array's inside. Here these names stand for
the two classes below, which accept plain numbers alone and check them; a file can still not run anything.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")


class Dtype:
    """What stands for `numpy.dtype` in a file."""

    def __init__(self, code: Any = "", align: Any = False, copy: Any = True) -> None:
        self.code, self.order = str(code).lstrip("<>|="), "="

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "=")):
            raise pickle.UnpicklingError("a NumPy dtype of a form that is not known")
        self.order = state[1]

    def made(self) -> np.dtype[Any]:
        if self.code not in KINDS:
            raise pickle.UnpicklingError(f"a NumPy array of '{self.code[:20]}', which is no plain number")
        return np.dtype(self.order.replace("|", "=") + self.code)


class Array:
    """What stands for `numpy.ndarray` in a file; `value` is there once its state has been read."""

    value: torch.Tensor

    def __init__(self, *_: Any) -> None:
        """Empty, whatever shape the file begins with."""

    def __setstate__(self, state: Any) -> None:
        try:
            _, shape, dtype, is_fortran, raw = state
            flat = np.frombuffer(_bytes(raw), dtype.made())
            found = flat.reshape([int(n) for n in shape], order="F" if is_fortran else "C")
        except (ValueError, TypeError, AttributeError) as error:
            raise pickle.UnpicklingError(f"a damaged NumPy array ({error})") from None
        self.value = tensor_of(found)


def _bytes(raw: Any) -> bytes:
    if isinstance(raw, bytes):
        return raw
    raise pickle.UnpicklingError("a NumPy array of objects")


def _reconstruct(*_: Any) -> Array:
    return Array()


def _scalar(dtype: Any = None, raw: Any = b"") -> Any:
    try:
        return np.frombuffer(_bytes(raw), dtype.made(), count=1)[0].item()
    except (ValueError, AttributeError, IndexError) as error:
        raise pickle.UnpicklingError(f"a damaged NumPy number ({error})") from None


def _no_bytes() -> bytes:
    """How protocol 2 writes the bytes of an empty array."""
    return b""


STANDINS: tuple[tuple[Callable[..., Any], str], ...] = (
    (Dtype, "numpy.dtype"),
    (Array, "numpy.ndarray"),
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_no_bytes, "builtins.bytes"),
)
NAMES = frozenset({"_codecs.encode", "__builtin__.bytes", *(name for _, name in STANDINS)})  # what arrays alone name


def tensor_of(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """A copy, in the machine's own byte order."""
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))


def as_tensors(content: Any) -> Any:
    """`content` with tensors in place of arrays, in nested dicts, lists and tuples."""
    if isinstance(content, Array):
        if not hasattr(content, "value"):
            raise pickle.UnpicklingError("a NumPy array without its numbers")
        return content.value
    if isinstance(content, np.ndarray) and content.dtype.newbyteorder("=").str[1:] in KINDS:
        return tensor_of(content)
    if isinstance(content, dict):
        for name, value in content.items():
            content[name] = as_tensors(value)
    elif isinstance(content, list):
        content[:] = map(as_tensors, content)
    elif type(content) is tuple:
        return tuple(map(as_tensors, content))
    return content
