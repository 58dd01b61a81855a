"""Which op a loss that is no likelihood is laid to: the formula, not the mean over samples that hands it on."""

from __future__ import annotations

import pytest
import torch

from nllcheck.capture import capture
from nllcheck.diagnose.density import densities
from nllcheck.target import Batch, Target
from nllcheck.types import Density

DRAW = torch.Generator().manual_seed(0)
GIVEN = {name: torch.randn(6, 3, generator=DRAW) for name in ("mu", "s", "y")}
KEPT = (torch.rand(6, 3, generator=DRAW) > 0.3).float()


def formula(mu, s, y):
    return (y - mu) ** 2 * torch.exp(-s) + s


def averaged(mu, s, y, kept):
    return formula(mu, s, y).mean()


def masked(mu, s, y, kept):
    return (formula(mu, s, y) * kept).sum() / kept.sum()


def selected(mu, s, y, kept):
    return torch.where(kept > 0, formula(mu, s, y), 0.0).sum(-1).mean()


def negated(mu, s, y, kept):
    return -(-formula(mu, s, y)).sum(1).mean()


def of_two_terms(mu, s, y, kept):
    return formula(mu, s, y).mean() + (y * mu).mean()


@pytest.mark.parametrize(
    ("loss", "op", "place"),
    [(averaged, "add", formula), (masked, "add", formula), (selected, "add", formula), (negated, "neg", negated),
     (of_two_terms, "add", of_two_terms)],
    ids=lambda v: getattr(v, "__name__", v),
)  # fmt: skip
def test_it_is_what_is_averaged_behind_a_mask(loss, op, place):
    tensors = {**GIVEN, "kept": KEPT}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("t", loss, "nll", None, (batch,), "function", target_names=("y", "kept")), batch).graph
    (found,) = densities(graph, Density("varies", "no likelihood", claims=True, low=0.5, high=2.0), ())
    assert (found.op, found.site.function) == (op, place.__name__)
