"""Several draws for one sample, as a bound with K draws of its latent variable has.

The average of -log p(y | z_k) over draws is a bound, as it should be (Kingma and Welling 2014, eq. 7), and no -log
density: exp of it is a geometric mean of densities, of which the integral is below 1. With draws that agree it is
-log p(y | z), whatever z is. So a loss that is no density as it is drawn is asked again with draws that agree.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from nllcheck.axes.noise import noise_of
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.density.draws.cuts import loss_with, same
from nllcheck.types import Density

CENTRES = (0.0, 0.5)  # of normal and of uniform numbers
REMARK = "The draws of which it takes the average for a sample are made to agree for this."
UNDECIDED = "Not decided: the loss takes the average over several draws of one sample."


def with_agreed_draws(graph: LossGraph) -> LossGraph | None:
    """The same loss with one number in place of all that it draws in the same way; None if it draws no two, or does not
    run so."""
    given: dict[str, torch.Tensor] = {}
    first: dict[str, torch.Tensor] = {}
    for i in noise_of(graph):
        value = graph.values[i]
        one = first.setdefault(graph.graph.nodes[i].op, value.reshape(-1)[:1])
        given[graph.fx_nodes[i].name] = one.to(value.dtype).expand(value.shape) if one.numel() else value
    if all(graph.values[i].numel() < 2 for i in noise_of(graph)) and len(given) < 2:
        return None
    return _with(graph, given)


def with_centred_draws(graph: LossGraph) -> LossGraph | None:
    """The same loss with noise that it takes together with its mirror image (antithetic draws) put where both agree;
    None where it takes none so, or does not run so."""
    given: dict[str, torch.Tensor] = {}
    for i in noise_of(graph):
        name, value = graph.fx_nodes[i].name, graph.values[i]
        mirrored = (c for c in CENTRES if same(loss_with(graph, {}), loss_with(graph, {name: 2 * c - value})))
        if (centre := next(mirrored, None)) is not None:
            given[name] = torch.full_like(value, centre)
    return _with(graph, given) if given else None


def _with(graph: LossGraph, given: dict[str, torch.Tensor]) -> LossGraph | None:
    runner = Runner(graph.module, given=given)
    try:
        with quiet_numerics(graph.seed), torch.no_grad():
            runner.run(*(leaf.value for leaf in graph.program.leaves))
    except (RuntimeError, TypeError, ValueError, IndexError):  # ops at draws they never saw
        return None
    values = (runner.env[n] for n in graph.fx_nodes)
    return replace(graph, values=tuple(v.detach() if isinstance(v, torch.Tensor) else v for v in values))


def among(graph: LossGraph, drawn: Density, agreed: Density) -> Density:
    """The answer for a loss that is no density as it is drawn, and what it is with draws that agree. A constant there
    may be the number of draws; so may what the parameters change where draws stand behind the samples. What is not
    decided there is no fault as it is drawn."""
    if agreed.name == "proper":
        return replace(agreed, text=f"{agreed.text} {REMARK}")
    if agreed.name in ("constant", "target-factor", "undecided", "not-samples") or _stand_behind(graph):
        return Density("undecided", UNDECIDED, claims=drawn.claims)
    return drawn


def _stand_behind(graph: LossGraph) -> bool:
    """Is noise drawn as (N, K, ...) for targets (N, ...)?"""
    drawn = [tuple(s for s in graph.values[i].shape if s != 1) for i in noise_of(graph)]
    given = [graph.values[i].shape for i in graph.graph.targets]
    return any(len(d) > len(g) > 0 and d[0] == g[0] for d in drawn for g in given)
