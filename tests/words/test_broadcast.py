"""Predictions in a column against targets in a row: a warning, unless the loss says that it wants all pairs."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F

from nllcheck.capture import capture
from nllcheck.diagnose.broadcast import paired
from nllcheck.target import Target, split_batch

DRAW = torch.Generator().manual_seed(0)
ROWS = 6


def by_hand(o, t):
    return (0.5 * (t - o) ** 2).mean()


def by_library(o, t):
    return F.mse_loss(o, t)


def by_distribution(o, t):
    return -torch.distributions.Normal(F.softplus(o), 1.0).log_prob(t).mean()


def of_a_channel(o, t):
    return (0.5 * (t - o[:, :1]) ** 2).mean()


def squeezed(o, t):
    return ((o.squeeze(1) - t) ** 2).mean()


def raised(o, t):
    return ((o - t[:, None]) ** 2).mean()


def all_pairs_meant(o, t):
    return (o[:, 0][:, None] - t).abs().mean() - 0.5 * (o - o.T).abs().mean()


def viewed(o, t):
    return ((o.view(-1, 1) - t) ** 2).mean()


def of_labels(o, t):
    return F.cross_entropy(torch.cat([o, -o], 1), (t > 0).long())


def of_outputs(o, t):
    return (o - o[:, 0]).abs().mean() + t.mean()


def weighed_alike(o, t):
    return (o * (t > -9).float()).mean()


def energy_distance(o, t):
    return (o - t).abs().mean() - 0.5 * (o - o.T).abs().mean()


def share_below(o, t):
    return (torch.sigmoid(o) - (o < t).float()).pow(2).mean()


def of_grid(o, t):
    return (torch.linspace(-1, 1, len(t)) - t[:, None]).abs().mean() + o.mean()


def long_chain(o, t):
    for _ in range(60):
        o = o + 0.01 * torch.sin(o)
    return ((o.squeeze(1) - t) ** 2).mean()


def long_chain_of_columns(o, t):
    for _ in range(60):
        o = o + 0.01 * torch.sin(o)
    return ((o - t) ** 2).mean()


WRONG = {
    by_hand: "sub",
    by_library: "mse_loss",
    by_distribution: "sub",
    of_a_channel: "sub",
    long_chain_of_columns: "sub",
}
RIGHT = (
    squeezed,
    raised,
    all_pairs_meant,
    viewed,
    of_labels,
    of_outputs,
    weighed_alike,
    energy_distance,
    share_below,
    of_grid,
    long_chain,
)


def found(loss, shape=(ROWS,), width=1):
    batch = split_batch((torch.randn(ROWS, 3, generator=DRAW), torch.randn(shape, generator=DRAW)))
    torch.manual_seed(0)
    made = Target("t", loss, "t", torch.nn.Linear(3, width), (batch,))
    with warnings.catch_warnings(action="ignore"):  # torch has one for its own losses
        graph = capture(made, batch)
        return paired(graph.graph, graph.uniform)


@pytest.mark.parametrize("loss", WRONG)
def test_every_prediction_against_every_target(loss):
    (one,) = found(loss, width=2 if loss is of_a_channel else 1)
    assert (one.rule, one.severity, one.verdict, one.op) == ("NLL715", "warning", "wrong-formula", WRONG[loss])
    assert one.site.function == loss.__name__
    assert ", of shape (6, 1), meets target, of shape (6,): broadcast to 6 x 6, every" in one.message


@pytest.mark.parametrize("loss", RIGHT)
def test_what_is_meant_or_of_one_shape_is_silent(loss):
    assert found(loss) == []


class Components(torch.nn.Module):
    """As many means as there are samples, by chance, and no function of the data."""

    def __init__(self):
        super().__init__()
        self.means = torch.nn.Parameter(torch.randn(ROWS, generator=DRAW))

    def forward(self, x):
        return self.means


def test_means_of_a_mixture_are_no_predictions():
    def mixture(means, t):
        return -torch.logsumexp(-0.5 * (t - means) ** 2, 1).mean()

    batch = split_batch((torch.randn(ROWS, 3, generator=DRAW), torch.randn(ROWS, 1, generator=DRAW)))
    graph = capture(Target("t", mixture, "t", Components(), (batch,)), batch)
    assert paired(graph.graph, graph.uniform) == []


@pytest.mark.parametrize("loss", [by_hand, by_library])
def test_two_columns_are_silent(loss):
    assert found(loss, (ROWS, 1)) == []


def squeezed_in_vain(o, t):
    risk = o.reshape(-1, 1) - torch.logcumsumexp(o[:, 0], 0)
    return -(risk.squeeze(1) * t).mean()


def squeezed_to_a_row(o, t):
    risk = o.reshape(-1, 1) - torch.logcumsumexp(o, 0)
    return -(risk.squeeze(1) * t).mean()


def of_a_kernel(o, t):
    apart = (o - o.squeeze(-1)).squeeze(-1)
    return (torch.exp(-0.5 * apart**2) @ t).square().mean()


def of_scaled_frequencies(o, t):
    wave = torch.sin((t[:, None] * torch.linspace(1, 2, len(t))).squeeze(1))
    return (o * wave).mean()


@pytest.mark.parametrize(
    ("loss", "told"),
    [(squeezed_in_vain, [("sub", "and squeeze leaves it so.")]), (squeezed_to_a_row, []), (of_a_kernel, []),
     (of_scaled_frequencies, [])],
)  # fmt: skip
def test_a_squeeze_that_squeezes_nothing_expected_a_column(loss, told):
    assert [(one.op, one.message[-25:]) for one in found(loss)] == told
