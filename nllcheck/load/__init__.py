"""Paths and names -> `Target`. Nothing inside a file runs unless it is trusted on the command line."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nllcheck.config import Config, Settings, nearest
from nllcheck.errors import NllcheckError
from nllcheck.load import bundle, files, weights
from nllcheck.load.imports import resolve, told
from nllcheck.target import Batch, Target, split_batch, style_of


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

    The model is put into eval mode (dropout off, running statistics used). With several paths the last is
    checked and the others are followed as checkpoints of the same run, oldest first. Raises NllcheckError.
    """
    config = nearest(request.paths)
    command = _command(request)
    request, settings, base = _from_config(request, config)
    if not request.paths and not request.init:
        raise NllcheckError("no checkpoint was named", hint="nllcheck run MODEL, or --init for a freshly built model")
    contents = [(path, files.read(base / path, request.trust)) for path in request.paths]
    name = contents[-1][0] if contents else str(request.model)
    if contents and bundle.is_bundle(contents[-1][1]):
        target = _from_bundle(contents[-1][1], request, name, base)
    else:
        target = _from_parts(contents, request, name, base)
    return replace(target, command=command), settings


def _from_config(request: Request, config: Config | None) -> tuple[Request, Settings, Path]:
    """Fill what the command line left open from the project's own file; its paths are relative to that file."""
    if config is None:
        return request, Settings(), Path.cwd()
    named = config.pick(request.paths, request.target) if not request.init or request.target else None
    if named is None:
        return request, config.settings, Path.cwd()
    base = config.folder
    here = Path.cwd()
    filled = replace(
        request,
        paths=tuple(str((here / p).resolve()) for p in request.paths) or (() if request.init else named.checkpoint),
        model=_anchored(request.model, here) or named.model,
        loss=_anchored(request.loss, here) or named.loss,
        batches=tuple(str((here / b).resolve()) for b in request.batches) or named.batch,
    )
    if len(request.paths) == 1 and len(named.checkpoint) > 1 and _same(request.paths[0], named.checkpoint[-1], base):
        filled = replace(filled, paths=named.checkpoint)
    return filled, config.settings.updated(named.settings), base


def _same(given: str, stored: str, base: Path) -> bool:
    return Path(given).resolve() == (base / stored).resolve()


def _anchored(spec: str | None, here: Path) -> str | None:
    """A `file.py:name` from the command line, made absolute: it is relative to the working directory."""
    if spec is None or ".py:" not in spec:
        return spec
    place, _, name = spec.rpartition(":")
    return f"{(here / place).resolve()}:{name}"


def _from_bundle(content: Any, request: Request, where: str, base: Path) -> Target:
    content = bundle.checked(content, where)
    model_spec = bundle.confirmed(content["model"], request.model, "model", request.trust, where)
    loss_spec = bundle.confirmed(content["loss"], request.loss, "loss", request.trust, where)
    model = built(model_spec, base, content.get("kwargs"))
    _fill(model, content["state"], where)
    batches = _batches(request, base) or (split_batch(content["batch"], "batch"),)
    return _target(where, model.eval(), _loss(loss_spec, base), loss_spec, batches)


def _from_parts(contents: list[tuple[str, Any]], request: Request, name: str, base: Path) -> Target:
    whole = contents[-1][1] if contents and isinstance(contents[-1][1], torch.nn.Module) else None
    model = whole if whole is not None and request.model is None else _model(request, base)
    states: list[tuple[str, Mapping[str, torch.Tensor]]] = []
    for path, content in contents:
        if content is not model:
            states.append((path, _fill(model, content, path)))
    batches = _batches(request, base)
    if not batches:
        raise NllcheckError("no batch was given", where=name, hint="pass --batch FILE, or name it in pyproject.toml")
    if request.loss is None and not hasattr(model, "training_step"):
        raise NllcheckError("no loss was given", where=name, hint="pass --loss module:name or --loss file.py:name")
    _evaluate_mode(model)
    if request.loss is None:
        step = replace(_target(name, model, model.training_step, "training_step", batches), style="step")  # type: ignore[arg-type]
        return replace(step, checkpoints=tuple(states) if len(states) > 1 else ())
    target = _target(name, model, _loss(request.loss, base), request.loss, batches)
    return replace(target, checkpoints=tuple(states) if len(states) > 1 else ())


def _evaluate_mode(model: torch.nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError:  # exported programs have the mode built in
        return


def _fill(model: torch.nn.Module, content: Any, where: str) -> Mapping[str, torch.Tensor]:
    """Load the state into the model, every key accounted for; the fitted state comes back."""
    state = weights.fitted(weights.state_of(content, where), model, where)
    model.load_state_dict(state)
    return state


def _model(request: Request, base: Path) -> torch.nn.Module:
    if request.model is None:
        hint = "pass --model module:factory or --model file.py:factory (a state dict holds numbers, no code)"
        raise NllcheckError("no model was given", where=request.paths[-1] if request.paths else "", hint=hint)
    return built(request.model, base)


def built(spec: str, base: Path, kwargs: Mapping[str, Any] | None = None) -> torch.nn.Module:
    """A model from an import path: a module as it is, a class or factory called. Raises NllcheckError."""
    found = resolve(spec, "model", base)
    if isinstance(found, torch.nn.Module):
        return found
    if not callable(found):
        raise NllcheckError(
            f"the model '{spec}' is a {type(found).__name__}", hint="name a class, a factory or a module"
        )
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = found(**(kwargs or {}))
    except Exception as error:
        hint = "it is called without arguments; write a factory that fills them in"
        raise told(error, f"building the model '{spec}' failed", hint) from None
    if not isinstance(model, torch.nn.Module):
        raise NllcheckError(f"'{spec}' built a {type(model).__name__}, not a torch.nn.Module", hint="return the model")
    return model


def _loss(spec: str, base: Path) -> Any:
    found = resolve(spec, "loss", base)
    if inspect.isclass(found) and issubclass(found, torch.nn.Module):
        try:
            return found()
        except Exception as error:
            raise told(error, f"building the loss '{spec}' failed") from None
    if not callable(found):
        raise NllcheckError(f"the loss '{spec}' is a {type(found).__name__}, not a function", hint="name a callable")
    return found


def _batches(request: Request, base: Path) -> tuple[Batch, ...]:
    return tuple(_batch(base / path, request.trust) for path in request.batches)


def _batch(path: Path, trust: bool) -> Batch:
    content = files.read(path, trust)
    if isinstance(content, torch.nn.Module) or bundle.is_bundle(content):
        raise NllcheckError("this is a model, not a batch", where=str(path), hint="--batch takes (inputs, targets)")
    return split_batch(content, path.name)


def _target(name: str, model: torch.nn.Module, loss: Any, spec: str, batches: tuple[Batch, ...]) -> Target:
    signature = loss.forward if isinstance(loss, torch.nn.Module) else loss
    return Target(_short(name), loss, _short(spec), model, batches, style_of(signature))


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
