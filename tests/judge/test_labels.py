"""Labels that leave [0, 1]: told where the loss reads them, held against what such a label does to the loss."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.capture import capture
from nllcheck.judge.labels import off_labels
from nllcheck.sweep.joint import joint_graph
from nllcheck.target import Batch, Target

DRAW = torch.Generator().manual_seed(3)
N = 12
LOGITS = torch.randn(N, generator=DRAW)
BITS = torch.tensor([0.0, 1.0] * (N // 2))
LABELS = {
    "signs": 2 * BITS - 1,
    "from one": BITS + 1,
    "pixels": 255 * torch.rand(N, generator=DRAW),
    "bits": BITS,
    "smooth": 0.1 + 0.8 * BITS,
    "ends": BITS + 1e-6,
}
OFF = ("signs", "from one", "pixels")


def library(x, y):
    return F.binary_cross_entropy_with_logits(x, y)


def weighted(x, y):
    return F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(3.0))


def written_out(x, y):
    p = torch.sigmoid(x)
    return -(y * torch.log(p + 1e-6) + (1 - y) * torch.log(1 - p + 1e-6)).mean()


def by_logsigmoid(x, y):
    return -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x)).sum()


LOSSES = (library, weighted, written_out, by_logsigmoid)


def told(loss, y):
    tensors = {"x": LOGITS, "y": y}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("", loss, "loss", None, (batch,), "function", target_names=("y",)), batch, 0)
    return off_labels(graph, joint_graph(graph, (0,)))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", LABELS)
def test_told_where_a_sure_score_pays_without_end(loss, name):
    y = LABELS[name]
    outside = (y < -1e-3) | (y > 1 + 1e-3)
    sure = torch.where(y > 0.5, LOGITS + 60, LOGITS - 60)  # each score on its label's side
    pays = bool(outside.any()) and float(loss(torch.where(outside, sure, LOGITS), y)) < float(loss(LOGITS, y)) - 1
    found = told(loss, y)
    assert bool(found) == pays == (name in OFF)
    assert all((j.verdict, j.event.kind) == ("wrong-formula", "unbounded") for j in found)
    assert all(f"{int(outside.sum())} of {N} labels" in j.event.detail for j in found)


def masked(x, y):
    each = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    return (each * (y >= 0)).sum() / (y >= 0).sum().clamp(min=1)


def selected(x, y):
    return F.binary_cross_entropy_with_logits(x[y >= 0], y[y >= 0])


def given_no_weight(x, y):
    return F.binary_cross_entropy_with_logits(x, y, weight=(y >= 0).float())


def advantage(x, y):
    return -(y * F.logsigmoid(x)).mean()


@pytest.mark.parametrize("loss", [masked, selected, given_no_weight, advantage], ids=lambda f: f.__name__)
def test_silent_where_they_do_not_count_or_are_no_labels(loss):
    assert told(loss, LABELS["signs"]) == []


def test_a_label_that_the_model_makes_counts_as_any_other():
    def from_overlap(x, y):
        return F.binary_cross_entropy_with_logits(x, (y - 0.5).detach())

    assert len(told(from_overlap, LABELS["bits"])) == 1


def test_one_finding_says_so_at_the_line():
    report = nllcheck.check_function(library, {"x": LOGITS, "y": LABELS["from one"]}, target="y", points=40)
    found = [f for f in report.findings if f.kind == "unbounded"]
    assert [(f.rule, f.severity, f.on_batch) for f in found] == [("NLL714", "warning", True)]
    assert found[0].site.source.startswith("return F.binary_cross_entropy_with_logits")
