"""Parameters that all rows of a draw share: their part of log q is spread, however many numbers they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nllcheck import ops
from nllcheck.capture import capture
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.kl.divergences import divergences
from nllcheck.density.kl.rows import by_rows
from nllcheck.target import Target, split_batch


class Scaled(nn.Module):
    """A posterior whose draw is scaled by parameters of its own, as ActNorm does (Kingma and Dhariwal 2018)."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder, self.wide = nn.Linear(3, 2 * wide), nn.Linear(wide, 3), wide
        self.scale = nn.Parameter(torch.linspace(-0.2, 0.3, wide))


def bound(model, batch):
    x, y = batch
    mu, raw = model.encoder(x).chunk(2, -1)
    noise = torch.randn_like(mu)
    inner = mu + raw.exp() * noise
    z = torch.tanh(inner) * model.scale.exp()
    log_q = (-0.5 * noise**2 - raw - torch.log1p(-(torch.tanh(inner) ** 2) + 1e-9)).sum(-1)
    log_q = log_q - model.scale.sum()
    return (log_q + 0.5 * (z**2).sum(-1) + ((y - model.decoder(z)) ** 2).sum(-1)).mean()


@pytest.mark.parametrize("rows", [6, 8, 9])
@pytest.mark.parametrize("wide", [2, 3])
def test_a_scale_of_its_own_is_no_fault(rows, wide):
    made = torch.Generator().manual_seed(1)
    batch = split_batch((torch.randn(rows, 3, generator=made), torch.randn(rows, 3, generator=made)))
    graph = capture(Target("t", bound, "t", Scaled(wide), (batch,), "model"), batch)
    assert [d.name for d in divergences(graph)] in ([], ["kl"])


SHAPED = {  # node of the graph, its value for S settings, and what becomes of it with noise of (4, 6, 2)
    "scale": ((5, 2), (5, 4)),
    "own": ((5, 6, 2), None),
    "drawn": ((5, 4, 6, 2), (5, 4, 6, 2)),
}


@pytest.mark.parametrize("name", SHAPED)
def test_what_all_rows_share_is_spread_and_what_has_other_rows_is_refused(name):
    def loss(model, batch):
        x, _ = batch
        own = model.encoder(x)[:, :2]
        drawn = own + torch.randn(4, len(x), 2)
        return drawn.square().mean() + own.sum() + model.scale.sum()

    batch = split_batch((torch.randn(6, 3), torch.randn(6, 3)))
    graph = capture(Target("t", loss, "t", Scaled(2), (batch,), "model"), batch).graph
    noise, term = (next(n.index for n in graph.nodes if found(n)) for found in (is_noise, lambda n: n.name == name))
    given, made = SHAPED[name]
    if made is None:
        with pytest.raises(UndecidedError):
            by_rows(graph, noise, (4, 6, 2), {term: torch.ones(given)})
        return
    told = by_rows(graph, noise, (4, 6, 2), {term: torch.ones(given)})[term]
    assert told.shape == made and float(told.sum()) == pytest.approx(float(torch.ones(given).sum()))


def is_noise(node):
    return ops.row(node.op).kind == "random"
