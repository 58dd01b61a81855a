"""State dicts out of their wrappers and into the model, with every key that does not fit named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.load.bundle import is_bundle
from nllcheck.load.sniff import printable

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_SHOWN = 4

State = dict[str, Any]  # tensors; under '..._extra_state' whatever the module keeps there


def state_of(content: Any, where: str) -> State:
    """The state dict inside what a file holds. Raises NllcheckError when there is none."""
    if isinstance(content, torch.nn.Module):
        return dict(content.state_dict())
    if is_bundle(content):
        return dict(content.get("state", {}))
    for _ in range(4):
        if _is_state(content):
            return dict(content)
        inner = _unwrapped(content) or _joined(content)
        if inner is None:
            break
        content = inner.state_dict() if isinstance(inner, torch.nn.Module) else inner
    hint = f"looked for tensors at the top and under {', '.join(WRAPPERS[:4])}"
    raise NllcheckError(f"there is no state dict in it ({_found(content)})", where=where, hint=hint)


def _unwrapped(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return None
    return next((content[k] for k in WRAPPERS if isinstance(content.get(k), (Mapping, torch.nn.Module))), None)


def _joined(content: Any) -> State | None:
    """The state dicts of several parts, such as an actor and a critic, as the module that holds both names them."""
    parts = {str(k): v for k, v in content.items() if _is_state(v)} if isinstance(content, Mapping) else {}
    return {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()} or None


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and all(isinstance(k, str) for k in content)
        and not _strangers(content)
        and any(isinstance(v, torch.Tensor) for v in content.values())
    )


def _strangers(content: Mapping[str, Any]) -> list[str]:
    """Keys that hold no tensor and are no module's extra state."""
    return [k for k, v in content.items() if not isinstance(v, torch.Tensor) and not str(k).endswith("_extra_state")]


def _found(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"found a {type(content).__name__}"
    others = _strangers(content)
    if 0 < len(others) < len(content):
        return f"beside tensors it holds {_listed([f'{k} ({type(content[k]).__name__})' for k in others])}"
    return f"found keys {_listed([str(k) for k in content])}" if content else "it is empty"


def fitted(state: Mapping[str, Any], model: torch.nn.Module, where: str) -> State:
    """The state with wrapper prefixes taken off so that it fits `model`. Raises NllcheckError naming all misfits."""
    wanted = model.state_dict()
    best = _without_wrappers(dict(state), wanted)
    problems = [*_keys(best, wanted), *_misfits(best, wanted, _shape), *_misfits(best, wanted, _number)]
    if problems:
        message = f"the checkpoint does not fit {type(model).__name__}: " + "; ".join(problems)
        raise NllcheckError(message, where=where, hint=_hint(best, wanted))
    return best


def _without_wrappers(state: State, wanted: Mapping[str, Any]) -> State:
    """Take off what DataParallel, torch.compile and Lightning put before the names, while no name fits."""
    if not any("_orig_mod." in k for k in wanted):
        state = {k.replace("_orig_mod.", ""): v for k, v in state.items()}  # also before compiled submodules
    while not set(state) & set(wanted):
        prefix = next((p for p in PREFIXES if state and all(k.startswith(p) for k in state)), None)
        if prefix is None:
            break
        state = {k.removeprefix(prefix): v for k, v in state.items()}
    return state


def _keys(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    problems = []
    if missing:
        meant = did_you_mean(missing[0], set(extra)) if extra else ""
        problems.append(f"missing {_listed(missing)}" + (f" ({meant})" if "did you mean" in meant else ""))
    if extra:
        problems.append(f"unexpected {_listed(extra)}")
    return problems


def _misfits(state: Mapping[str, Any], wanted: Mapping[str, Any], aspect: Callable[[Any], str]) -> list[str]:
    """Keys present on both sides whose tensors differ in one aspect, in words."""
    both = [k for k in sorted(set(state) & set(wanted)) if not (is_lazy(wanted[k]) or is_lazy(state[k]))]
    wrong = [k for k in both if aspect(state[k]) != aspect(wanted[k])]
    shown = [f"{k} has {aspect(state[k])}, the model wants {aspect(wanted[k])}" for k in wrong[:_SHOWN]]
    return [*shown, *([f"and {len(wrong) - _SHOWN} more like it"] if len(wrong) > _SHOWN else [])]


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else "no shape"


def _number(value: Any) -> str:
    """Copying across these kinds would drop digits or an imaginary part without a word."""
    if not isinstance(value, torch.Tensor):
        return "no numbers"
    return "complex numbers" if value.is_complex() else "real numbers" if value.is_floating_point() else "integers"


def _hint(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for prefix in dict.fromkeys([*PREFIXES, *(k.partition(".")[0] + "." for k in state)]):
        inner = {k.removeprefix(prefix) for k in state if k.startswith(prefix)}
        if inner and inner == set(wanted):
            others = _listed(sorted(k for k in state if not k.startswith(prefix)))
            return f"the part under '{prefix}' fits, {others} would be dropped: name the model that holds both"
    return "is this the model it was saved from?"


def filled(model: torch.nn.Module, state: Mapping[str, Any], where: str) -> None:
    """Load a fitted state. The model takes the checkpoint's dtype: rounding it would check another model."""
    own = dict(chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)))
    for name, value in state.items():
        mine = own.get(name)
        if mine is not None and not is_lazy(mine) and mine.dtype != value.dtype and _number(mine) != "integers":
            mine.data = mine.data.to(value.dtype)
    try:
        model.load_state_dict(state)
    except Exception as error:  # a module's own loading code
        text = " ".join(str(error).split())[:300]  # torch puts what is wrong below a general first line
        raise NllcheckError(f"the checkpoint cannot be loaded ({type(error).__name__}: {text})", where=where) from None


def _listed(names: list[str]) -> str:
    left = len(names) - _SHOWN
    return ", ".join(map(printable, names[:_SHOWN])) + (f" and {left} more" if left > 0 else "")
