"""NaN passes through binary_cross_entropy while a loss is checked, and torch's own kernel is back afterwards."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy

import nllcheck
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.passing import nan_passes

NAN = float("nan")


def draw(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(7,), (33, 5), (0,), ()], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_finite_is_torchs_own_to_the_last_bit(dtype, weighted, shape, reduction):
    p, y, w = (draw(k, *shape).to(dtype) for k in range(3))
    plain = binary_cross_entropy(p, y, w if weighted else None, reduction=reduction)
    with nan_passes():
        passed = binary_cross_entropy(p, y, w if weighted else None, reduction=reduction)
    assert torch.equal(plain.nan_to_num(-1.0), passed.nan_to_num(-1.0))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_other_layouts_in_memory_are_kept_and_added_up_in_their_order(reduction):
    p, y = draw(0, 33, 5).t(), draw(1, 33, 5).t()
    plain = binary_cross_entropy(p, y, reduction=reduction)
    with nan_passes():
        passed = binary_cross_entropy(p, y, reduction=reduction)
    assert torch.equal(plain, passed)
    assert plain.stride() == passed.stride()


def test_threads_that_overlap_leave_nothing_behind():
    entered, left = threading.Event(), threading.Event()
    seen = []

    def longer():
        with nan_passes():
            entered.set()
            left.wait(10)
            seen.append(bool(binary_cross_entropy(torch.tensor([NAN]), torch.tensor([1.0])).isnan()))

    with nan_passes():
        other = threading.Thread(target=longer)
        other.start()
        entered.wait(10)
    left.set()
    other.join()
    assert seen == [True]
    assert raises()
    with nan_passes():
        assert binary_cross_entropy(torch.tensor([NAN]), torch.tensor([1.0])).isnan()


def test_nan_passes_with_its_slope_and_by_vmap():
    p = torch.tensor([[0.2, NAN], [0.4, 0.3]], requires_grad=True)
    y = torch.tensor([0.0, 1.0])
    with nan_passes():
        loss = torch.func.vmap(lambda row: binary_cross_entropy(row, y))(p)
    loss.sum().backward()
    assert loss.isnan().tolist() == [True, False]
    assert p.grad.isnan().tolist() == [[False, True], [False, False]]


def test_one_prediction_meets_many_targets_without_a_word_of_the_library(capfd):
    p, many = torch.tensor([0.2, NAN]), draw(3, 4, 2)
    with nan_passes():
        losses = torch.func.vmap(lambda y: binary_cross_entropy(p, y, reduction="none"))(many)
    assert losses.isnan().tolist() == [[False, True]] * 4
    assert torch.equal(losses[:, 0], binary_cross_entropy(p[:1].expand(4), many[:, 0], reduction="none"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("bad", [1.5, -0.1])
def test_what_is_no_probability_raises_as_ever(bad):
    with nan_passes(), pytest.raises(RuntimeError, match="between 0 and 1"):
        binary_cross_entropy(torch.tensor([bad]), torch.tensor([1.0]))


def raises():
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        binary_cross_entropy(torch.tensor([NAN]), torch.tensor([1.0]))
    return True


def test_torchs_own_kernel_is_back_afterwards_also_of_an_exception_and_where_code_is_run_as_in_training():
    with nan_passes(), nan_passes():
        assert not torch.isfinite(binary_cross_entropy(torch.tensor([NAN]), torch.tensor([1.0])))
        with quiet_numerics(0, validates=True):
            assert raises()
        assert not torch.isfinite(binary_cross_entropy(torch.tensor([NAN]), torch.tensor([1.0])))
    with pytest.raises(ZeroDivisionError), nan_passes():
        _ = 1 / 0
    assert raises()


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.decode = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x):
        mu, raw = self.encode(x).chunk(2, -1)
        return torch.sigmoid(self.decode(mu + raw.exp() * torch.randn_like(mu))), mu, raw


def bound(model, batch):
    x, _ = batch
    out, mu, raw = model(x)
    kl = -0.5 * (1 + 2 * raw - mu**2 - torch.exp(2 * raw)).sum()
    return binary_cross_entropy(out, x, reduction="sum") + kl


def test_an_autoencoder_that_ends_in_a_sigmoid_is_one_graph_and_no_alarm():
    x = (draw(4, 8, 6) > 0.5).float()
    report = nllcheck.check(bound, model=Autoencoder(), batch=(x, torch.arange(8)), effort="quick", points=33)
    assert report.facts.capture == "graph"
    assert [f.rule for f in report.findings if f.severity != "note"] == []
    assert any("The terms without target are the KL divergence" in note for note in report.notes)
