"""`[tool.nllcheck]` of the nearest `pyproject.toml`: the project's own settings and named targets.

    [tool.nllcheck]
    fail_on = "warning"
    ignore = ["NLL002"]
    baseline = "nllcheck-baseline.toml"

    [tool.nllcheck.severity]
    NLL405 = "note"

    [tool.nllcheck.targets.mixture]
    checkpoint = "runs/last.pt"
    model = "model.py:build"
    loss = "losses.py:nll"
    batch = "batch.pt"

Paths are relative to the file. Trust cannot be granted here: the file belongs to the repository under test.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.types import SEVERITIES, Severity


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a run as the file gives them; None where it says nothing."""

    fail_on: str | None = None
    rules: tuple[str, ...] | None = None
    device: str | None = None
    dtype: str | None = None
    memory: str | None = None
    seed: int | None = None
    effort: str | None = None  # quick, default or thorough: how many axes and points
    points: int | None = None
    min_bits: int | None = None  # correct bits below which a finite result is reported
    sweep: tuple[str, ...] | None = None
    support: str | None = None  # of the target: real, positive, ...
    base_measure: str | None = None
    fuse: bool | None = None
    as_compiled: bool | None = None
    nll: bool | None = None
    select: tuple[str, ...] | None = None  # rule ids or their beginnings: "NLL1"
    ignore: tuple[str, ...] | None = None
    severity: tuple[tuple[str, Severity], ...] | None = None
    baseline: str | None = None

    def updated(self, other: Settings) -> Settings:
        """These settings with those that `other` gives put over them."""
        given = {f.name: getattr(other, f.name) for f in fields(other) if getattr(other, f.name) is not None}
        if self.severity and other.severity:
            given["severity"] = tuple({**dict(self.severity), **dict(other.severity)}.items())
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class Named:
    """One `[tool.nllcheck.targets.NAME]`."""

    name: str
    checkpoint: tuple[str, ...] = ()
    model: str | None = None
    loss: str | None = None
    batch: tuple[str, ...] = ()
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class Config:
    """A project's file."""

    path: Path
    settings: Settings
    targets: tuple[Named, ...]

    @property
    def folder(self) -> Path:
        """What its paths are relative to."""
        return self.path.parent

    def pick(self, paths: Sequence[str], name: str | None) -> Named | None:
        """The target that is meant: by name, by its checkpoint, or the only one. Raises NllcheckError if unclear."""
        if name is not None:
            return self._by_name(name)
        if paths:
            return self._by_checkpoint(paths)
        if len(self.targets) > 1:
            names = ", ".join(t.name for t in self.targets)
            raise NllcheckError(f"several targets: {names}", where=str(self.path), hint="choose with --target NAME")
        return self.targets[0] if self.targets else None

    def _by_name(self, name: str) -> Named:
        for target in self.targets:
            if target.name == name:
                return target
        hint = did_you_mean(name, {t.name for t in self.targets})
        raise NllcheckError(f"there is no target '{name}'", where=str(self.path), hint=hint)

    def _by_checkpoint(self, paths: Sequence[str]) -> Named | None:
        wanted = {Path(p).resolve() for p in paths}
        fitting = [t for t in self.targets if wanted & {(self.folder / c).resolve() for c in t.checkpoint}]
        if len(fitting) > 1:
            names = ", ".join(t.name for t in fitting)
            hint = "choose with --target NAME"
            raise NllcheckError(f"this checkpoint belongs to several targets: {names}", where=str(self.path), hint=hint)
        return fitting[0] if fitting else None


def meant(config: Config | None, paths: Sequence[str], name: str | None, complete: bool) -> Named | None:
    """The target that a command line means. None without one, or where the command line is `complete` by itself."""
    if config is None:
        if name is not None:
            hint = "add [tool.nllcheck.targets.NAME] to pyproject.toml"
            raise NllcheckError(f"there is no target '{name}': no pyproject.toml names any", hint=hint)
        return None
    return None if complete and name is None else config.pick(paths, name)


def nearest(paths: Sequence[str]) -> Config | None:
    """The config of the nearest `pyproject.toml` with a `[tool.nllcheck]`, upward from the checkpoint, else from
    the working directory. Raises NllcheckError for a file that cannot be understood."""
    starts = [Path(paths[-1]).resolve().parent] if paths else []
    for start in [*starts, Path.cwd()]:
        for folder in [start, *start.parents]:
            found = _read(folder / "pyproject.toml")
            if found is not None:
                return found
    return None


def _read(path: Path) -> Config | None:
    content = toml_of(path)
    tools = {} if content is None else content.get("tool", {})
    table = tools.get("nllcheck") if isinstance(tools, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise NllcheckError("[tool.nllcheck] must be a table", where=str(path))
    targets = table.get("targets", {})
    if not isinstance(targets, dict) or not all(isinstance(t, dict) for t in targets.values()):
        raise NllcheckError("[tool.nllcheck.targets] must hold tables", where=str(path))
    settings = _settings({k: v for k, v in table.items() if k != "targets"}, path, "tool.nllcheck", {"targets"})
    return Config(path, settings, tuple(_named(name, value, path) for name, value in targets.items()))


def toml_of(path: Path) -> dict[str, Any] | None:
    """The content of a TOML file; None where nothing has its name, or the folder cannot be looked into.

    Raises NllcheckError for what stands there and is no such file: passed over, it would be replaced by another.
    """
    where = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            found = "a folder" if path.is_dir() else "a pipe or device"
            raise NllcheckError(f"this is {found}, not a file", where=where, hint="put the file in its place")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NllcheckError(f"not valid TOML: {error}", where=where) from None
    except RecursionError:
        raise NllcheckError("not valid TOML: nested too deeply", where=where) from None
    except (OSError, MemoryError) as error:
        if not os.path.lexists(path):
            return None
        raise NllcheckError(f"cannot read it: {getattr(error, 'strerror', None) or error}", where=where) from None


_CHOICES = {"fail_on": (*SEVERITIES, "never"), "dtype": ("float16", "bfloat16", "float32", "float64")}
_OWN = ("checkpoint", "model", "loss", "batch")


def _named(name: str, table: Mapping[str, Any], path: Path) -> Named:
    place = f"tool.nllcheck.targets.{name}"
    rest = {k: v for k, v in table.items() if k not in _OWN}
    return Named(
        name,
        checkpoint=_texts(table, "checkpoint", path, place),
        model=_text(table, "model", path, place),
        loss=_text(table, "loss", path, place),
        batch=_texts(table, "batch", path, place),
        settings=_settings(rest, path, place, set(_OWN)),
    )


def _settings(table: Mapping[str, Any], path: Path, place: str, also: set[str]) -> Settings:
    known = {f.name for f in fields(Settings)}
    for key in table:
        if key == "trust":
            message = f"{place}: trust cannot be granted by a file of the repository under test"
            raise NllcheckError(message, where=str(path), hint="pass --trust on the command line")
        if key not in known:
            hint = did_you_mean(key, known | also)
            raise NllcheckError(f"unknown key '{key}' in [{place}]", where=str(path), hint=hint)
    values: dict[str, Any] = {}
    for key in table:
        if key in ("rules", "sweep", "select", "ignore"):
            values[key] = _texts(table, key, path, place)
        elif key in ("seed", "points", "min_bits"):
            values[key] = _number(table, key, path, place)
        elif key == "nll":
            values[key] = _flag(table, key, path, place)
        elif key == "severity":
            values[key] = _severities(table[key], path, f"{place}.severity")
        else:
            values[key] = _text(table, key, path, place)
    if "rules" in values:
        values["rules"] = tuple(str((path.parent / r).resolve()) for r in values["rules"])
    if values.get("baseline"):
        values["baseline"] = str((path.parent / values["baseline"]).resolve())
    return Settings(**values)


def _severities(table: Any, path: Path, place: str) -> tuple[tuple[str, Any], ...]:
    """`NLL405 = "note"`: pairs of a code and a severity."""
    if not isinstance(table, dict):
        raise NllcheckError(f"[{place}] must be a table", where=str(path), hint='write NLL405 = "note"')
    for code, severity in table.items():
        if severity not in SEVERITIES:
            hint = did_you_mean(str(severity), SEVERITIES)
            raise NllcheckError(f"'{code}' in [{place}] cannot be '{severity}'", where=str(path), hint=hint)
    return tuple(table.items())


def _text(table: Mapping[str, Any], key: str, path: Path, place: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise NllcheckError(f"'{key}' in [{place}] must be text", where=str(path))
    if value is not None and value not in _CHOICES.get(key, (value,)):
        hint = did_you_mean(value, _CHOICES[key])
        raise NllcheckError(f"'{key}' in [{place}] cannot be '{value}'", where=str(path), hint=hint)
    return value


def _texts(table: Mapping[str, Any], key: str, path: Path, place: str) -> tuple[str, ...]:
    value = table.get(key, ())
    value = (value,) if isinstance(value, str) else value
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise NllcheckError(f"'{key}' in [{place}] must be text or a list of texts", where=str(path))
    return tuple(value)


def _flag(table: Mapping[str, Any], key: str, path: Path, place: str) -> bool:
    if not isinstance(table[key], bool):
        raise NllcheckError(f"'{key}' in [{place}] must be true or false", where=str(path))
    return bool(table[key])


def _number(table: Mapping[str, Any], key: str, path: Path, place: str) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise NllcheckError(f"'{key}' in [{place}] must be a whole number", where=str(path))
    return value
