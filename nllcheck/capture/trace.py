"""The forward program: a trace of the user's model and loss, below autograd, free of mutation."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
import torch.utils._pytree as pytree
from torch import fx
from torch.func import functionalize
from torch.nn.utils import stateless

from nllcheck import ops
from nllcheck.capture.cross_entropy import whole_cross_entropy
from nllcheck.capture.custom import custom_functions
from nllcheck.capture.gradients import through_saved
from nllcheck.capture.mutation import out_of_place
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.padded import padded
from nllcheck.capture.reads import Reads
from nllcheck.capture.sites import SiteMode
from nllcheck.capture.tidy import tidy
from nllcheck.capture.tracer import traced
from nllcheck.target import Batch, Target, evaluate


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor that the program starts from."""

    name: str  # "head.weight", "input", "input.1", "target", "sigma"
    role: str  # weight | buffer | input | target
    value: torch.Tensor


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
    weights = [] if model is None else _state(model)
    inputs, rebuild = _batch_leaves(target, batch)
    n = len(weights)

    def holding(*tensors: torch.Tensor) -> AbstractContextManager[None]:
        return _reparametrized(model, {leaf.name: t for leaf, t in zip(weights, tensors[:n], strict=True)})

    def call(*tensors: torch.Tensor) -> torch.Tensor:
        with holding(*tensors):
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


def forward_graph(prog: Program, seed: int) -> fx.GraphModule:
    """Trace the program to a functional ATen graph whose nodes carry `Mark`s. Raises whatever torch raises.

    What functorch refuses (a gradient inside the loss, a custom function) is traced as it stands.
    """
    with custom_functions() as met:
        try:
            with whole_cross_entropy():
                module = _traced(prog, seed, lambda call: functionalize(call, remove="mutations"))
        except Exception as refused:
            try:
                module = _traced(prog, seed, through_saved)
            except Exception:
                raise refused from None
    module = out_of_place(module)
    unused = [(n, n.args[0]) for n in module.graph.nodes if n.op == "call_function" and not n.users and _is_guard(n)]
    tidied = padded(
        tidy(module), _moves(prog), [leaf.value for leaf in prog.leaves]
    )  # which empties the arguments of what it drops
    tidied.meta["discarded"] = unused
    tidied.meta["own_backward"] = tuple(dict.fromkeys(met))
    return tidied


def _traced(prog: Program, seed: int, wrapped: Callable[[Callable[..., Any]], Callable[..., Any]]) -> fx.GraphModule:
    mode = SiteMode()

    def marked(*tensors: torch.Tensor) -> torch.Tensor:
        with mode.watching(prog.model), Reads():
            return prog.call(*tensors)

    tensors = [_leaf_tensor(leaf) for leaf in prog.leaves]
    try:
        with quiet_numerics(seed), fx_traceback.preserve_node_meta(), torch.enable_grad():
            return traced(wrapped(marked), *tensors)
    finally:
        fx_traceback.current_meta.pop("custom", None)


def _moves(prog: Program) -> Callable[[int], bool]:
    """Is a leaf, by its place, what training moves: weights, or what a bare function is given?"""
    roles = [leaf.role for leaf in prog.leaves]
    moved = "weight" if "weight" in roles else "input"
    return lambda i: roles[i] == moved and prog.leaves[i].value.is_floating_point()


def _is_guard(node: fx.Node) -> bool:
    return ops.rule_name(str(node.target)) in ("clamp", "nan_to_num", "masked_fill", "maximum", "minimum")


def _leaf_tensor(leaf: Leaf) -> torch.Tensor:
    """A fresh tensor that asks for a gradient unless it is data: some losses refuse one for their target."""
    value = leaf.value.detach().clone()
    return value.requires_grad_(value.is_floating_point() and leaf.role in ("weight", "input"))
