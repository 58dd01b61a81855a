"""Losses of every style: silent when sound, and the planted op named when not, followed as one graph where said so."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as D
import torch.nn.functional as F
from torch import nn

import nllcheck
from nllcheck.check import run
from nllcheck.target import Target, split_batch


def draw(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


ONE_HOT = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
LABELLED = (draw(6, 4), ONE_HOT)


def log_of_softmax(output, target):
    return -(target * torch.log(torch.softmax(output, -1))).sum(-1).mean()


def log_softmax(output, target):
    return -(target * torch.log_softmax(output, -1)).sum(-1).mean()


def contrastive_by_hand(a, b):
    e = torch.exp(a @ b.T / 0.01)
    return -torch.log(e.diagonal() / e.sum(1)).mean()


def contrastive(a, b):
    return F.cross_entropy(F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.1, torch.arange(len(a)))


def factor(x, w):
    return torch.linalg.cholesky(w @ w.T + 0.1 * torch.eye(3)).diagonal().log().sum() + (x @ w).pow(2).sum()


def factor_of_singular(x, w):
    return torch.linalg.cholesky(w @ w.T).diagonal().log().sum() + (x @ w).pow(2).sum()


def normal_by_factor(mu, raw, y):
    scale = torch.tril(raw, -1) + torch.diag_embed(F.softplus(raw.diagonal(dim1=-2, dim2=-1)) + 1e-3)
    return -D.MultivariateNormal(mu, scale_tril=scale).log_prob(y).mean()


def flow_of_determinant(w, x):
    return (0.5 * (x @ w).pow(2).sum(1) - torch.log(torch.det(w).abs())).mean()


def changes_its_target(x, y):
    y[y < 0] = 0.0
    y.add_(1.0)
    return (x - y).pow(2).mean()


def changes_its_target_and_fails(x, y):
    y.clamp_(min=0)
    return -(torch.log(torch.sigmoid(x)) * y).mean()


def sentinel(x, y):
    known = ~torch.isnan(y)
    return torch.where(known, (x - torch.where(known, y, 0.0)) ** 2, torch.nan).nanmean()


def in_float32(x, y):
    return (torch.log(1 + torch.exp(x.to(torch.float32))) - x * y).mean()


def spectrum(x, y):
    return (torch.fft.fft(x).abs() - torch.fft.fft(y).abs()).pow(2).mean()


def alignment(logits, y):
    lengths, targets = torch.full((3,), 7), torch.full((3,), 2)
    return F.ctc_loss(torch.log_softmax(logits, -1), y, lengths, targets, zero_infinity=True)


def strided_update(x, y):
    z = x.clone()
    z[:, ::2] += 1.0
    return (z - y).pow(2).mean()


MISSING = draw(8).index_fill(0, torch.tensor([2]), float("nan"))
FUNCTIONS = (  # loss, tensors, targets, ops of which one is to be named (none: silent)
    (contrastive, {"a": draw(5, 3), "b": draw(5, 3, seed=1)}, (), ""),
    (contrastive_by_hand, {"a": draw(5, 3), "b": draw(5, 3, seed=1)}, (), "exp log"),
    (factor, {"x": draw(5, 3), "w": draw(3, 3)}, ("x",), ""),
    (factor_of_singular, {"x": draw(5, 3), "w": draw(3, 3)}, ("x",), "cholesky log"),
    (normal_by_factor, {"mu": draw(2, 2), "raw": draw(2, 2, 2), "y": draw(2, 2, seed=2)}, ("y",), ""),
    (flow_of_determinant, {"w": draw(3, 3), "x": draw(6, 3)}, ("x",), "log"),
    (changes_its_target, {"x": draw(8), "y": draw(8, seed=1)}, ("y",), ""),
    (changes_its_target_and_fails, {"x": draw(8), "y": draw(8, seed=1)}, ("y",), "log"),
    (sentinel, {"x": draw(8, seed=1), "y": MISSING}, ("y",), ""),
    (in_float32, {"x": draw(8), "y": draw(8, seed=1)}, ("y",), "exp"),
    (spectrum, {"x": draw(3, 4), "y": draw(3, 4, seed=1)}, ("y",), ""),
    (alignment, {"logits": draw(7, 3, 5), "y": torch.tensor([[1, 2], [3, 4], [2, 1]])}, ("y",), ""),
    (strided_update, {"x": draw(3, 4), "y": draw(3, 4, seed=1)}, ("y",), ""),
)


class Transposed(nn.Module):
    """Dropout on a value whose memory is in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop, self.head = nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.drop(self.body(x).transpose(1, 2))).mean(1)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x)).mean(1)


class Step(nn.Module):
    def __init__(self, loss) -> None:
        super().__init__()
        self.body, self.loss = nn.Linear(4, 3), loss

    def training_step(self, batch):
        inputs, targets = batch
        return self.loss(self.body(inputs), targets)


def terms(output, target):
    return {"fit": log_softmax(output, target), "spread": 1e-2 * output.pow(2).mean()}


def terms_of_which_one_breaks(output, target):
    return {"fit": log_softmax(output, target), "entropy": log_of_softmax(output, torch.softmax(output, -1))}


def of_states(output, target):
    return F.mse_loss(output[0], target)


STEPS = (draw(6, 5, 4), ONE_HOT)
MODELS = (  # loss, model, batch, ops, must it be one graph
    (log_softmax, Transposed, STEPS, "", True),
    (log_softmax, Encoder, STEPS, "", True),
    (of_states, lambda: nn.LSTM(2, 2, batch_first=True), (draw(2, 2, 2), draw(2, 2, 2)), "", True),
    (terms, lambda: nn.Linear(4, 3), LABELLED, "", True),
    (terms_of_which_one_breaks, lambda: nn.Linear(4, 3), LABELLED, "log", True),
    (torch.compile(log_softmax, backend="eager"), lambda: nn.Linear(4, 3), LABELLED, "", True),
    (torch.compile(log_of_softmax, backend="eager"), lambda: nn.Linear(4, 3), LABELLED, "log", True),
    (log_softmax, lambda: torch.compile(nn.Linear(4, 3), backend="eager"), LABELLED, "", True),
)


def alarms(report):
    return [f.op for f in report.findings if f.severity != "note"]


def holds(report, ops: str) -> bool:
    return bool(set(alarms(report)) & set(ops.split())) if ops else not alarms(report)


@pytest.mark.parametrize(("loss", "tensors", "targets", "ops"), FUNCTIONS, ids=[f[0].__name__ for f in FUNCTIONS])
def test_a_function_of_tensors(loss, tensors, targets, ops):
    before = {name: t.clone() for name, t in tensors.items()}
    report = nllcheck.check_function(loss, tensors, target=targets, points=60)
    assert holds(report, ops), report.findings
    assert report.facts.capture == "graph"
    assert all(torch.equal(t.nan_to_num(7.0), before[n].nan_to_num(7.0)) for n, t in tensors.items())


@pytest.mark.parametrize(("loss", "build", "batch", "ops", "is_graph"), MODELS, ids=range(len(MODELS)))
def test_a_loss_with_its_model(loss, build, batch, ops, is_graph):
    torch.manual_seed(0)
    report = nllcheck.check(loss, model=build(), batch=batch, points=100)
    assert holds(report, ops), report.findings
    assert (report.facts.capture == "graph") == is_graph


@pytest.mark.parametrize(("loss", "ops"), [(log_softmax, ""), (log_of_softmax, "log")])
def test_a_training_step_without_the_index_of_its_batch(loss, ops):
    torch.manual_seed(0)
    model = Step(loss)
    batch = split_batch(LABELLED)
    assert holds(run(Target("step", model.training_step, "training_step", model, (batch,), "step")), ops)


def chosen_by_itself(x):
    each = -torch.log(torch.sigmoid(x))
    return each[each > 0.35].mean()


def held_by_a_hard_sigmoid(x, y):
    p = F.hardsigmoid(x)
    return -(y * torch.log(p + 1e-7) + (1 - y) * torch.log(1 - p + 1e-7)).mean()


def determinant_by_library(x, w):
    return (0.5 * ((x @ w) ** 2).sum(-1)).mean() - torch.logdet(w)


def pooled_in_logs(x):
    return torch.exp(torch.log(torch.sigmoid(x) + 0.0).mean())


RANKED = (  # loss, tensors, targets, op of an error or warning, its kind, captured as
    (chosen_by_itself, {"x": draw(9)}, (), "log", "inf", "graph"),
    (
        held_by_a_hard_sigmoid,
        {"x": 4 * draw(9), "y": (draw(9) < 0).float()},
        ("y",),
        "hardtanh",
        "dead-gradient",
        "graph",
    ),
    (determinant_by_library, {"x": draw(4, 3), "w": torch.eye(3) + 0.1 * draw(3, 3)}, ("x",), "logdet", "nan", "graph"),
    (pooled_in_logs, {"x": draw(9)}, (), "log", "nan", "graph"),
)


@pytest.mark.parametrize(
    ("loss", "tensors", "targets", "op", "kind", "capture"), RANKED, ids=lambda v: getattr(v, "__name__", "")
)
def test_an_alarm_at_the_op(loss, tensors, targets, op, kind, capture):
    report = nllcheck.check_function(loss, tensors, target=targets, points=60, effort="quick")
    assert report.facts.capture == capture, report.notes
    assert (op, kind) in [(f.op, f.kind) for f in report.findings if f.severity != "note"], report.findings
