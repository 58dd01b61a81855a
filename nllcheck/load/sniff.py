"""What kind of file is this? Decided by its bytes, never by its name, before anything is loaded."""

from __future__ import annotations

import json
import pickletools
import zipfile
from pathlib import Path
from typing import Literal

from nllcheck.errors import NllcheckError

FileKind = Literal["torch", "torchscript", "pt2", "pickle", "safetensors", "npz"]

WORDS: dict[str, str] = {
    "torch": "a torch.save file",
    "torchscript": "a TorchScript archive",
    "pt2": "a torch.export archive (.pt2)",
    "pickle": "a bare pickle",
    "safetensors": "a safetensors file",
    "npz": "a NumPy archive",
}


def kind_of(path: Path) -> FileKind:
    """The kind of a checkpoint or batch file. Raises NllcheckError, with what it is instead, for anything else."""
    head = _head(path)
    if head.startswith(b"version https://git-lfs"):
        raise NllcheckError("this is a Git LFS pointer, not the file itself", where=str(path), hint="run: git lfs pull")
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if _is_safetensors(path, head):  # before pickles: its first byte, a length, may look like one
        return "safetensors"
    if head[:1] == b"\x80":
        return "pickle"
    raise NllcheckError(f"this is {_guess(head)}, not a checkpoint or batch", where=str(path), hint=_HINT)


_HINT = "expected a torch.save file, a bundle from nllcheck.save, .safetensors, .npz, TorchScript or .pt2"


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise NllcheckError("this is a folder, not a file", where=str(path), hint=_HINT)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise NllcheckError("there is no such file", where=str(path), hint=_neighbours(path)) from None
    except OSError as error:
        raise NllcheckError(f"cannot read it: {error.strerror}", where=str(path)) from None
    if not head:
        raise NllcheckError("the file is empty", where=str(path))
    return head


def _neighbours(path: Path) -> str:
    from nllcheck.errors import did_you_mean

    names = {p.name for p in path.parent.iterdir() if p.is_file()} if path.parent.is_dir() else set()
    return did_you_mean(path.name, names) if names else "check the path"


def _kind_of_zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        hint = "it is cut short or damaged: copy or save it again"
        raise NllcheckError("the archive cannot be read", where=str(path), hint=hint) from None
    inner = {name.split("/", 1)[1] if "/" in name else name for name in names}
    if "constants.pkl" in inner or any(n.startswith("code/") for n in inner):
        return "torchscript"
    if any(n.startswith(("models/", "archive_format")) or n == "serialized_exported_program.json" for n in inner):
        return "pt2"
    if "data.pkl" in inner:
        return "torch"
    if names and all(n.endswith(".npy") for n in names):
        return "npz"
    raise NllcheckError("this zip archive is no checkpoint", where=str(path), hint=_HINT)


def _is_safetensors(path: Path, head: bytes) -> bool:
    size = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:9] != b"{" or size > path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(8)
        try:
            return isinstance(json.loads(file.read(size)), dict)
        except ValueError:
            return False


def _guess(head: bytes) -> str:
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if head.startswith(b"GGUF"):
        return "a GGUF file"
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return "a binary file of an unknown kind"
    return "a text file" if text.isprintable() or "\n" in text else "a binary file of an unknown kind"


def pickled_globals(path: Path, kind: FileKind) -> list[str]:
    """Names of everything a pickle would import, read from its opcodes without running it, plainest torch left out."""
    try:
        found = _globals(_pickle_bytes(path, kind))
    except (ValueError, OSError, zipfile.BadZipFile, IndexError, StopIteration):
        return []  # no pickle inside, or one that cannot be read: then there is nothing to name
    return [name for name in found if name not in _HARMLESS and not name.startswith("torch._utils._rebuild")]


_HARMLESS = {"collections.OrderedDict", "torch.Size", "torch.device"} | {
    f"torch.{t}Storage" for t in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
}


def _pickle_bytes(path: Path, kind: FileKind) -> bytes:
    if kind == "pickle":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        return archive.read(name)


def _globals(data: bytes) -> list[str]:
    found: list[str] = []
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(data):
        if isinstance(argument, str) and "UNICODE" in opcode.name:
            strings.append(argument)
        if opcode.name == "GLOBAL":
            found.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            found.append(".".join(strings[-2:]))
    return list(dict.fromkeys(found))
