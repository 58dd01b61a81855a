"""What a command line asks for, as jobs: one a target. A job is plain values, so it can go to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nllcheck import cache, config
from nllcheck.config import Settings
from nllcheck.errors import NllcheckError


@dataclass(frozen=True, slots=True)
class Job:
    """One target to check."""

    name: str  # in pyproject.toml; empty where the command line says it all
    request: dict[str, Any]  # the fields of `load.Request`
    given: dict[str, Any]  # options of the command line; None where nothing was said
    settings: Settings  # of the file, with the command line's over them
    meant: tuple[str, ...] = ()  # what the file says of the target, and where the file lies
    files: tuple[str, ...] = ()  # checkpoints and batches
    work: dict[str, Any] = field(default_factory=dict)  # engine, address, resume: who does it, which changes no report

    @property
    def label(self) -> str:
        return self.name or " ".join(self.request["paths"]) or "the model"

    @property
    def key(self) -> str:
        """The cache's name for it. What is decided about findings afterwards is no part of it."""
        settings = {name: getattr(self.settings, name) for name in OPTIONS}
        asked = {"request": self.request, "given": self.given, "settings": settings, "meant": self.meant}
        return cache.key(asked, self.settings.rules or ())


OPTIONS = (
    "fail_on",
    "rules",
    "device",
    "dtype",
    "memory",
    "seed",
    "effort",
    "points",
    "min_bits",
    "sweep",
    "support",
    "base_measure",
    "nll",
    "fuse",
    "as_compiled",
)


def plan(
    request: Mapping[str, Any], given: Mapping[str, Any], work: Mapping[str, Any] = MappingProxyType({})
) -> list[Job]:
    """The jobs of a command line; without anything named, every target of the project's file. Raises NllcheckError."""
    request = {**request, "paths": tuple(map(_newest, request["paths"]))}
    found = config.nearest(request["paths"])
    named = [request[name] for name in ("paths", "model", "loss", "batches", "target", "init")]
    if found is not None and found.targets and not any(named):
        if work.get("resume") and len(found.targets) > 1:
            hint = "choose one with --target NAME"
            raise NllcheckError("a folder of pieces is for one target", where=str(work["resume"]), hint=hint)
        return [_job({**request, "target": target.name}, given, found, work) for target in found.targets]
    return [_job(dict(request), given, found, work)]


def _newest(path: str) -> str:
    """The path itself, or of a folder that a `Guard` wrote to the last bundle. Raises NllcheckError."""
    if not Path(path).is_dir():
        return path
    bundles = sorted(Path(path).glob("nllcheck-step-*.pt"), key=lambda p: (p.lstat().st_mtime, p.name))
    if not bundles:
        raise NllcheckError("there is no bundle of nllcheck.Guard in this folder", where=path, hint=_named(path))
    return str(bundles[-1])


def _named(folder: str) -> str:
    """How the checkpoints of a folder are named on a command line."""
    kinds = sorted({p.suffix for p in Path(folder).iterdir() if p.suffix in (".pt", ".pth", ".ckpt", ".safetensors")})
    globs = " ".join(str(Path(folder) / f"*{kind}") for kind in kinds)
    if not globs:
        return "name a checkpoint; nllcheck.Guard writes nllcheck-step-*.pt"
    return f"name a checkpoint in it, or several of one run, oldest first: nllcheck run {globs}"


def _job(
    request: dict[str, Any], given: Mapping[str, Any], found: config.Config | None, work: Mapping[str, Any]
) -> Job:
    complete = bool(request["init"] and request["model"] and request["batches"])
    named = config.meant(found, request["paths"], request["target"], complete)
    settings = found.settings if found else Settings()
    if found and named:
        settings = settings.updated(named.settings)
    settings = settings.updated(Settings(**given))
    base = found.folder if found and named else Path.cwd()
    own = (
        request["paths"] or (named.checkpoint if named else ()),
        request["batches"] or (named.batch if named else ()),
    )
    places = [base if not asked else Path.cwd() for asked in (request["paths"], request["batches"])]
    files = tuple(str((place / one).resolve()) for place, some in zip(places, own, strict=True) for one in some)
    told = (named.name, *named.checkpoint, *named.batch, str(named.model), str(named.loss)) if named else ()
    return Job(named.name if named else "", request, dict(given), settings, (str(base), *told), files, dict(work))
