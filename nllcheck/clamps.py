"""Clamps inside library functions, by the name under which a user knows the function.

Where in torch 2.13: `F.gaussian_nll_loss` (`eps`), `F.normalize` and `F.cosine_similarity` (`eps`), `probs_to_logits`
of `torch.distributions.utils` (machine epsilon), `F.binary_cross_entropy` (logarithms at -100).
"""

from __future__ import annotations

from dataclasses import dataclass

from nllcheck.types import Node

LOWEST_LOG = -100.0  # of binary_cross_entropy


@dataclass(frozen=True, slots=True)
class Clamp:
    """A library's own bound on a value."""

    function: str  # "F.normalize", "Categorical(probs=...)"
    what: str  # "the norm at least 1e-12"

    def __str__(self) -> str:
        return f"the clamp inside {self.function} ({self.what})"


def library_clamp(node: Node) -> Clamp | None:
    """The clamp that this op is, if it stands in a library's code; None for any other op."""
    if node.op == "binary_cross_entropy":
        return Clamp("F.binary_cross_entropy", f"log at least {LOWEST_LOG:g}")
    if node.op != "clamp":
        return None
    inner, bound = (node.inside[0] if node.inside else ""), _bound(node)
    if inner == "gaussian_nll_loss":
        return Clamp("F.gaussian_nll_loss", f"var at least {bound}")
    if inner == "normalize":
        return Clamp("F.normalize", f"the norm at least {bound}")
    if inner == "clamp_probs":
        return Clamp(f"{_owner(node)}(probs=...)", f"probabilities within [{bound}, 1 - {bound}]")
    if inner == "CosineSimilarity.forward" or "cosine_similarity" in _expression(node):
        return Clamp("F.cosine_similarity", "norms at least its eps")
    return None


def _bound(node: Node) -> str:
    low = node.args[1] if len(node.args) > 1 else None
    return f"{low:.3g}" if isinstance(low, float) else "its eps"


def _owner(node: Node) -> str:
    """The distribution whose method asked for it."""
    return next((name.split(".")[0] for name in node.inside if "." in name), "distribution")


def _expression(node: Node) -> str:
    site = node.site
    return site.source[slice(*site.span)] if site and site.span else ""
