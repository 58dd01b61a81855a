"""The forward program: a trace of the user's model and loss, below autograd, free of mutation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
from torch import fx
from torch.func import functionalize

from nllcheck import ops
from nllcheck.capture.cross_entropy import whole_cross_entropy
from nllcheck.capture.custom import custom_functions
from nllcheck.capture.gradients import through_saved
from nllcheck.capture.mutation import out_of_place
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.padded import padded
from nllcheck.capture.program import Leaf, Program
from nllcheck.capture.reads import Reads
from nllcheck.capture.sites import SiteMode
from nllcheck.capture.tidy import tidy
from nllcheck.capture.tracer import traced


def forward_graph(prog: Program, seed: int, inputs_select: bool = False) -> fx.GraphModule:
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
        tidy(module), _moves(prog, inputs_select), [leaf.value for leaf in prog.leaves]
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


def _moves(prog: Program, inputs_too: bool) -> Callable[[int], bool]:
    """Is a leaf, by its place, what training moves: weights, or what a bare function is given?"""
    roles = [leaf.role for leaf in prog.leaves]
    moved = ("weight", "input") if inputs_too or prog.model is None or "weight" not in roles else ("weight",)
    return lambda i: roles[i] in moved and prog.leaves[i].value.is_floating_point()


def _is_guard(node: fx.Node) -> bool:
    return ops.rule_name(str(node.target)) in ("clamp", "nan_to_num", "masked_fill", "maximum", "minimum")


def _leaf_tensor(leaf: Leaf) -> torch.Tensor:
    """A fresh tensor that asks for a gradient unless it is data: some losses refuse one for their target."""
    value = leaf.value.detach().clone()
    return value.requires_grad_(value.is_floating_point() and leaf.role in ("weight", "input"))
