"""Ops without an exact form of their own, by the simpler ops that torch itself makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import fx
from torch._decomp import decomposition_table
from torch.fx.experimental.proxy_tensor import make_fx

from nllcheck.exact.ball import Ball, lift
from nllcheck.exact.spectrum import is_complex
from nllcheck.memo import remembered

INEXACT = ("upsample", "grid_sampler")  # their weights are rounded to floats on the way


@dataclass(frozen=True)
class Slot:
    """Where a tensor is given."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def filled(self) -> torch.Tensor:
        """A tensor to trace with: no value of it is read."""
        return torch.zeros(self.shape, dtype=self.dtype)


def inputs_of(args: Any, kwargs: Any) -> list[Any]:
    """The balls and tensors among an op's arguments, in order: what its program takes."""
    leaves = (leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf for leaf in pytree.tree_leaves((args, kwargs)))
    return [leaf for leaf in leaves if isinstance(leaf, (Ball, torch.Tensor))]


def program_of(target: Any, args: Any, kwargs: Any) -> fx.GraphModule | None:
    """What an op does, in simpler ones; None where torch has no such formula, or one that rounds, or one that does
    something else: it is tried on these very arguments, in float64."""
    if target not in decomposition_table or any(name in str(target) for name in INEXACT):
        return None
    leaves, spec = pytree.tree_flatten((args, kwargs))
    made = _traced(target, spec, tuple(_slot(leaf) for leaf in leaves))
    if any(_writes(n.target) for n in made.graph.nodes if n.op == "call_function"):
        return None
    given = [_middle(leaf) for leaf in leaves]
    args, kwargs = pytree.tree_unflatten(given, spec)
    found, wanted = made(*(v for v in given if isinstance(v, torch.Tensor))), target(*args, **kwargs)
    pairs = zip(pytree.tree_leaves(found), pytree.tree_leaves(wanted), strict=True)
    return made if all(_is_near(*pair) for pair in pairs) else None


def _writes(op: Any) -> bool:
    return bool(getattr(op, "_schema", None) and op._schema.is_mutable)


def _middle(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf.cpu().clone()
    return _numbers(leaf) if isinstance(leaf, Ball) else leaf


def _numbers(ball: Ball) -> torch.Tensor:
    kind = complex if is_complex(ball) else float
    return torch.as_tensor(lift(lambda a: kind(a.mid()), ball.value).astype(kind))


def _is_near(found: Any, wanted: Any) -> bool:
    if not isinstance(wanted, torch.Tensor):
        return bool(found == wanted)
    own, others = (t.to(torch.complex128) for t in (found, wanted))
    return found.shape == wanted.shape and torch.allclose(own, others, 1e-6, 1e-9, equal_nan=True)


def _slot(leaf: Any) -> Any:
    if isinstance(leaf, Ball):
        return Slot(leaf.shape, torch.complex128 if is_complex(leaf) else torch.float64)
    return Slot(tuple(leaf.shape), leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf


@remembered(256)
def _traced(target: Any, spec: pytree.TreeSpec, leaves: tuple[Any, ...]) -> fx.GraphModule:
    def called(*given: torch.Tensor) -> Any:
        rest = iter(given)
        args, kwargs = pytree.tree_unflatten([next(rest) if isinstance(v, Slot) else v for v in leaves], spec)
        return target(*args, **kwargs)

    like = [leaf.filled() for leaf in leaves if isinstance(leaf, Slot)]
    return make_fx(called, decomposition_table={target: decomposition_table[target]})(*like)
