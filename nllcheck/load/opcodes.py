"""What a pickle would import, read from its opcodes. Nothing is unpickled."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HARMLESS = {"collections.OrderedDict", "torch.Size", "torch.device", "torch.nn.parameter.Parameter"}
_REBUILDERS = ("torch._utils._rebuild_", "torch.storage.", "torch._tensor._rebuild_")
_DTYPES = [
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "bool",
    "complex64",
    "complex128",
]
_PARTS = 5  # pickles in a row that an old torch.save file holds: number, version, system, object, storage keys


@dataclass(frozen=True, slots=True)
class Scan:
    """`names` are the imports beyond plain tensors; `whole` says whether the pickle reaches its end."""

    names: tuple[str, ...]
    whole: bool


def scan(path: Path) -> Scan:
    """The imports of a pickle, bare or in a torch.save archive."""
    try:
        data = _pickle_bytes(path)
    except Exception:  # a damaged archive raises what zipfile and zlib feel like
        return Scan((), False)
    names: list[str] = []
    whole = False
    for found, ended in _pickles(data):
        names += found
        whole = whole or ended
    return Scan(tuple(n for n in dict.fromkeys(names) if not _is_plain(n)), whole)


def _pickle_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def _pickles(data: bytes) -> Iterator[tuple[list[str], bool]]:
    """Each pickle's imports and whether it ends properly; what follows the last is raw storage."""
    start = 0
    for _ in range(_PARTS):
        if start >= len(data) or (start and data[start] != 0x80):
            return
        names: list[str] = []
        end = _globals(data[start:], names)
        yield names, end > 0
        if not end:
            return
        start += end


def _globals(data: bytes, names: list[str]) -> int:
    """Append the imports of the first pickle to `names`; its length, 0 if it does not end."""
    pushed: list[str] = []  # texts in the order in which they reach the stack
    memo: dict[int, str] = {}
    try:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name == "STOP":
                return (position or 0) + 1
            _follow(opcode.name, argument, pushed, memo, names)
    except Exception:  # pickletools on damaged data
        return 0
    return 0


def _follow(opcode: str, argument: object, pushed: list[str], memo: dict[int, str], names: list[str]) -> None:
    if "UNICODE" in opcode:
        pushed.append(str(argument))
    elif opcode == "MEMOIZE":
        memo[len(memo)] = pushed[-1] if pushed else "?"
    elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(str(argument))] = pushed[-1] if pushed else "?"
    elif opcode in ("BINGET", "LONG_BINGET", "GET"):
        pushed.append(memo.get(int(str(argument)), "?"))
    elif opcode in ("GLOBAL", "INST"):
        names.append(str(argument).replace(" ", "."))
    elif opcode == "STACK_GLOBAL":
        names.append(".".join(pushed[-2:]) or "?")


def _is_plain(name: str) -> bool:
    """Part of how plain tensors are stored."""
    kind = name.removeprefix("torch.")
    is_storage = kind != name and kind.endswith("Storage") and "." not in kind
    return name in _HARMLESS or name.startswith(_REBUILDERS) or is_storage or (kind != name and kind in _DTYPES)
