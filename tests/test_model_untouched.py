"""A check moves a model and runs it in train mode; afterwards it is what it was: numbers, objects and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nllcheck


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("shift", torch.full((3,), 1 / 3), persistent=False)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x))) + self.shift


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 3, batch_first=True)

    def forward(self, x):
        return self.cell(x[:, None])[0][:, 0]


MODELS = {
    "linear": lambda: nn.Linear(3, 3),
    "normed": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
    "tied, with a buffer": Tied,
    "recurrent": Recurrent,
}


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize("dtype", [None, "float16", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_left_as_it_is(name, dtype):
    torch.manual_seed(0)
    model, batch = MODELS[name](), (torch.randn(6, 3), torch.arange(6) % 3)
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    before, wanted = tensors_of(model), copy.deepcopy(tensors_of(model))
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    nllcheck.check(F.cross_entropy, model=model, batch=batch, dtype=dtype, effort="quick")
    after = tensors_of(model)
    assert all(after[n] is t for n, t in before.items())
    assert all(t.dtype == wanted[n].dtype and torch.equal(t, wanted[n]) for n, t in after.items())
    assert all(torch.equal(p.grad, gradients[n]) for n, p in model.named_parameters())
    F.cross_entropy(model(batch[0]), batch[1]).backward()


def test_a_model_that_the_check_refuses_is_left_as_it_is():
    model = nn.Linear(3, 3)
    with pytest.raises(nllcheck.NllcheckError):
        nllcheck.check(lambda output, target: 1 / 0, model=model, batch=(torch.randn(6, 3), None), dtype="float16")
    assert model.weight.dtype == torch.float32


class Holding(nn.Module):
    """A layer with a buffer of any kind, which may be counted up."""

    def __init__(self, buffer: torch.Tensor, counts: bool = False) -> None:
        super().__init__()
        self.layer, self.counts = nn.Linear(3, 3), counts
        self.register_buffer("held", buffer)

    def forward(self, x):
        if self.counts:
            with torch.no_grad():
                self.held += 1
        return self.layer(x) + (self.held @ x.T).T if self.held.layout != torch.strided else self.layer(x)


BUFFERS = {
    "sparse": lambda: Holding(torch.eye(3).to_sparse()),
    "compressed": lambda: Holding(torch.eye(3).to_sparse_csr()),
    "with a gradient": lambda: Holding(torch.zeros(3, requires_grad=True), counts=True),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_of_any_kind_stays_what_it_is(name):
    torch.manual_seed(0)
    model, batch = BUFFERS[name](), (torch.randn(6, 3), torch.arange(6) % 3)
    held = getattr(model, "held", torch.zeros(3)).detach().clone()
    report = nllcheck.check(F.cross_entropy, model=model, batch=batch, effort="quick")
    assert report.ok
    assert bool((getattr(model, "held", torch.zeros(3)).to_dense() == held.to_dense()).all())
