"""The forward program: `make_fx` over the user's model and loss, below autograd, free of mutation."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
import torch.utils._pytree as pytree
from torch import fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import stateless

from nllcheck import ops
from nllcheck.capture.custom import custom_functions
from nllcheck.capture.gradients import through_saved
from nllcheck.capture.mutation import out_of_place
from nllcheck.capture.sites import SiteMode
from nllcheck.target import Batch, Target, evaluate

aten = torch.ops.aten

# What views become, so that a node can be run at another batch shape or stride (vmap moves strides).
_RESHAPES = {
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,
    aten._reshape_alias.default: aten.reshape.default,
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor that the program starts from."""

    name: str  # "head.weight", "input", "input.1", "target", "sigma"
    role: str  # weight | buffer | input | target
    value: torch.Tensor


@dataclass(frozen=True, slots=True)
class Program:
    """The user's computation as a function of flat tensors: `call(*tensors) -> loss`."""

    leaves: tuple[Leaf, ...]
    call: Callable[..., torch.Tensor]
    model: torch.nn.Module | None


def program(target: Target, batch: Batch) -> Program:
    """Spread model and batch into flat leaves and a function of them. The user's objects are not touched."""
    model = _copied(target.model)
    weights = [] if model is None else _state(model)
    inputs, rebuild = _batch_leaves(target, batch)
    n = len(weights)

    def call(*tensors: torch.Tensor) -> torch.Tensor:
        state = {leaf.name: t for leaf, t in zip(weights, tensors[:n], strict=True)}
        with _reparametrized(model, state):
            return evaluate(target_of(target, model), model, rebuild(tensors[n:]))

    return Program((*weights, *inputs), call, model)


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
    weights = [Leaf(k, "weight" if p.is_floating_point() else "buffer", p.detach()) for k, p in _unique(model)]
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
    return Leaf(".".join([head, *inner]), head, value.detach())


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
    if isinstance(stored, (tuple, list)):
        return lambda args, kwargs, targets: (*args, targets)
    return lambda args, kwargs, targets: args[0] if args else stored


def _inputs_like(stored: Any, args: Any, kwargs: Any) -> Any:
    if isinstance(stored, Mapping):
        return kwargs
    return type(stored)(args) if isinstance(stored, (tuple, list)) else args[0]


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Kernels that have batching rules and do not depend on the machine's vendor library; no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@contextlib.contextmanager
def quiet_numerics(seed: int, validates: bool = False) -> Iterator[None]:
    """One fixed way to compute: seeded, plain kernels that have batching rules, no argument validation.

    Distribution arguments are not validated unless `validates`, since validation branches on values; a loss that
    would have raised is looked at by `eager/raises.py` separately. The user's random state and settings come back
    untouched.
    """
    validate = torch.distributions.Distribution._validate_args
    with torch.random.fork_rng(), plain_kernels(), sdpa_kernel(SDPBackend.MATH):
        torch.manual_seed(seed)
        torch.distributions.Distribution.set_default_validate_args(validate and validates)
        try:
            with _dropout_in_order():
                yield
        finally:
            torch.distributions.Distribution.set_default_validate_args(validate)


@contextlib.contextmanager
def _dropout_in_order() -> Iterator[None]:
    """Dropout draws in the order of its input's memory, which a traced graph need not share: here row by row."""
    plain = functional.dropout

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        if input.is_contiguous() or not training:
            return plain(input, p, training, inplace)
        dropped = plain(input.contiguous(), p)
        return input.copy_(dropped) if inplace else dropped

    functional.dropout = dropout
    try:
        yield
    finally:
        functional.dropout = plain


def forward_graph(prog: Program, seed: int) -> fx.GraphModule:
    """Trace the program to a functional ATen graph whose nodes carry `Mark`s. Raises whatever torch raises.

    What functorch refuses (a gradient inside the loss, a custom function) is traced as it stands.
    """
    with custom_functions() as met:
        try:
            module = _traced(prog, seed, lambda call: functionalize(call, remove="mutations"))
        except Exception as refused:
            try:
                module = _traced(prog, seed, through_saved)
            except Exception:
                raise refused from None
    module = out_of_place(module)
    unused = [(n, n.args[0]) for n in module.graph.nodes if n.op == "call_function" and not n.users and _is_guard(n)]
    tidied = tidy(module)  # which empties the arguments of what it drops
    tidied.meta["discarded"] = unused
    tidied.meta["own_backward"] = tuple(dict.fromkeys(met))
    return tidied


def _traced(prog: Program, seed: int, wrapped: Callable[[Callable[..., Any]], Callable[..., Any]]) -> fx.GraphModule:
    mode = SiteMode()

    def marked(*tensors: torch.Tensor) -> torch.Tensor:
        with mode.watching(prog.model):
            return prog.call(*tensors)

    tensors = [_leaf_tensor(leaf) for leaf in prog.leaves]
    try:
        with quiet_numerics(seed), fx_traceback.preserve_node_meta(), torch.enable_grad():
            return make_fx(wrapped(marked), _error_on_data_dependent_ops=False)(*tensors)
    finally:
        fx_traceback.current_meta.pop("custom", None)


def _is_guard(node: fx.Node) -> bool:
    return ops.rule_name(str(node.target)) in ("clamp", "nan_to_num", "masked_fill", "maximum", "minimum")


def _leaf_tensor(leaf: Leaf) -> torch.Tensor:
    """A fresh tensor that asks for a gradient unless it is data: some losses refuse one for their target."""
    value = leaf.value.detach().clone()
    return value.requires_grad_(value.is_floating_point() and leaf.role in ("weight", "input"))


def tidy(module: fx.GraphModule) -> fx.GraphModule:
    """Drop what nothing uses (saved-tensor detaches), and let views survive a change of strides.

    Functionalisation makes a view anew at every use; the copies are folded into the first, whose line and
    name are the user's.
    """
    seen: dict[Any, fx.Node] = {}
    for node in list(module.graph.nodes):
        _as_expansion(node)
        _with_its_end(node)
        node.target = _RESHAPES.get(node.target, node.target)
        if node.op == "call_function" and ops.is_transparent(ops.rule_name(str(node.target))):
            first = seen.setdefault((node.target, str(node.args), str(node.kwargs), _grad_mode(node)), node)
            if first is not node:
                node.replace_all_uses_with(first)
    module.graph.eliminate_dead_code(is_impure_node=_is_kept)
    module.recompile()
    return module


def _as_expansion(node: fx.Node) -> None:
    """`copy(into, source)` and `fill(into, source)`, which assignments become, have no derivative as they stand:
    their value is the source in the shape of what it is written into. An assignment through a boolean mask has a
    shape of its own at every point: it is a `where`."""
    if node.target is aten.index_put.default:
        _as_where(node)
        return
    if node.target not in (aten.copy.default, aten.fill.Tensor) or not isinstance(node.args[1], fx.Node):
        return
    into, source = (a.meta.get("val") for a in node.args[:2])  # type: ignore[union-attr]
    if into is None or source is None or into.dtype != source.dtype:
        return
    node.target, node.args = aten.expand.default, (node.args[1], list(into.shape))


def _with_its_end(node: fx.Node) -> None:
    """`x[..., ::2] += 1` ends at the largest integer, which no batching rule takes: it ends where the tensor does."""
    if node.target is not aten.slice_scatter.default or len(node.args) < 5 or not isinstance(node.args[4], int):
        return
    into: Any = node.args[0].meta.get("val")  # type: ignore[union-attr]
    if into is not None:
        size = into.shape[node.args[2]]  # type: ignore[index]
        node.args = (*node.args[:4], min(node.args[4], size), *node.args[5:])


def _as_where(node: fx.Node) -> None:
    into, places, source = node.args[:3]
    mask = places[0] if isinstance(places, (list, tuple)) and len(places) == 1 else None
    if not all(isinstance(n, fx.Node) for n in (into, mask, source)) or (len(node.args) > 3 and node.args[3]):
        return
    values: list[Any] = [n.meta.get("val") for n in (into, mask, source)]  # type: ignore[union-attr]
    if any(v is None for v in values) or values[1].dtype != torch.bool:
        return
    if values[1].shape == values[0].shape and values[2].numel() == 1 and values[2].dtype == values[0].dtype:
        node.target, node.args = aten.where.self, (mask, source, into)


def _grad_mode(node: fx.Node) -> bool:
    mark = (node.meta.get("custom") or {}).get("mark")
    return mark is None or mark.grad_enabled


def _is_kept(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output") or node.target is aten._local_scalar_dense.default
