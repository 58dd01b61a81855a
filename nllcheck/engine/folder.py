"""A folder of pieces that any process may fill: long runs that go on where they ended, shards, and their merge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nllcheck import disk
from nllcheck.engine import piecefile
from nllcheck.engine.identity import key_of
from nllcheck.engine.piecefile import DamagedError, Label
from nllcheck.errors import NllcheckError
from nllcheck.sweep.plan import Engine, Plan, Tell, local
from nllcheck.sweep.trace import Trace

_FILES = "piece-*.safetensors"
_FOREIGN = "it belongs to another target, other settings or other versions"


@dataclass(frozen=True)
class Folder:
    """An engine that evaluates only what `path` does not hold yet, and writes every piece as it is done.

    Called with some of the positions it is a shard; damaged pieces are evaluated again. Raises NllcheckError for a
    folder that holds pieces of something else.
    """

    path: Path
    engine: Engine = local  # evaluates what is missing
    shard: str = ""
    made: Any = None  # of what: plain values, kept in every piece for `nllcheck merge`

    def __call__(self, plan: Plan, wanted: Sequence[int], tell: Tell) -> Iterator[tuple[int, Trace]]:
        key = key_of(plan)
        missing = []
        for k in wanted:
            trace = self._known(plan, key, k)
            if trace is None:
                missing.append(k)
            else:
                yield k, trace
        for k, trace in self.engine(plan, missing, tell):
            piecefile.write(self._label(plan, key, k), trace, self.path)
            yield k, trace

    def _label(self, plan: Plan, key: str, k: int) -> Label:
        return Label(key, k, len(plan.pieces), self.shard, self.made)

    def _known(self, plan: Plan, key: str, k: int) -> Trace | None:
        """The piece if it is there and sound."""
        path = self.path / self._label(plan, key, k).name
        if not path.exists():
            return None
        try:
            _checked_key(piecefile.label_of(path), key, path)
            return piecefile.read(path, plan)
        except DamagedError:
            return None


def opened(path: str | Path) -> Path:
    """The folder, made where there is none. Raises NllcheckError for a place where none can be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = str(error.strerror or error).lower()
        raise NllcheckError(f"cannot make the folder: {cause}", where=str(path), hint="choose another path") from None
    disk.tidy(folder)
    return folder


def _checked_key(label: Label, key: str, path: Path) -> None:
    if label.key != key:
        hint = "name a new folder, or delete this one; a changed checkpoint, batch or loss starts from the beginning"
        raise NllcheckError(f"this piece is of no use here: {_FOREIGN}", where=str(path), hint=hint)


@dataclass(frozen=True)
class Pieces:
    """An engine that evaluates nothing: all pieces of one sweep, checked by `collected`."""

    paths: tuple[Path, ...]  # by position
    label: Label  # of the first

    def __call__(self, plan: Plan, wanted: Sequence[int], tell: Tell) -> Iterator[tuple[int, Trace]]:
        if (self.label.key, self.label.pieces) != (key_of(plan), len(plan.pieces)):
            hint = "checkpoint, batch, loss, settings and versions must be those of the shards: run the shards again"
            raise NllcheckError("the shards are of another sweep", where=str(self.paths[0].parent), hint=hint)
        for k in wanted:
            yield k, _sound(self.paths[k], plan)


def _sound(path: Path, plan: Plan) -> Trace:
    try:
        return piecefile.read(path, plan)
    except DamagedError as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: DamagedError) -> NllcheckError:
    return NllcheckError(f"damaged: {error}", where=str(path), hint="delete it and run its shard again")


def collected(places: Sequence[str | Path]) -> Pieces:
    """All pieces in these folders and files. Raises NllcheckError by name for missing, double and foreign ones."""
    paths = [path for place in places for path in _pieces_at(Path(place))]
    labels = {path: _label(path) for path in paths}
    first = labels[paths[0]]
    found: dict[int, Path] = {}
    for path, label in labels.items():
        if (label.key, label.pieces, label.made) != (first.key, first.pieces, first.made):
            raise NllcheckError(f"no piece of what {paths[0]} is of: {_FOREIGN}", where=str(path))
        if label.piece in found:
            raise NllcheckError(f"there twice: also as {found[label.piece]}", where=str(path), hint="name one of them")
        found[label.piece] = path
    _complete(found, labels, first)
    return Pieces(tuple(path for _, path in sorted(found.items())), first)


def _pieces_at(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    paths = sorted(place.glob(_FILES))
    if not paths:
        hint = "nllcheck run ... --shard 1/4 --resume DIR writes them"
        raise NllcheckError("there are no pieces of a sweep here", where=str(place), hint=hint)
    return paths


def _label(path: Path) -> Label:
    try:
        return piecefile.label_of(path)
    except DamagedError as error:
        raise _damaged(path, error) from None


def _complete(found: dict[int, Path], labels: dict[Path, Label], first: Label) -> None:
    missing = [k for k in range(first.pieces) if k not in found]
    if not missing:
        return
    names = [Label(first.key, k, first.pieces).name for k in missing[:5]] + ["…"] * (len(missing) > 5)
    counts = {label.shard.partition("/")[2] for label in labels.values()} - {""}
    n = int(counts.pop()) if len(counts) == 1 else 0
    shards = ", ".join(f"{i + 1}/{n}" for i in sorted({k % n for k in missing})) if n else ""
    hint = f"run shard {shards} (again): what is there is not done twice" if shards else "run again with --resume"
    message = f"{len(missing)} of {first.pieces} pieces are missing: {', '.join(names)}"
    raise NllcheckError(message, where=str(next(iter(labels)).parent), hint=hint, exit_code=4)
