"""Verdicts on the sample that decides: exact arithmetic says of two rows what it says of the whole batch."""

import math

import pytest
import torch

from nllcheck.axes import default_axes
from nllcheck.axes.excerpt import excerpt_of
from nllcheck.capture.attempt import captured
from nllcheck.capture.layout import layout_of
from nllcheck.capture.rows import on_other_rows, on_rows
from nllcheck.detect import detect
from nllcheck.judge import verdict
from nllcheck.judge.sample import sampler
from nllcheck.sweep import sweep
from nllcheck.target import Batch, Target

ROWS, ODD = 64, 37  # and the row that is planted


def bivariate(p, y):
    rho, away = torch.tanh(p[:, 0]), p[:, 1:] - y
    square = away.square().sum(-1) - 2 * rho * away[:, 0] * away[:, 1]
    return (torch.log(1 - rho**2) / 2 + square / (1 - rho**2) / 2).mean()


def log_of_softmax(p, y):
    return -torch.log(torch.softmax(p, -1))[:, 0].mean() + 0 * y.sum()


def distance(p, y):
    return torch.sqrt((p - y).square().sum(-1)).mean()


def exp_twice(p, y):
    return (torch.exp(torch.exp(p)) * y.square()[:, :1]).mean()


def vanishing_scale(p, y):
    return torch.log(torch.nn.functional.softplus(p)).mean() + 0 * y.sum()


def batch_of(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"p": torch.randn(rows, 3, generator=generator), "y": torch.randn(rows, 2, generator=generator)}


def batch_for(loss, rows):
    batch = batch_of(rows)
    return {**batch, "p": batch["y"] + 1} if loss is distance else batch


# what fails, and what exact arithmetic says of it on a batch that it can have whole
LOSSES = [
    (bivariate, "defect"),
    (log_of_softmax, "defect"),
    (distance, "defect"),
    (exp_twice, "limit"),
    (vanishing_scale, "defect"),
]


def located(loss, batch):
    """The sampler of a loss, and its failures with their joint graphs, as a check finds them."""
    whole = Batch(kwargs=batch, whole=batch)
    target = Target("loss", loss, loss.__name__, None, (whole,), "function", target_names=("y",))
    graph, remarks = captured(target, whole, 0)
    assert graph, remarks
    swept = sweep(graph, default_axes(graph)[0], {}, count=65)
    found, _ = detect(graph, swept, None)
    failures = [(e, swept.joints[k]) for e, k in found if e.axis and e.kind in ("nan", "inf") and e.reaches]
    return sampler(target, excerpt_of(target, whole, graph, "default")), failures


@pytest.mark.parametrize(("loss", "expected"), LOSSES, ids=[loss.__name__ for loss, _ in LOSSES])
def test_a_sample_gets_the_exact_verdict_of_its_batch(loss, expected, monkeypatch):
    sample, found = located(loss, batch_for(loss, ROWS))
    whole = [verdict.judge(event, joint, torch.float32, sample) for event, joint in found]
    monkeypatch.setattr(verdict, "AFFORDABLE", 150)  # operations: two rows are, 64 are not
    alone = [verdict.judge(event, joint, torch.float32, sample) for event, joint in found]
    assert expected in {j.verdict for j in whole}
    assert [j.verdict for j in alone] == [j.verdict for j in whole]
    assert any(f"of the batch's {ROWS}" in j.reason for j in alone)
    assert not any("of the batch" in j.reason for j in whole), [j.reason for j in whole]
    for one, all_rows in zip(alone, whole, strict=True):  # the numbers told are the batch's
        told = one.reference_loss, all_rows.reference_loss
        assert math.isnan(told[0]) or math.isclose(*told, rel_tol=1e-3, abs_tol=1e-30)


def test_the_sample_is_the_one_that_fails_and_the_program_is_the_same_there():
    batch = batch_of(64)
    batch["p"][ODD, 1:] *= 30  # its softmax underflows long before the others'
    sample, found = located(log_of_softmax, batch)
    event, joint = next((e, j) for e, j in found if e.axis.mode == "scale")
    alone = sample(event, event.axis, joint, [event.threshold[1]])
    assert (alone.row, alone.count) == (ODD, 64)
    assert alone.joint.base[0].shape == (2, 3)
    assert torch.equal(alone.joint.base[0][1], batch["p"][ODD])


def test_what_couples_all_rows_is_left_alone():
    """The overflow of a sum over the batch is no sample's: two rows do not fail."""
    sample, found = located(lambda p, y: torch.exp(p.sum() / 10) + 0 * y.sum(), batch_of(64))
    assert found
    assert all(sample(event, event.axis, joint, [event.witness]) is None for event, joint in found)


@pytest.mark.parametrize(
    ("batch", "count"),
    [
        (Batch((torch.zeros(8, 2),), targets=torch.zeros(8)), 8),
        (Batch((torch.zeros(8, 2), torch.zeros(2, 3)), targets=torch.zeros(8)), 8),
        (Batch(kwargs={"a": torch.zeros(()), "b": torch.zeros(5)}), 5),
        (Batch((3.0,)), 0),
    ],
)
def test_rows_of_a_batch(batch, count):
    assert layout_of(batch).count == count


def test_the_program_of_two_rows_is_replayed_on_others():
    batch = batch_of(64)
    whole = Batch(kwargs=batch, whole=batch)
    target = Target("loss", log_of_softmax, "log_of_softmax", None, (whole,), "function", target_names=("y",))
    graph, _ = captured(target, whole, 0)
    layout = layout_of(whole)
    first = on_rows(target, whole, graph, (0, 1), layout)
    again = on_other_rows(target, whole, first, (7, ODD), layout)
    traced = on_rows(target, whole, graph, (7, ODD), layout)
    assert again.module is first.module
    assert [v.tolist() for v in again.values if torch.is_tensor(v)] == [
        v.tolist() for v in traced.values if torch.is_tensor(v)
    ]
