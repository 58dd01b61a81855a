"""The memory budget bounds what is evaluated at once, and changes no answer."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer, captured
from torch import distributions as D

from nllcheck.axes import default_axes
from nllcheck.density.allowance import Allowance
from nllcheck.density.integral.total import _shared_out
from nllcheck.density.samples.cut import samples_of
from nllcheck.density.samples.sample import SHARE, WIDE
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.survey import Survey
from nllcheck.sweep.watch import live_elements

N = 12


def draw(seed, *shape):
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(seed))


def mixture(w, mu, raw, y):
    return -D.MixtureSameFamily(D.Categorical(logits=w), D.Normal(mu, raw.exp())).log_prob(y).mean()


def rows(loc, raw, y):
    return -D.Independent(D.StudentT(4.0, loc, raw.exp()), 1).log_prob(y.clamp(-1e9, 1e9)).mean()


CASES = {
    "numbers": (mixture, {"w": draw(0, 20), "mu": draw(1, 20), "raw": draw(2, 20), "y": draw(3)}),
    "rows": (rows, {"loc": draw(0, 3), "raw": 0.3 * draw(1, 3), "y": draw(2, 3)}),
}
BUDGETS = (2**16, 2**22, 2**30)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("memory", BUDGETS)
def test_a_chunk_of_targets_keeps_within_the_budget(name, memory):
    graph = captured(*CASES[name])
    samples = samples_of(graph, allowance=Allowance(memory))
    most_live = max(v.numel() for v in samples.values.values() if isinstance(v, torch.Tensor))
    for points in (1, 40):
        bytes_held = samples.at_once(points) * points * most_live * WIDE.itemsize
        assert samples.at_once(points) == 1 or bytes_held <= memory / SHARE


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_same_whatever_the_budget(name):
    small, *others = [answer(*CASES[name], memory=memory) for memory in (2**21, 2**30)]
    for other in others:
        assert (small.name, small.samples, small.undecided) == (other.name, other.samples, other.undecided)
        assert math.isclose(small.high, other.high, rel_tol=1e-9)
        assert math.isclose(small.low, other.low, rel_tol=1e-9)


@pytest.mark.parametrize("memory", BUDGETS)
def test_a_chunk_of_the_break_map_keeps_within_the_budget(memory):
    graph = captured(*CASES["numbers"])
    axes = default_axes(graph)[0]
    joint = joint_graph(graph, [axes[0].node])
    survey = Survey(joint, axes[:1], None, memory)
    assert survey.chunk == 1 or survey.chunk * live_elements(joint) * 4 <= memory


def test_narrow_components_of_a_mixture_are_all_found():
    """Twenty components, some of a hundredth of the others' width: none may be stepped over."""
    found = answer(*CASES["numbers"])
    assert found.name == "proper", found.text
    assert found.undecided == 0


@pytest.mark.parametrize(("total", "parts"), [(2, 12), (4, 3), (1, 2)])
def test_all_ways_to_share_a_total_out(total, parts):
    """Two of twelve labels: 78 rows, and not 13 ** 11 tuples on the way to them."""
    rows = _shared_out(total, parts)
    assert rows.shape == (math.comb(total + parts - 1, total), parts) and len(rows.unique(dim=0)) == len(rows)
    assert bool((rows >= 0).all()) and bool((rows.sum(1) == total).all())
