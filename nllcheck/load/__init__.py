"""Paths and names -> `Target`. Nothing inside a file runs unless it is trusted on the command line.

`sniff` and `opcodes` look at a file's bytes, `files` reads it, `weights` fits a state dict to the model, `bundle` is
what `nllcheck.save` wrote, `batches` divides a batch, `imports` and `build` bring in the user's own code.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nllcheck.config import Config, Settings, meant, nearest
from nllcheck.errors import NllcheckError
from nllcheck.load import bundle, files, weights
from nllcheck.load.batches import read_batch
from nllcheck.load.build import loss_from, model_from
from nllcheck.target import Batch, Target, split_batch, style_of

Content = tuple[str, Any]  # a path as it was given, and what the file holds


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line; None or empty where nothing was said."""

    paths: tuple[str, ...] = ()
    model: str | None = None
    loss: str | None = None
    batches: tuple[str, ...] = ()
    target: str | None = None
    trust: bool = False
    init: bool = False


def load_target(request: Request) -> tuple[Target, Settings]:
    """The target a command line means, and its settings from `pyproject.toml`.

    The model takes the checkpoint's dtype and is put into eval mode (dropout off, running statistics used). With
    several paths the last is checked and the others are followed as checkpoints of the same run, oldest first.
    Raises NllcheckError.
    """
    if request.init and request.paths:
        hint = "leave out --init to check the checkpoint, or the path to check a freshly built model"
        raise NllcheckError(f"--init builds a new model, {request.paths[0]} names a trained one", hint=hint)
    command = _command(request)
    config = nearest(request.paths)
    request, settings, base = _from_config(request, config)
    if not request.paths and not request.init:
        hint = 'nllcheck run MODEL, checkpoint = "..." for a target in pyproject.toml, or --init for a new model'
        raise NllcheckError("no checkpoint was named", where=str(config.path) if config else "", hint=hint)
    contents = [(path, files.read(base / path, request.trust)) for path in request.paths]
    name = contents[-1][0] if contents else str(request.model)
    if contents and bundle.is_bundle(contents[-1][1]):
        target = _from_bundle(contents, request, base)
    else:
        target = _from_parts(contents, request, name, base)
    return replace(target, command=command), settings


def _from_config(request: Request, config: Config | None) -> tuple[Request, Settings, Path]:
    """Fill what the command line left open from the project's own file; its paths are relative to that file."""
    here = Path.cwd()
    complete = bool(request.init and request.model and request.batches)
    named = meant(config, request.paths, request.target, complete)
    if config is None or named is None:
        return request, config.settings if config else Settings(), here
    paths = tuple(str((here / p).resolve()) for p in request.paths) or named.checkpoint
    if len(paths) == 1 < len(named.checkpoint) and paths[0] == str((config.folder / named.checkpoint[-1]).resolve()):
        paths = named.checkpoint
    filled = replace(
        request,
        paths=() if request.init else paths,
        model=_anchored(request.model, here) or named.model,
        loss=_anchored(request.loss, here) or named.loss,
        batches=tuple(str((here / b).resolve()) for b in request.batches) or named.batch,
    )
    return filled, config.settings.updated(named.settings), config.folder


def _anchored(spec: str | None, here: Path) -> str | None:
    """A `file.py:name` from the command line, made absolute: it is relative to the working directory."""
    if spec is None or ".py:" not in spec:
        return spec
    place, _, name = spec.rpartition(":")
    return f"{(here / place).resolve()}:{name}"


def _from_bundle(contents: list[Content], request: Request, base: Path) -> Target:
    where = contents[-1][0]
    content = bundle.checked(contents[-1][1], where)
    model_spec = bundle.confirmed(content["model"], request.model, "model", request.trust, where)
    loss_spec = bundle.confirmed(content["loss"], request.loss, "loss", request.trust, where)
    model = model_from(model_spec, base, _kwargs(content, model_spec))
    states = _states(contents, model)
    batches = _batches(request, base) or (split_batch(content["batch"], "batch"),)
    made = _target(where, model, loss_from(loss_spec, base), loss_spec, batches)
    return replace(made, checkpoints=states, mixed=bundle.mixed_of(content))


def _kwargs(content: Mapping[str, Any], spec: str) -> Mapping[str, Any]:
    """The bundle's arguments belong to its own factory, however the command line spells the place of it."""
    same = spec.rpartition(":")[2] == content["model"].rpartition(":")[2]
    return content.get("kwargs", {}) if same else {}


def _from_parts(contents: list[Content], request: Request, name: str, base: Path) -> Target:
    batches = _batches(request, base)
    if not batches:
        raise NllcheckError("no batch was given", where=name, hint="pass --batch FILE, or name it in pyproject.toml")
    whole = contents[-1][1] if contents and request.model is None else None
    model = whole if isinstance(whole, torch.nn.Module) else _model(request, base)
    if request.loss is None and not hasattr(model, "training_step"):
        raise NllcheckError("no loss was given", where=name, hint="pass --loss module:name or --loss file.py:name")
    states = _states(contents, model)
    if request.loss is None:
        step = _target(name, model, model.training_step, "training_step", batches)
        return replace(step, style="step", checkpoints=states)
    return replace(_target(name, model, loss_from(request.loss, base), request.loss, batches), checkpoints=states)


def _states(contents: list[Content], model: torch.nn.Module) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Every checkpoint's state, fitted to the model, which gets the last; none unless there are several."""
    states = [(path, weights.fitted(weights.state_of(content, path), model, path)) for path, content in contents]
    if contents and contents[-1][1] is not model:
        weights.filled(model, states[-1][1], states[-1][0])
    return tuple(states) if len(states) > 1 else ()


def _model(request: Request, base: Path) -> torch.nn.Module:
    if request.model is None:
        hint = "pass --model module:factory or --model file.py:factory (a state dict holds numbers, no code)"
        raise NllcheckError("no model was given", where=request.paths[-1] if request.paths else "", hint=hint)
    return model_from(request.model, base)


def _batches(request: Request, base: Path) -> tuple[Batch, ...]:
    return tuple(read_batch(base / path, request.trust) for path in request.batches)


def _target(name: str, model: torch.nn.Module, loss: Any, spec: str, batches: tuple[Batch, ...]) -> Target:
    _evaluate_mode(model)
    signature = loss.forward if isinstance(loss, torch.nn.Module) else loss
    return Target(_short(name), loss, _short(spec), model, batches, style_of(signature))


def _evaluate_mode(model: torch.nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError:  # exported programs have the mode built in
        return


def _short(name: str) -> str:
    """A path as it is seen from the working directory."""
    path, colon, rest = name.rpartition(":")
    place = Path(path if colon else name)
    if not place.is_absolute():
        return name
    shown = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
    return f"{shown}{colon}{rest if colon else ''}"


def _command(request: Request) -> str:
    """The command line that repeats this check."""
    words = ["nllcheck", "run", *map(_short, request.paths)]
    words += ["--target", request.target] if request.target else []
    for option, values in (("model", [request.model]), ("loss", [request.loss]), ("batch", request.batches)):
        for value in values:
            words += [f"--{option}", _short(value)] if value else []
    words += ["--init"] if request.init else []
    words += ["--trust"] if request.trust else []
    return shlex.join(words)
