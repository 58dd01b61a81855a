"""A loss without a target that is called a likelihood is read as a density of what its model is given."""

import functools
import math

import pytest
import torch

import nllcheck
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.inputs import of_inputs
from nllcheck.target import Target, split_batch

NORMALISER = math.log(2 * math.pi)


class Flow(torch.nn.Module):
    """Two affine couplings of two numbers (Dinh et al. 2017, eq. 7 and 8)."""

    def __init__(self, sign: float = -1.0):
        super().__init__()
        torch.manual_seed(0)
        self.sign = sign
        self.nets = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.Linear(1, 12), torch.nn.Tanh(), torch.nn.Linear(12, 2)) for _ in range(2)
        )

    def forward(self, x):
        a, b = x[:, :1], x[:, 1:]
        log_det = torch.zeros(len(x))
        for net in self.nets:
            log_scale, shift = torch.tanh(net(a)).unbind(1)
            a, b = (b - shift[:, None]) * torch.exp(-log_scale)[:, None], a
            log_det = log_det + self.sign * log_scale
        return torch.cat([a, b], 1), log_det


def nll(model, x):
    z, log_det = model(x)
    return (0.5 * (z**2).sum(1) + NORMALISER - log_det).mean()


def nll_without_half(model, x):
    z, log_det = model(x)
    return ((z**2).sum(1) + NORMALISER - log_det).mean()


def noisy_nll(model, x):
    z, log_det = model(x + 0.1 * torch.randn_like(x))
    return (0.5 * (z**2).sum(1) + NORMALISER - log_det).mean()


def energy(model, x):
    return nll(model, x)


def of(loss, sign=-1.0, **options):
    batch = torch.randn(20, 2, generator=torch.Generator().manual_seed(2))
    return nllcheck.check(loss, model=Flow(sign), batch=batch, **options)


def density_rules(report):
    return [(f.rule, f.verdict) for f in report.findings if f.severity != "note" and f.rule.startswith("NLL7")]


def test_a_flow_is_a_proper_likelihood_and_that_is_told():
    report = of(nll)
    assert density_rules(report) == []
    assert any("A proper likelihood: Z" in note for note in report.notes)
    assert any("no target, so it is read as a density of what the model is given." in note for note in report.notes)


def test_a_flow_with_the_wrong_sign_of_its_determinant_is_none():
    assert density_rules(of(energy, sign=1.0, nll=True, effort="quick")) == [("NLL700", "wrong-formula")]


def labelled_nll(model, batch):
    return nll(model, batch[0])


def test_labels_that_the_loss_does_not_read_are_no_targets():
    batch = split_batch((torch.randn(20, 2, generator=torch.Generator().manual_seed(2)), torch.zeros(20)))
    graph = capture(Target("t", labelled_nll, "nll", Flow(), (batch,), style="model"), batch)
    own = of_inputs(graph)
    assert own is not None and [graph.graph.nodes[k].name for k in own.graph.targets] == ["input"]


class Scales(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = torch.nn.Parameter(torch.tensor([0.2, -0.1]))

    def forward(self, x):
        return x * torch.exp(-self.raw), -self.raw.sum()


def scaled_nll(model, x, sign=1.0):
    z, log_det = model(x)
    return (0.5 * z**2 + 0.5 * NORMALISER).sum(1).mean() - sign * log_det


@pytest.mark.parametrize(("sign", "name"), [(1.0, "proper"), (-1.0, "varies")])
def test_a_determinant_that_all_rows_share_is_a_whole_rows(sign, name):
    batch = split_batch(torch.randn(12, 2, generator=torch.Generator().manual_seed(2)))
    loss = functools.partial(scaled_nll, sign=sign)
    graph = capture(Target("t", loss, "nll", Scales(), (batch,), style="model"), batch)
    assert density(graph, (), "scaled_nll").name == name


def test_a_constant_that_is_missing_is_told_as_one():
    report = of(nll_without_half, effort="quick")
    said = [*report.notes, *(f.message for f in report.findings)]
    assert any("0.5" in text and "Z" in text for text in said)


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x)


def packed_nll(model, rows):
    """Of the second column, given the first."""
    return (0.5 * (rows[:, 1:] - model(rows[:, :1])) ** 2 + 0.5 * NORMALISER).mean()


def test_a_density_of_some_of_the_data_given_the_rest_is_no_alarm():
    batch = torch.randn(12, 2, generator=torch.Generator().manual_seed(2))
    report = nllcheck.check(packed_nll, model=Line(), batch=batch, effort="quick")
    assert density_rules(report) == []


@pytest.mark.parametrize("loss", [noisy_nll, energy])
def test_a_bound_and_what_claims_nothing_are_left_alone(loss):
    report = of(loss, sign=1.0, effort="quick")
    assert density_rules(report) == []
    assert any("density test" in reason and "no target" in reason for reason in report.skipped)
