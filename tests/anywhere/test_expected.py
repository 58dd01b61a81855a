"""What a batch does not show and its loss says itself to expect: each with what is found, and its repaired twin."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.axes.tested import expected
from nllcheck.capture.program import Leaf
from nllcheck.structure import tables_of
from nllcheck.structure.variants import variants
from nllcheck.types import Graph, Node, Ref

G = torch.Generator().manual_seed(4)
LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
SCORES = torch.randn(6, generator=G)
ROWS = torch.randn(6, 3, generator=G)


def overlap(x, y):
    p = torch.sigmoid(x)
    hit = (p * y).sum()
    return (1 - (hit + 1) / (0.5 * p.sum() + 0.5 * y.sum() + 1)) ** 0.75


def overlap_above_0(x, y):
    p = torch.sigmoid(x)
    hit = (p * y).sum()
    return (1.001 - (hit + 1) / (0.5 * p.sum() + 0.5 * y.sum() + 1)) ** 0.75


def inside(x, y):
    root = torch.sqrt((F.softplus(x) + 0.1) * (1.2 - y))
    return torch.where(y < 1, root, y).mean()


def inside_kept(x, y):
    root = torch.sqrt((F.softplus(x) + 0.1) * (1.2 - y.clamp(max=1.0)))
    return torch.where(y < 1, root, y).mean()


def schedule(x, y):
    signal = torch.linspace(1, 0, 9)[y]
    return (signal.clamp(max=0.5) / signal * x**2).mean()


def schedule_kept(x, y):
    signal = torch.linspace(1, 0.1, 9)[y]
    return (signal.clamp(max=0.5) / signal * x**2).mean()


STEPS = torch.tensor([1, 2, 3, 5, 6, 7])
FOUND = [
    (overlap, overlap_above_0, SCORES, LABELS, "pow", "sure and right"),
    (inside, inside_kept, SCORES, 0.2 + 0.1 * torch.arange(6.0), "sqrt", "y"),
    (schedule, schedule_kept, SCORES, STEPS, "div", "y = 8 throughout"),
]


@pytest.mark.parametrize(("loss", "twin", "x", "y", "op", "words"), FOUND, ids=[c[0].__name__ for c in FOUND])
def test_it_is_found_and_its_repair_is_silent(loss, twin, x, y, op, words):
    alarms = [
        f
        for f in nllcheck.check_function(loss, {"x": x, "y": y}, target="y", points=200).findings
        if f.severity != "note"
    ]
    assert [(f.op, f.kind in ("nan", "inf")) for f in alarms] == [(op, True)] and words in str(alarms[0].axis)
    assert nllcheck.check_function(twin, {"x": x, "y": y}, target="y", points=200, fail_on="warning").ok


def counts(x, y):
    return (torch.exp(x) - y * x).mean()


def test_scores_that_the_loss_itself_punishes_are_not_driven_to_the_labels():
    """Counts of 0 and 1 look like labels; exp(200) is beyond float32 on paper, too."""
    found = nllcheck.check_function(counts, {"x": SCORES, "y": LABELS}, target="y", points=200)
    assert any("sure and right" in str(f.axis) for f in found.findings)
    assert [f for f in found.findings if f.severity != "note"] == []


def test_a_label_may_be_the_only_one_of_its_class():
    value = torch.tensor([2, 2, 1, 1, 2, 0])
    found = {one.label: one.value.tolist() for one in variants([Leaf("y", "target", value)], has_model=True)}
    assert found["y[0] the only one of its class"] == [2, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(("dtype", "wanted"), [("int64", {1: 9}), ("bool", {}), ("float32", {})])
def test_only_whole_numbers_choose_among_entries(dtype, wanted):
    table, choice = Node(0, "input", (), shape=(9,)), Node(1, "input", (), shape=(6,), dtype=dtype)
    nodes = (table, choice, Node(2, "index", (Ref(0), (Ref(1),))))
    assert tables_of(Graph(nodes, 2)) == wanted


def held(x, weight):
    return -(torch.exp(x.clamp(max=0.0)) * weight).mean()


@pytest.mark.parametrize(("above", "severity"), [(1, "note"), (5, "warning")])
def test_a_clamp_that_was_meant_is_an_alarm_only_if_it_holds_much(above, severity):
    x = torch.cat([torch.full((above,), 0.4), torch.full((8 - above,), -0.3)])
    found = nllcheck.check_function(held, {"x": x, "weight": -torch.ones(8)}, target="weight").findings
    assert [f.severity for f in found if f.kind == "dead-gradient" and f.on_batch] == [severity]


def far_mixture(x, y):
    density = torch.exp(-0.5 * (y[:, None] - x) ** 2)
    return -torch.log(density.sum(-1) + 1e-6).mean()


def test_a_batch_without_any_gradient_names_what_holds_it():
    x, y = 25 + torch.randn(6, 3, generator=G), torch.randn(6, generator=G)
    found = nllcheck.check_function(far_mixture, {"x": x, "y": y}, target="y").findings
    assert [(f.op, f.severity) for f in found if f.kind == "dead-gradient" and f.on_batch] == [("add", "warning")]


def turned(x, y):
    size = torch.norm(x + 1e-8, dim=-1, keepdim=True)
    return ((x / size - y) ** 2).mean()


def test_a_lone_point_next_to_0_is_no_alarm():
    batch = {"x": ROWS, "y": torch.randn(6, 3, generator=G)}
    assert nllcheck.check_function(turned, batch, target="y", points=200, fail_on="warning").ok


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [((1.0,), (0.2, 1.6)), ((0,), (-0.6, 0.8)), ((0, 1), (-0.6, 1.6)), ((0.5,), None), ((), None), ((True,), None)],
)
def test_comparisons_beyond_the_batch_widen_what_is_expected(bounds, wanted):
    tests = [Node(k + 1, "compare", (Ref(0), bound)) for k, bound in enumerate(bounds)]
    found = expected(Graph((Node(0, "input", ()), *tests), 0), 0, (0.2, 0.8))
    assert found == pytest.approx(wanted or (math.nan, math.nan), nan_ok=True)
