"""State dicts out of their wrappers and into the model, with every key that does not fit named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nllcheck.errors import NllcheckError, did_you_mean

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_SHOWN = 4


def state_of(content: Any, where: str) -> dict[str, torch.Tensor]:
    """The state dict inside what a file holds. Raises NllcheckError when there is none."""
    if isinstance(content, torch.nn.Module):
        return dict(content.state_dict())
    for _ in range(4):
        if _is_state(content):
            return dict(content)
        inner = next((content[k] for k in WRAPPERS if isinstance(content, Mapping) and k in content), None)
        if inner is None:
            break
        content = inner.state_dict() if isinstance(inner, torch.nn.Module) else inner
    found = f"keys {', '.join(map(str, list(content)[:6]))}" if isinstance(content, Mapping) else type(content).__name__
    hint = f"looked for tensors at the top and under {', '.join(WRAPPERS[:3])}"
    raise NllcheckError(f"there is no state dict in it (found {found})", where=where, hint=hint)


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(k, str) for k in content)
        and all(isinstance(v, torch.Tensor) for k, v in content.items() if not str(k).endswith("_extra_state"))
    )


def fitted(state: Mapping[str, torch.Tensor], model: torch.nn.Module, where: str) -> dict[str, torch.Tensor]:
    """The state with wrapper prefixes taken off so that it fits `model`. Raises NllcheckError naming all misfits."""
    wanted = model.state_dict()
    best = dict(state)
    while not set(best) & set(wanted):
        prefix = next((p for p in PREFIXES if best and all(k.startswith(p) for k in best)), None)
        if prefix is None:
            break
        best = {k.removeprefix(prefix): v for k, v in best.items()}
    problems = [*_keys(best, wanted), *_shapes(best, wanted)]
    if problems:
        raise NllcheckError(f"the checkpoint does not fit {type(model).__name__}: " + "; ".join(problems), where=where,
                            hint="is this the model it was saved from?")  # fmt: skip
    return best


def _keys(state: Mapping[str, torch.Tensor], wanted: Mapping[str, Any]) -> list[str]:
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    problems = []
    if missing:
        meant = did_you_mean(missing[0], set(extra)) if extra else ""
        problems.append(f"missing {_listed(missing)}" + (f" ({meant})" if "did you mean" in meant else ""))
    if extra:
        problems.append(f"unexpected {_listed(extra)}")
    return problems


def _shapes(state: Mapping[str, torch.Tensor], wanted: Mapping[str, Any]) -> list[str]:
    wrong = [k for k in sorted(set(state) & set(wanted)) if _shape(state[k]) != _shape(wanted[k])]
    shown = [f"{k} has shape {_shape(state[k])}, the model wants {_shape(wanted[k])}" for k in wrong[:_SHOWN]]
    return [*shown, *([f"and {len(wrong) - _SHOWN} more shapes"] if len(wrong) > _SHOWN else [])]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _listed(names: list[str]) -> str:
    left = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {left} more" if left > 0 else "")
