"""Values that a loss asks about and the batch does not hold: tried, told in words, true by the user's own code."""

from __future__ import annotations

import math

import pytest
import torch

import nllcheck
from nllcheck.capture.program import Leaf
from nllcheck.structure.asked import blank_rows

DRAW = torch.Generator().manual_seed(5)
Y = 1 + torch.rand(6, 2, generator=DRAW)
X = torch.randn(6, 2, generator=DRAW)
GRAPH = torch.eye(6).roll(1, 0) + torch.eye(6).roll(-1, 0)


def percentage(x, y):
    seen = (y != 0).float()
    each = torch.abs((x - y) / y) * seen
    return torch.where(torch.isnan(each), torch.zeros_like(each), each).mean()


def percentage_guarded(x, y):
    seen = y != 0
    return (torch.abs(x - y) / torch.where(seen, y.abs(), torch.ones_like(y)) * seen).mean()


def depth(x, y):
    seen = (y > 0).float()
    return (torch.abs(x - torch.log(y)) * seen).sum() / seen.sum().clamp(min=1)


def depth_guarded(x, y):
    seen = y > 0
    return (torch.abs(x - torch.log(torch.where(seen, y, 1.0))) * seen).sum() / seen.sum().clamp(min=1)


def gaps(x, y):
    return torch.where(torch.isnan(y), torch.zeros_like(y), (x - y) ** 2).mean()


def gaps_guarded(x, y):
    seen = ~torch.isnan(y)
    return ((x - torch.nan_to_num(y)) ** 2 * seen).sum() / seen.sum().clamp(min=1)


CASES = {  # loss: the value of y[0, 0] that it asks about
    percentage: 0.0,
    percentage_guarded: 0.0,
    depth: 0.0,
    depth_guarded: 0.0,
    gaps: math.nan,
    gaps_guarded: math.nan,
}


def is_sound(loss, value: float) -> bool:
    y, x = Y.clone(), X.clone().requires_grad_()
    y[0, 0] = value
    result = loss(x, y)
    return bool(torch.isfinite(result)) and bool(torch.isfinite(torch.autograd.grad(result, x)[0]).all())


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_value_asked_about_is_tried(loss):
    report = nllcheck.check_function(loss, {"x": X, "y": Y}, target="y", points=40)
    found = [f for f in report.findings if f.severity != "note"]
    value = CASES[loss]
    assert is_sound(loss, value) == loss.__name__.endswith("_guarded")
    assert [f.axis for f in found] == [f"a batch with y[0, 0] = {value:g}"] * (not is_sound(loss, value))


def test_a_question_that_the_batch_answers_both_ways_is_not_asked_again():
    y = Y.clone()
    y[1, 1] = 0.0
    report = nllcheck.check_function(depth_guarded, {"x": X, "y": y}, target="y", points=40)
    assert not [f for f in report.findings if f.axis and "y[0, 0]" in f.axis]


def mean_depth(x, y):
    return torch.abs(x - torch.log(torch.where(y > 0, y, 1.0)))[y > 0].mean()


@pytest.mark.parametrize(("loss", "axes"), [(mean_depth, ["a batch with no y > 0"]), (depth_guarded, [])])
def test_a_selection_that_selects_nothing(loss, axes):
    y = Y.clone()
    y[0] = 0.0
    report = nllcheck.check_function(loss, {"x": X, "y": y}, target="y", points=40)
    assert [f.axis for f in report.findings if f.severity != "note"] == axes
    with torch.no_grad():
        assert bool(torch.isfinite(loss(X, torch.zeros_like(y)))) == (not axes)


class Attention(torch.nn.Module):
    """The input says who is whose neighbour; `nowhere` is what a score without a neighbour gets."""

    def __init__(self, nowhere: float) -> None:
        super().__init__()
        self.nodes, self.head = torch.nn.Parameter(torch.randn(6, 4)), torch.nn.Linear(4, 2)
        self.nowhere = nowhere

    def forward(self, neighbours):
        score = torch.where(neighbours > 0, self.nodes @ self.nodes.T, self.nowhere)
        return self.head(torch.softmax(score, -1) @ self.nodes)


@pytest.mark.parametrize(("nowhere", "loops", "ops"), [(-math.inf, 0, ["softmax"]), (-math.inf, 1, []), (-1e9, 0, [])])
def test_a_node_without_neighbours(nowhere, loops, ops):
    """But for the loop that every node has been given."""
    torch.manual_seed(0)
    graph = torch.where(torch.eye(6).bool(), float(loops), GRAPH)
    report = nllcheck.check(torch.nn.functional.mse_loss, model=Attention(nowhere), batch=(graph, X))
    found = [f for f in report.findings if f.severity != "note"]
    assert [f.op for f in found] == ops
    assert all("node 0 of" in f.axis for f in found)


PADDED = torch.tensor([[4, 2, 5, 0], [3, 0, 0, 0], [1, 6, 0, 0]])
SCATTERED = torch.tensor([[0, 2, 5, 0], [3, 0, 0, 1], [0, 6, 0, 0]])
FULL = torch.tensor([[4, 2, 5, 7], [3, 0, 0, 0], [1, 6, 0, 0]])


@pytest.mark.parametrize(
    ("words", "question", "told", "likely"),
    [
        (PADDED, ("ne", 0.0), {"words != 0", "words = 0"}, False),
        (PADDED, ("eq", 0.0), {"words != 0", "words = 0"}, False),
        (PADDED.float(), ("gt", 0.0), {"words > 0", "words <= 0"}, False),
        (SCATTERED, ("ne", 0.0), {"words != 0", "words = 0"}, True),
        (FULL, ("ne", 0.0), {"words != 0"}, False),  # a row without padding is there
        (FULL.clamp(min=1), ("ne", 0.0), set(), False),  # none is known to occur
    ],
)
def test_a_row_may_hold_nothing_but_padding(words, question, told, likely):
    found = list(blank_rows([Leaf("words", "input", words)], {0: (question,)}, has_model=True))
    assert {one.label for one in found} == {f"no {what} in its first row" for what in told}
    for one in found:
        assert one.likely == likely and torch.equal(one.value[1:], words[1:])
        assert set(one.value.flatten().tolist()) <= set(words.flatten().tolist())
        assert len((one.value[0] != 0).unique()) == 1


def test_inputs_of_a_bare_function_are_no_words():
    leaves = [Leaf("x", "input", PADDED.float())]
    assert not list(blank_rows(leaves, {0: (("gt", 0.0),)}, has_model=False))
