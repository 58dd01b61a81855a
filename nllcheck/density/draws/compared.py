"""Ops in which draws are compared with one another: with draws that agree nothing is left of what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from nllcheck import ops
from nllcheck.density.draws.cuts import Cut, same

_PICK = ("amin", "amax", "min", "max", "median", "nanmedian", "kthvalue", "topk", "mode", "sort", "argsort")
_SPREAD = ("var", "std", "var_mean", "std_mean")
_SHIFTED = (
    "sub", "add", "eq", "abs", "where", "detach", "full_like", "scalar_tensor", "masked_fill", "view", "squeeze",
    "unsqueeze",
)  # fmt: skip


def compares_draws(node: fx.Node, cuts: Mapping[fx.Node, Cut], values: Mapping[fx.Node, Any]) -> bool:
    """Does it pick one of several draws, or take their spread? The largest may be taken away before exp."""
    name, read = ops.packet(str(node.target)), node.all_input_nodes[:1]
    if name not in (*_PICK, *_SPREAD) or not (read and read[0] in cuts):
        return False
    if name == "amax" and all(ops.packet(str(u.target)) in _SHIFTED for u in node.users):
        return False
    dims = node.args[1] if len(node.args) > 1 else None
    listed = dims if isinstance(dims, list | tuple) else [dims]
    along = {d % values[read[0]].dim() for d in listed if isinstance(d, int)}
    return not along or cuts[read[0]].axis in along


def vanishes(node: fx.Node, agreed: Any, drawn: Any) -> bool:
    """Is it 0 where draws agree and not as they are drawn, as a draw less the mean of all is?"""
    if ops.packet(str(node.target)) != "sub" or not (isinstance(agreed, Tensor) and isinstance(drawn, Tensor)):
        return False
    is_shift = all(ops.packet(str(u.target)) == "exp" for u in node.users)
    return not is_shift and same(agreed, torch.zeros_like(agreed)) and bool(drawn.any())
