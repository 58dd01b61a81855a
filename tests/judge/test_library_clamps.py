"""Clamps inside library functions, by name: a warning where the batch is held by one, a remark where it is not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn

from nllcheck.check import check_function

N = 8


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


BITS, LABELS = (torch.arange(N) % 2).float(), torch.arange(N) % 4
FAR = torch.zeros(N).index_fill(0, torch.tensor([1]), -120.0)  # on the wrong side of its label


def gaussian(mu, raw, y):
    return F.gaussian_nll_loss(mu, y, torch.exp(raw))


def gaussian_module(mu, raw, y):
    return nn.GaussianNLLLoss()(mu, y, torch.exp(raw))


def bce(x, y):
    return F.binary_cross_entropy(torch.sigmoid(x), y)


def bernoulli(x, y):
    return -D.Bernoulli(probs=torch.sigmoid(x)).log_prob(y).mean()


def categorical(x, y):
    return -D.Categorical(probs=torch.softmax(x, -1)).log_prob(y).mean()


def own_clamp(x, y):
    return -torch.log(torch.softmax(x, -1).gather(1, y[:, None]).clamp(min=1e-6)).mean()


PAIR = {"mu": draw(N), "y": draw(N)}
WIDE = 60 * torch.eye(4)[[1, 1, 2, 3, 0, 1, 2, 3]]  # the first label's probability underflows
# loss, a batch that is alive, one that is held by the clamp, its name, and how many of how many it holds
CASES = {
    "gaussian_nll_loss": (
        gaussian, {**PAIR, "raw": 0 * draw(N)}, {**PAIR, "raw": FAR}, "F.gaussian_nll_loss", "1 of 8"),
    "GaussianNLLLoss": (
        gaussian_module, {**PAIR, "raw": 0 * draw(N)}, {**PAIR, "raw": FAR}, "F.gaussian_nll_loss", "1 of 8"),
    "binary_cross_entropy": (
        bce, {"x": draw(N), "y": BITS}, {"x": FAR, "y": BITS}, "F.binary_cross_entropy", "1 of 8"),
    "bernoulli": (bernoulli, {"x": draw(N), "y": BITS}, {"x": FAR / 4, "y": BITS}, "Bernoulli(probs=...)", "1 of 8"),
    "categorical": (
        categorical, {"x": draw(N, 4), "y": LABELS}, {"x": WIDE, "y": LABELS}, "Categorical(probs=...)", "1 of 32"),
}  # fmt: skip


def report_of(fn, tensors):
    return check_function(fn, tensors, target="y", points=20, effort="quick")


@pytest.mark.parametrize("name", CASES)
def test_a_batch_that_is_held_is_one_warning_that_names_the_function(name):
    fn, _, held, function, share = CASES[name]
    found = [f for f in report_of(fn, held).findings if f.kind == "dead-gradient" and f.on_batch]
    assert [(f.severity, f.site.path) for f in found] == [("warning", __file__)]
    assert found[0].message.startswith(share)
    assert f"by the clamp inside {function} (" in found[0].message


@pytest.mark.parametrize("name", CASES)
def test_a_batch_that_is_alive_is_no_warning(name):
    fn, alive, _, function, _ = CASES[name]
    report = report_of(fn, alive)
    assert [f for f in report.findings if f.kind == "dead-gradient" and f.on_batch] == []
    told = [*report.notes, *(f.message for f in report.findings if f.severity == "note")]
    assert any(f"the clamp inside {function} (" in text for text in told)


@pytest.mark.parametrize(("fn", "what", "count"), [
    (lambda x, y: (F.normalize(x, dim=-1) - y).square().mean(), "F.normalize (the norm at least 1e-12)", "1 of 8"),
    (lambda x, y: (1 - F.cosine_similarity(x, y)).mean(), "F.cosine_similarity (norms at least its eps)", "1 of 8"),
    (lambda x, y: (1 - nn.CosineSimilarity()(x, y)).mean(), "F.cosine_similarity (norms at least its eps)", "1 of 8"),
])  # fmt: skip
def test_norms_are_remarks_with_the_share_that_is_held(fn, what, count):
    rows = draw(N, 3)
    rows[2] = 1e-20
    for x, held in ((rows, count), (draw(N, 3), "none of 8")):
        notes = [note for note in report_of(fn, {"x": x, "y": draw(N, 3)}).notes if what in note]
        assert len(notes) == 1
        assert notes[0].endswith(f"holds {held} values on the batch")


def test_a_clamp_of_ones_own_is_no_librarys():
    report = report_of(own_clamp, {"x": draw(N, 4), "y": LABELS})
    assert not any("clamp inside" in text for text in (*report.notes, *(f.message for f in report.findings)))
