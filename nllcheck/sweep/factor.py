"""The Cholesky factor in a joint graph: NaN where there is none.

`linalg.cholesky` raises there, and what its kernel leaves behind is finite.
"""

from __future__ import annotations

import torch
from torch import fx


def factored(a: torch.Tensor, upper: bool = False, check_errors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(factor, info) as `linalg.cholesky_ex` gives them, the factor of what has none being NaN."""
    factor, failed = torch.linalg.cholesky_ex(a, upper=upper)
    return torch.where((failed > 0)[..., None, None], torch.nan, factor), failed


def with_failing_factors(module: fx.GraphModule) -> fx.GraphModule:
    """The module with `factored` in the op's place, changed as it is."""
    found = [n for n in module.graph.nodes if n.target == torch.ops.aten.linalg_cholesky_ex.default]
    for node in found:
        node.target = factored
    if found:
        module.recompile()
    return module
