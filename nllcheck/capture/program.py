"""The user's computation as a function of flat tensors: what it starts from, and how it is called."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch.nn.utils import stateless

from nllcheck.companions import attributes_kept
from nllcheck.kept import holders_of
from nllcheck.target import Batch, Target, evaluate


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor that the program starts from."""

    name: str  # "head.weight", "input", "input.1", "target", "sigma"
    role: str  # weight | buffer | input | target
    value: torch.Tensor


Place = tuple[torch.nn.Module, dict[str, int]]  # a module, and the place of each of its tensors among the leaves


@dataclass(frozen=True, slots=True)
class Program:
    """The user's computation as a function of flat tensors: `call(*tensors) -> loss`.

    A checkpointed layer runs again in the backward pass: `with holding(*tensors):` around both it meets the weights
    that the forward pass had.
    """

    leaves: tuple[Leaf, ...]
    call: Callable[..., torch.Tensor]
    holding: Callable[..., AbstractContextManager[None]]
    model: torch.nn.Module | None


def program(target: Target, batch: Batch) -> Program:
    """Spread model and batch into flat leaves and a function of them. The user's objects are not touched."""
    model = _copied(target.model)
    own = [] if model is None else _state(model)
    weights, places = beside(target, own)
    inputs, rebuild = _batch_leaves(target, batch)
    n, holders = len(weights), holders_of(target, model)

    @contextlib.contextmanager
    def holding(*tensors: torch.Tensor) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_reparametrized(model, {leaf.name: tensors[i] for i, leaf in enumerate(own)}))
            for module, at in places:
                stack.enter_context(_reparametrized(module, {name: tensors[i] for name, i in at.items()}))
            yield

    def call(*tensors: torch.Tensor) -> torch.Tensor:
        with holding(*tensors), attributes_kept(holders):
            return evaluate(target_of(target, model), model, rebuild(tensors[n:]))

    return Program((*weights, *inputs), call, holding, model)


def target_of(target: Target, model: torch.nn.Module | None) -> Target:
    """The target with its loss bound to `model` where the loss is one of the model's own methods."""
    owner = getattr(target.loss, "__self__", None)
    if target.style == "step" and model is not None and owner is target.model:
        return replace(target, loss=getattr(model, target.loss.__name__))
    return target


def _copied(model: torch.nn.Module | None) -> torch.nn.Module | None:
    if model is None or isinstance(model, torch.jit.ScriptModule):
        return model
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError, ValueError):  # state that cannot be copied (non-leaf tensors, handles)
        return model


def _state(model: torch.nn.Module) -> list[Leaf]:
    """Weights and buffers; parameters that do not train beside others that do are as fixed as buffers are."""
    found = _unique(model)
    trains = any(p.requires_grad for _, p in found)
    moves = [p.is_floating_point() and (p.requires_grad or not trains) for _, p in found]
    weights = [Leaf(k, "weight" if m else "buffer", p.detach()) for (k, p), m in zip(found, moves, strict=True)]
    return weights + [Leaf(k, "buffer", b.detach().clone()) for k, b in model.named_buffers()]


def beside(target: Target, own: list[Leaf]) -> tuple[list[Leaf], list[Place]]:
    """The model's leaves and those of what the loss holds, and where each such module finds its tensors among them.

    What it shares with the model is the model's.
    """
    model, leaves, places = target.model, list(own), []
    at = {leaf.name: i for i, leaf in enumerate(own)}
    shared = [] if model is None or isinstance(model, torch.jit.ScriptModule) else [*_unique(model), *_buffers(model)]
    known = {id(t): at[name] for name, t in shared}
    for one in target.held.modules:
        found = {}
        for name, t in (*_unique(one.module), *_buffers(one.module)):
            if id(t) not in known:
                known[id(t)] = len(leaves)
                role = "weight" if name in one.trained else "buffer"
                leaves.append(Leaf(f"{one.name}.{name}", role, t.detach().clone()))
            found[name] = known[id(t)]
        places.append((one.module, found))
    return _distinct(leaves), places


def _buffers(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(module.named_buffers())


def _unique(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(model.named_parameters(remove_duplicate=True))


@contextlib.contextmanager
def _reparametrized(model: torch.nn.Module | None, state: Mapping[str, torch.Tensor]) -> Iterator[None]:
    if model is None or isinstance(model, torch.jit.ScriptModule):
        yield
        return
    with stateless._reparametrize_module(model, dict(state), tie_weights=True):
        yield


def _batch_leaves(target: Target, batch: Batch) -> tuple[list[Leaf], Callable[..., Batch]]:
    """The batch's tensors as leaves with readable names, and the way back from tensors to a `Batch`."""
    flat, spec = pytree.tree_flatten_with_path((batch.args, dict(batch.kwargs), batch.targets))
    places = [i for i, (_, value) in enumerate(flat) if isinstance(value, torch.Tensor)]
    leaves = [_leaf(target, *flat[i]) for i in places]
    whole = _whole_builder(batch)

    def rebuild(tensors: tuple[torch.Tensor, ...]) -> Batch:
        values = [value for _, value in flat]
        for place, tensor in zip(places, tensors, strict=True):
            values[place] = tensor
        args, kwargs, targets = pytree.tree_unflatten(values, spec)
        return replace(batch, args=args, kwargs=kwargs, targets=targets, whole=whole(args, kwargs, targets))

    return _distinct(leaves), rebuild


def _leaf(target: Target, path: Any, value: torch.Tensor) -> Leaf:
    part = path[0].idx
    inner = [str(getattr(key, "idx", getattr(key, "key", key))) for key in path[1:]]
    if target.style == "function":
        return Leaf(".".join(inner), "target" if inner[0] in target.target_names else "input", value.detach())
    if part == 1:
        return Leaf(".".join(inner), "input", value.detach())
    head = "target" if part == 2 else "input"
    inner = inner[1:] if part == 0 and inner == ["0"] else inner
    role = "weight" if _is_trained(target, value) else head
    return Leaf(".".join([head, *inner]), role, value.detach())


def _is_trained(target: Target, value: torch.Tensor) -> bool:
    """Is it what an optimiser moves in front of a frozen model, as in style transfer?"""
    frozen = target.model is not None and not any(p.requires_grad for p in target.model.parameters())
    return frozen and value.requires_grad


def _distinct(leaves: list[Leaf]) -> list[Leaf]:
    seen: dict[str, int] = {}
    for i, leaf in enumerate(leaves):
        count = seen[leaf.name] = seen.get(leaf.name, 0) + 1
        if count > 1:
            leaves[i] = replace(leaf, name=f"{leaf.name}#{count}")
    return leaves


def _whole_builder(batch: Batch) -> Callable[[Any, Any, Any], Any]:
    """How the undivided batch looks with new tensors in it: the same container, the same order."""
    stored = batch.whole
    if isinstance(stored, Mapping):
        names = [k for k, v in stored.items() if v is batch.targets]
        return lambda args, kwargs, targets: {**stored, **kwargs, **dict.fromkeys(names, targets)}
    if isinstance(stored, (tuple, list)) and len(stored) == 2:
        return lambda args, kwargs, targets: (_inputs_like(stored[0], args, kwargs), targets)
    if isinstance(stored, (tuple, list)) and len(stored) == 1:
        return lambda args, kwargs, targets: list(args) if isinstance(stored, list) else tuple(args)
    if isinstance(stored, (tuple, list)):
        return lambda args, kwargs, targets: (*args, targets)
    return lambda args, kwargs, targets: args[0] if args else stored


def _inputs_like(stored: Any, args: Any, kwargs: Any) -> Any:
    if isinstance(stored, Mapping):
        return kwargs
    return type(stored)(args) if isinstance(stored, (tuple, list)) else args[0]
