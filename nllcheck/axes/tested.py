"""What a loss tests its targets for: who asks whether y < 1 expects a y beyond 1, whatever the batch at hand holds."""

from __future__ import annotations

import math

from nllcheck.types import Graph, Ref

NOWHERE = (math.nan, math.nan)


def expected(graph: Graph, node: int, observed: tuple[float, float]) -> tuple[float, float]:
    """The range beyond the batch's own that comparisons of the node with numbers speak of; (nan, nan) without any.

    Past such a number it goes as far as the batch is wide. A number inside the batch's range tells nothing new.
    """
    low, high = observed
    bounds = [n.args[1] for n in graph.nodes if n.op == "compare" and n.args[:1] == (Ref(node),) and len(n.args) > 1]
    limits = [float(b) for b in bounds if isinstance(b, (int, float)) and not isinstance(b, bool) and math.isfinite(b)]
    beyond = [b - (high - low) for b in limits if b <= low] + [b + (high - low) for b in limits if b >= high]
    return (min(low, *beyond), max(high, *beyond)) if beyond else NOWHERE
