"""Counts of 0, empty masks, sure scores, dead features, vanishing targets: found, weighed, true by the user's code."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from flint import arb

import nllcheck
from nllcheck.axes.sure import _class_dim
from nllcheck.axes.tested import NOWHERE, counted, wider
from nllcheck.exact.ball import Ball, as_array
from nllcheck.exact.linalg import is_singular

G = torch.Generator().manual_seed(8)
RAW = torch.randn(4, 2, generator=G)
Z = torch.randn(6, 2, generator=G)
MASK = torch.tensor([[0.0, 1], [1, 0], [0, 0], [1, 1]])
COUNTS = torch.tensor([1.0, 4, 2, 7])
LABELS = torch.tensor([0, 1, 1, 0])


def deviance(x, y):
    rate = F.softplus(x[:, 0]) + 0.1
    return (y * torch.log(y / rate) - y + rate).mean()


def deviance_kept(x, y):
    rate = F.softplus(x[:, 0]) + 0.1
    return (torch.xlogy(y, y) - y * torch.log(rate) - y + rate).mean()


def overlap(x, y):
    p = torch.sigmoid(x)
    return 1 - ((p * y).sum() / (p.sum() + y.sum()))


def overlap_kept(x, y):
    p = torch.sigmoid(x)
    return 1 - ((p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def hard_ones(x, y):
    cost = F.cross_entropy(x, y, reduction="none")
    return cost[cost > 0.2].mean()


def hard_ones_kept(x, y):
    return F.cross_entropy(x, y, reduction="none").topk(2).values.mean()


def volume(x, y):
    return y - torch.logdet(x.T @ x / len(x))


def volume_kept(x, y):
    return y - torch.logdet(x.T @ x / len(x) + 0.1 * torch.eye(2))


def relative(x, y):
    return ((x - y).norm(dim=1) / y.norm(dim=1)).mean()


def relative_kept(x, y):
    return ((x - y).norm(dim=1) / (y.norm(dim=1) + 0.1)).mean()


def emptied(x, y):
    return torch.full_like(x, -200.0), torch.zeros_like(y)


def hard_bits(x, y):
    each = F.binary_cross_entropy_with_logits(x, y[:, None], reduction="none")
    hard = (each > 0.5).float()
    return (each * hard).sum() / hard.sum()


def hard_bits_kept(x, y):
    each = F.binary_cross_entropy_with_logits(x, y[:, None], reduction="none")
    hard = (each > 0.5).float()
    return (each * hard).sum() / hard.sum().clamp(min=1)


def dead(x, y):
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], 1), y


CASES = [
    (deviance, deviance_kept, RAW, COUNTS, lambda x, y: (x, 0 * y), "log", "warning", "defect", "y"),
    (overlap, overlap_kept, RAW, MASK, emptied, "div", "warning", "defect", "is sure of it"),
    (hard_ones, hard_ones_kept, RAW, LABELS, lambda x, y: (400.0 * F.one_hot(y, 2) - 200, y), "mean", "note", "limit",
     "x is sure and right of all y"),
    (hard_bits, hard_bits_kept, RAW[:, :1], LABELS.float(), lambda x, y: (400.0 * y[:, None] - 200, y), "div",
     "note", "limit", "x is sure and right of all y"),
    (volume, volume_kept, Z, torch.tensor(0.5), dead, "logdet", "error", "limit", "x[..., "),
    (relative, relative_kept, Z, Z.flip(0), lambda x, y: (x, 0 * y), "div", "note", "limit", "first row of y is 0"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0].__name__)
def test_found_with_its_weight_and_not_in_its_repaired_twin(case):
    wrong, right, x, y, _, op, severity, verdict, axis = case
    found, none = (nllcheck.check_function(f, {"x": x, "y": y}, target="y", points=4, effort="quick").findings
                   for f in (wrong, right))  # fmt: skip
    told = [f for f in found if f.kind in ("nan", "inf") and f.axis and axis in f.axis]
    assert (op, severity, verdict) in [(f.op, f.severity, f.verdict) for f in told]
    assert [f for f in none if f.kind in ("nan", "inf") and (f.severity != "note" or (f.axis and axis in f.axis))] == []


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0].__name__)
def test_the_users_own_code_fails_there_and_its_twin_does_not(case):
    wrong, right, x, y, to, *_ = case
    assert math.isfinite(wrong(x, y))
    assert not math.isfinite(wrong(*to(x, y)))
    assert math.isfinite(right(*to(x, y)))


def shares_of_counts(x, y):
    return (torch.xlogy(y, y / 10) - y * F.logsigmoid(x[:, 0])).mean()


def grouped(x, y):
    own = F.one_hot(y, 2).float()
    parts = sum(torch.logdet(torch.eye(2) + (x * own[:, k : k + 1]).T @ x) for k in range(2))
    return parts / 3 - torch.logdet(torch.eye(2) + 4 * x.T @ x)


@pytest.mark.parametrize(("loss", "y"), [(shares_of_counts, COUNTS), (grouped, LABELS)])
def test_no_alarm_where_only_next_to_zero_fails_or_labels_have_no_probability(loss, y):
    found = nllcheck.check_function(loss, {"x": RAW, "y": y}, target="y", points=4, effort="quick").findings
    assert [f.message for f in found if f.severity != "note"] == []


def test_the_report_does_not_carry_the_labels_of_every_row():
    report = nllcheck.check_function(hard_ones_kept, {"x": RAW, "y": LABELS}, target="y", points=4, effort="quick")
    ways = [s["axis"] for s in report.to_dict()["sweeps"] if s["axis"]["goal"] == "as labelled"]
    assert [(way["label"], way["moves"]) for way in ways] == [("x is sure and right of all y", [])]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 2, 5], (0.0, 5.0)), ([0.0, 1, 2], (0.0, 2.0)), ([1.0, 2, 1], NOWHERE), ([-1.0, 0, 1], NOWHERE),
     ([1.5, 2, 3], NOWHERE), ([1.0, 2, math.nan], NOWHERE), ([1.0, 2, math.inf, 3], NOWHERE)],
)  # fmt: skip
def test_whole_numbers_of_three_kinds_are_counts(values, expected):
    assert counted(torch.tensor(values)) == pytest.approx(expected, nan_ok=True)
    assert counted(torch.tensor(values).nan_to_num(0, 9).long()) == pytest.approx(NOWHERE, nan_ok=True)
    assert wider(counted(torch.tensor(values)), (-1.0, 3.0))[0] == -1.0


@pytest.mark.parametrize(
    ("shape", "labels", "dim"),
    [((4, 3), [0, 2, 1, 0], 1), ((4, 3), [0, 3, 1, 0], None), ((4, 3), [0, -100, 1, 0], None), ((3, 4), [0, 1], None),
     ((2, 3, 2), [[0, 2], [1, 1]], 1), ((2, 2, 3), [[0, 2], [1, 1]], 2), ((4,), 1, None)],
)  # fmt: skip
def test_labels_name_entries_of_the_dimension_of_classes(shape, labels, dim):
    assert _class_dim(torch.zeros(shape), torch.tensor(labels)) == dim
    assert _class_dim(torch.zeros(shape), torch.tensor(labels).float()) is None


def test_a_row_of_zeros_decides_a_determinant_that_rounding_leaves_open():
    open_, zero = arb(0, 1e-30), arb(0)
    assert is_singular(Ball(as_array([[zero, zero], [arb(1, 1e-30), open_]])))
    assert not is_singular(Ball(as_array([[arb(1), open_], [open_, open_]])))
