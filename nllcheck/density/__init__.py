"""LossGraph -> Density: is exp(-loss) a density of the target? Answered by integrating it.

per-sample terms -> support -> parameters to try -> Z(theta) -> verdict -> words
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from nllcheck.capture import LossGraph, on_device
from nllcheck.density.answer import answered, not_run
from nllcheck.density.apart import compared_with, undecided_by_volume, with_data_apart, with_questions_held
from nllcheck.density.claims import claims_likelihood
from nllcheck.density.draws.agreed import among, with_agreed_draws, with_centred_draws
from nllcheck.density.draws.single import ONE_DRAW, with_one_draw
from nllcheck.density.factors import check_name
from nllcheck.density.inputs import of_inputs, parameters, says_likelihood
from nllcheck.density.itself import given_twice, unless_read, with_root
from nllcheck.density.kl.divergences import divergences
from nllcheck.density.samples.chosen import without_padding
from nllcheck.density.support import SUPPORTS, ends_of
from nllcheck.density.together import with_targets_together
from nllcheck.density.words import COMPARED, GIVEN, HELD
from nllcheck.errors import NllcheckError, did_you_mean, raise_own
from nllcheck.types import Axis, Density

__all__ = ["check_options", "density", "has_question"]


def check_options(support: str | None, base_measure: str | None) -> None:
    """Raise NllcheckError for a support or a base measure that does not exist."""
    if support is not None and support not in SUPPORTS and ends_of(support) is None:
        hint = "an interval goes upwards, as -1:3 or 0:" if ":" in support else did_you_mean(support, SUPPORTS)
        raise NllcheckError(f"unknown support '{support}'", where="support", hint=hint)
    check_name(base_measure)


def density(
    graph: LossGraph,
    axes: Sequence[Axis],
    loss_name: str,
    *,
    support: str | None = None,
    base_measure: str | None = None,
    nll: bool = False,
    memory: int = 2**30,
) -> Density:
    """The answer. Never raises for a loss that it cannot decide, or that does not run at other targets: that is the
    answer 'undecided', with the cause.

    `support` and `base_measure` state what is otherwise inferred; `nll`: the user says that this is a likelihood.
    `memory`: bytes that it may take at many targets, on torch's default device: few GPUs gain anything in float64.
    """
    try:
        return _decided(graph, axes, loss_name, support, base_measure, nll, memory)
    except Exception as error:  # in what is tried before and beside the test
        return not_run(error, claims_likelihood(graph.graph, loss_name))


def _decided(
    graph: LossGraph,
    axes: Sequence[Axis],
    loss_name: str,
    support: str | None,
    base_measure: str | None,
    nll: bool,
    memory: int,
) -> Density:
    graph = without_padding(on_device(graph, torch.get_default_device()))
    own = of_inputs(graph) if nll or says_likelihood(loss_name) else None
    if (apart := with_data_apart(graph)) is not None:
        stated = {"support": support, "base_measure": base_measure, "nll": nll, "memory": memory}
        answer = density(apart.graph, apart.axes(_trained(axes)), loss_name, **stated)  # type: ignore[arg-type]
        answer = apart.told(undecided_by_volume(apart, answer))
        if own is None or answer.name != "undecided":
            return remarked(unless_read(answer, with_root(graph, apart.graph), memory), COMPARED)
    claims = nll or claims_likelihood((own or graph).graph, loss_name)
    ways, moved = _parameters(own) if own else (axes, None)
    one = with_one_draw(graph, memory)

    def asked(program: LossGraph, some: Sequence[Axis] = ways) -> Density:
        return answered(program, some, support, base_measure, claims, memory, moved)

    row = with_targets_together(graph) if own is None and support is None else None
    if row is not None and (found := asked(row.graph, row.axes(_trained(axes)))).support == "mixed":
        return _with_divergences(graph, row.told(found))
    if one is not None and math.isclose((answer := asked(one.graph, some := one.axes(tuple(axes)))).weight, 1.0):
        if answer.name == "varies" and (agreed := with_centred_draws(one.graph)) is not None:
            answer = among(one.graph, answer, asked(agreed, some))
        return one.told(remarked(_with_divergences(one.graph, answer), ONE_DRAW))
    answer = asked(own or graph)  # with another weight, draws are summed that should be averaged
    if answer.name == "varies":
        agreed = with_centred_draws(own or graph) or with_agreed_draws(own or graph)
        answer = answer if agreed is None else among(graph, answer, asked(agreed))
    if answer.name == "varies" and own is None and (held := with_questions_held(graph)) is not None:
        other = asked(held.graph, held.axes(_trained(axes)))
        answer = remarked(held.told(other), HELD) if other.name in ("proper", "constant") else answer
    answer = unless_read(_with_divergences(graph, answer), given_twice(graph), memory)
    return remarked(answer, GIVEN) if own else answer


def _trained(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Without those of data, which stay as observed beside a target that was made of them."""
    return tuple(a for a in axes if a.role != "target")


def remarked(answer: Density, remark: str) -> Density:
    """With a sentence more on how it was found; nothing is said of what was not."""
    return answer if answer.name in ("undecided", "reads-itself") else replace(answer, text=f"{answer.text} {remark}")


def _with_divergences(graph: LossGraph, answer: Density) -> Density:
    """What stops the check of divergences costs these alone."""
    try:
        return _divergences_beside(graph, answer)
    except Exception as error:
        raise_own(error)
        return answer


def _divergences_beside(graph: LossGraph, answer: Density) -> Density:
    beside = frozenset(answer.nodes) if answer.name in ("proper", "constant", "target-factor") else None
    return replace(answer, divergences=divergences(graph, beside)) if graph.graph.targets else answer


def has_question(graph: LossGraph, loss_name: str, nll: bool) -> bool:
    """Is there a target, or are there data in its place? If not, `density` says so at once."""
    own = (nll or says_likelihood(loss_name)) and of_inputs(graph) is not None
    return bool(graph.graph.targets) or own or compared_with(graph) is not None


def _parameters(graph: LossGraph) -> tuple[tuple[Axis, ...], tuple[int, ...]]:
    found = parameters(graph)
    return found, tuple(axis.node for axis in found)
