"""Factors of matrices in a joint graph: NaN where there are none, so that one bad point does not end a sweep.

`linalg.cholesky` raises for a matrix that is not positive definite, and what its kernel leaves behind is finite;
eigenvalues, singular values and what is made of them raise for a matrix that holds an infinity or a NaN.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

aten = torch.ops.aten


def factored(a: torch.Tensor, upper: bool = False, check_errors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(factor, info) as `linalg.cholesky_ex` gives them, the factor of what has none being NaN."""
    factor, failed = torch.linalg.cholesky_ex(a, upper=upper)
    return torch.where((failed > 0)[..., None, None], torch.nan, factor), failed


def eigen(a: torch.Tensor, UPLO: str = "L", compute_v: bool = True) -> tuple[torch.Tensor, ...]:
    """(values, vectors) as `_linalg_eigh` gives them, NaN for a matrix with an element that is not finite."""
    bad, clean = _cleaned(a)
    return _spoilt(bad, aten._linalg_eigh.default(clean, UPLO, compute_v))


def singular(
    a: torch.Tensor, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> tuple[torch.Tensor, ...]:
    """(U, values, Vh) as `_linalg_svd` gives them, NaN for a matrix with an element that is not finite."""
    bad, clean = _cleaned(a)
    return _spoilt(bad, aten._linalg_svd.default(clean, full_matrices, compute_uv, driver=driver))


def eigen_of_any(a: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(values, vectors) as `linalg_eig` gives them, complex, NaN for a matrix with an element that is not finite."""
    bad, clean = _cleaned(a)
    return _spoilt(bad, aten.linalg_eig.default(clean))


def inverted(
    a: torch.Tensor, *, atol: torch.Tensor | None = None, rtol: torch.Tensor | None = None, hermitian: bool = False
) -> torch.Tensor:
    """The pseudo-inverse as `linalg_pinv` gives it, NaN for a matrix with an element that is not finite."""
    bad, clean = _cleaned(a)
    return _spoilt(bad, (aten.linalg_pinv.atol_rtol_tensor(clean, atol=atol, rtol=rtol, hermitian=hermitian),))[0]


def fitted(
    a: torch.Tensor, b: torch.Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[torch.Tensor, ...]:
    """(solution, residuals, rank, singular values) as `linalg_lstsq` gives them, the solution NaN where one of the
    two matrices has an element that is not finite."""
    is_vector = b.dim() == a.dim() - 1
    (bad, clean), (worse, right) = _cleaned(a), _cleaned(b[..., None] if is_vector else b)
    solution, *others = aten.linalg_lstsq.default(clean, right, rcond, driver=driver)
    (solution,) = _spoilt(bad | worse, (solution,))
    return (solution[..., 0] if is_vector else solution, *others)


def _cleaned(a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which matrices hold what is not finite (a dimension of 1 for rows and columns), and all with zeros instead."""
    bad = ~torch.isfinite(a).all(-1, keepdim=True).all(-2, keepdim=True)
    return bad, torch.where(bad, 0, a)


def _spoilt(bad: torch.Tensor, parts: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Results of the bad matrices as NaN: rows of values, or matrices. What was not asked for is empty."""
    return tuple(
        p if not p.numel() else torch.where(bad if p.dim() == bad.dim() else bad[..., 0], torch.nan, p) for p in parts
    )


FAILING: dict[Any, Any] = {
    aten.linalg_cholesky_ex.default: factored,
    aten._linalg_eigh.default: eigen,
    aten._linalg_svd.default: singular,
    aten.linalg_eig.default: eigen_of_any,
    aten.linalg_pinv.atol_rtol_tensor: inverted,
    aten.linalg_lstsq.default: fitted,
}


def with_failing_factors(module: fx.GraphModule) -> fx.GraphModule:
    """The module with the functions of `FAILING` in the ops' place, changed as it is."""
    found = [n for n in module.graph.nodes if n.target in FAILING]
    for node in found:
        node.target = FAILING[node.target]
    if found:
        module.recompile()
    return module
