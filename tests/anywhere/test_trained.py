"""Losses of models as people train them, in small: what their bug is reported as; their sound twin is silent."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nllcheck


def draw(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def picks(most: int, *shape: int, least: int = 0) -> torch.Tensor:
    return torch.randint(least, most, shape, generator=torch.Generator().manual_seed(5 + sum(shape)))


class Tables(nn.Module):
    """A Bayesian network: a prior over hidden causes, and a table of each finding given the cause."""

    def __init__(self) -> None:
        super().__init__()
        self.prior, self.tables = nn.Linear(2, 3), nn.Parameter(draw(30, 3, 4))

    def forward(self, x):
        return torch.log_softmax(self.prior(x), -1), torch.log_softmax(self.tables, -1)


def evidence(prior, tables, y):
    return torch.stack([tables[j, :, y[:, j]].T for j in range(len(tables))]), prior


def product_of_tables(prior, tables, y):
    found, prior = evidence(prior, tables, y)
    return -torch.log((prior.exp() * found.exp().prod(0)).sum(1)).mean()


def sum_of_logs(prior, tables, y):
    found, prior = evidence(prior, tables, y)
    return -torch.logsumexp(prior + found.sum(0), 1).mean()


class Strokes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 16)

    def forward(self, x):
        return self.head(x)


def pen_and_mixture(output, target):
    pen, weight, mean, raw = torch.split(output, [1, 5, 5, 5], -1)
    normal = torch.distributions.Normal(mean, 0.4 * torch.sigmoid(raw) + 0.05)
    density = (torch.softmax(weight, -1) * normal.log_prob(target[:, :1]).exp()).sum(-1)
    return F.binary_cross_entropy_with_logits(pen[:, 0], target[:, 1]) - torch.log(density.clamp(min=1e-20)).mean()


class Counted(nn.Module):
    """Reads counts through log1p, and scales its rates by their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 5)

    def forward(self, x):
        return x.sum(-1, keepdim=True) * torch.softmax(self.head(0.1 * torch.log1p(x)), -1)


def poisson(rate, target):
    return (rate - target * torch.log(rate + 1e-8) + torch.lgamma(target + 1)).mean()


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

    def forward(self, x):
        return self.head(self.table(x))


def smoothed(output, target):
    return F.cross_entropy(output.flatten(0, 1), target.flatten(), ignore_index=0, label_smoothing=0.1)


class Kernel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.tensor(-1.0))

    def forward(self, x):
        return torch.exp(-0.5 * (x - x.T) ** 2) + self.noise.exp() * torch.eye(len(x))


def determinant(model, batch):
    kernel = model(batch[0])
    return 0.5 * (batch[1] @ torch.linalg.solve(kernel, batch[1]) + torch.log(torch.det(kernel)))


def log_determinant(model, batch):
    kernel = model(batch[0])
    return 0.5 * (batch[1] @ torch.linalg.solve(kernel, batch[1]) + torch.logdet(kernel))


COUNTS = picks(30, 12, 5).float()
TEXT = picks(7, 4, 6, least=1) * (torch.arange(6) < torch.tensor([[6], [3], [4], [5]]))
PEN = torch.stack([draw(8), (draw(8, seed=9) > 0).float()], 1)
FOUND = [
    (product_of_tables, Tables, (draw(6, 2), picks(4, 6, 30)), "log", "tables × scale"),
    (determinant, Kernel, (draw(40, 1), draw(40)), "det log", "noise"),
]
SILENT = [
    (sum_of_logs, Tables, (draw(6, 2), picks(4, 6, 30))),
    (poisson, Counted, (COUNTS, COUNTS)),
    (smoothed, Words, (TEXT, TEXT)),
]


def report_of(loss, build, batch, **options):
    torch.manual_seed(0)
    return nllcheck.check(loss, model=build(), batch=batch, **options)


def alarms(report):
    return [f for f in report.findings if f.severity != "note"]


@pytest.mark.parametrize(("loss", "build", "batch", "ops", "axis"), FOUND, ids=[c[0].__name__ for c in FOUND])
def test_the_bug_is_found_where_the_parameters_lead_to_it(loss, build, batch, ops, axis):
    found = [f for f in alarms(report_of(loss, build, batch)) if f.kind in ("nan", "inf") and f.op in ops.split()]
    assert found and found[0].verdict == "defect" and found[0].axis == axis and found[0].rule != "NLL000"


@pytest.mark.parametrize(("loss", "build", "batch"), SILENT, ids=[c[0].__name__ for c in SILENT])
def test_the_sound_one_raises_no_alarm(loss, build, batch):
    report = report_of(loss, build, batch)
    assert not alarms(report), alarms(report)
    sites = [s.site for f in report.findings for s in f.chain if s.site]
    assert all(site.path.endswith("test_trained.py") for site in sites), sites


def test_an_overflowing_determinant_is_no_singular_matrix():
    found = [f for f in alarms(report_of(determinant, Kernel, (draw(40, 1), draw(40)))) if f.op in ("det", "log")]
    assert {f.rule for f in found} == {"NLL110"}
    moved = Kernel()
    for f in found:
        with torch.no_grad():
            moved.noise.fill_(f.threshold)
            assert math.isinf(float(torch.log(torch.det(moved(draw(40, 1))))))
            assert math.isfinite(float(torch.logdet(moved(draw(40, 1)))))


def test_channels_are_moved_as_the_loss_splits_them_and_named_so():
    report = report_of(pen_and_mixture, Strokes, (draw(8, 2), PEN))
    labels = [t.axis.label for t in report.sweeps if t.axis.role == "output" and t.axis.mode == "set"]
    assert labels == ["pen (output[..., 0])", *(f"{n} (output[..., {k}:{k + 5}])" for n, k in
                      (("weight", 1), ("mean", 6), ("raw", 11)))]  # fmt: skip
    dead = [f for f in report.findings if f.kind == "dead-gradient"]
    assert any(f.op == "clamp" and f.axis == "mean (output[..., 6:11])" for f in dead)


def test_the_op_to_blame_is_one_that_leads_to_the_failure():
    """The largest logits saturate their softmax, which does no harm: it is the product that vanishes."""
    (found,) = (f for f in alarms(report_of(*FOUND[0][:3])) if f.op == "log")
    assert (found.chain[0].op, found.chain[0].what) == ("prod", "underflow")
