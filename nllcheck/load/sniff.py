"""What kind of file is this? Decided by its bytes, never by its name, before anything is loaded."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Literal

from nllcheck.errors import NllcheckError, did_you_mean

FileKind = Literal["torch", "torchscript", "pt2", "pickle", "safetensors", "npz"]

WORDS: dict[str, str] = {
    "torch": "a torch.save file",
    "torchscript": "a TorchScript archive",
    "pt2": "a torch.export archive (.pt2)",
    "pickle": "a bare pickle",
    "safetensors": "a safetensors file",
    "npz": "a NumPy archive",
}


def printable(text: str) -> str:
    """A name from inside a file as it may be shown: it must not steer a terminal."""
    return text if text.isprintable() else ascii(text)


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
        return "torch" if _LEGACY in head[:32] else "pickle"
    raise NllcheckError(f"this is {_guess(head)}, not a checkpoint or batch", where=str(path), hint=_HINT)


_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch.save wrote first before it wrote zip archives
_HINT = "expected a torch.save file, a bundle from nllcheck.save, .safetensors, .npz, TorchScript or .pt2"


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise NllcheckError("this is a folder, not a file", where=str(path), hint=_inside(path))
        if path.exists() and not path.is_file():
            raise NllcheckError("this is a pipe or device, not a file", where=str(path), hint="write it to a file")
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise NllcheckError("there is no such file", where=str(path), hint=_neighbours(path)) from None
    except (OSError, ValueError) as error:
        raise NllcheckError(f"cannot read it: {getattr(error, 'strerror', None) or error}", where=str(path)) from None
    if not head:
        raise NllcheckError("the file is empty", where=str(path), hint="copy or save it again")
    return head


_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")


def _inside(folder: Path) -> str:
    """Name the checkpoints that lie in a folder."""
    found = sorted(p.name for p in folder.iterdir() if p.suffix in _CHECKPOINTS)
    return f"name a file in it: {', '.join(found[:4])}" if found else _HINT


def _neighbours(path: Path) -> str:
    try:
        names = {p.name for p in path.parent.iterdir() if p.suffix in (*_CHECKPOINTS, ".npz", ".pt2") and p.is_file()}
    except OSError:
        return f"there is no folder {path.parent} that can be read"
    return did_you_mean(path.name, names) if names else "check the path"


def _kind_of_zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile lets UnicodeDecodeError, struct.error and others through
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


_LONGEST_HEADER = 100_000_000  # bytes, as the format itself says


def _is_safetensors(path: Path, head: bytes) -> bool:
    size = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:9] != b"{" or size > min(path.stat().st_size, _LONGEST_HEADER):
        return False
    with path.open("rb") as file:
        file.seek(8)
        try:
            return isinstance(json.loads(file.read(size)), dict)
        except (ValueError, RecursionError):
            return False


def _guess(head: bytes) -> str:
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if head.startswith(b"\x93NUMPY"):
        return "a single NumPy array (.npy)"
    if head.startswith(b"GGUF"):
        return "a GGUF file"
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return "a binary file of an unknown kind"
    return "a text file" if text.isprintable() or "\n" in text else "a binary file of an unknown kind"
