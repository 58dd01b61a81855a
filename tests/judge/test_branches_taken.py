"""Code that branches on a truth value: nothing behind the branch is told of values with which it goes another way."""

from __future__ import annotations

import pytest
import torch

import nllcheck

S = torch.tensor([0.3, -1.2, 2.0, 1.0, 0.2, -0.4])


def guarded_division(s):
    near = (s < 1.5).float()
    count = near.sum()
    return (s * near).sum() / count if count > 0 else s.sum() * 0


def guarded_root(s):
    total = s.square().sum()
    if bool(total == 0):
        return total
    return total.sqrt()


def guarded_log(s):
    top = s.abs().exp().max()
    return top.log() if torch.isfinite(top) else 0 * s.sum()  # exp has overflowed before anything is asked


def bare_division(s):
    near = (s < 1.5).float()
    return (s * near).sum() / near.sum()


def asked_of_another(s):
    near = (s < 1.5).float()
    scale = 1.0 if s.mean() > 50 else 2.0
    return scale * (s * near).sum() / near.sum()  # none is near long before the mean is 50


def stopped(s):
    loss = (s * s).exp().sum()
    if torch.isnan(loss) or torch.isinf(loss):
        loss = 0 * s.sum()
    return loss


CASES = {guarded_division: None, guarded_root: None, guarded_log: "exp", bare_division: "div",
         asked_of_another: "div", stopped: "exp"}  # fmt: skip


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_what_fails_is_what_the_code_runs_there(loss):
    report = nllcheck.check_function(loss, {"s": S})
    assert report.facts.capture == "graph"
    broken = {f.op for f in report.findings if f.kind in ("nan", "inf")}
    assert broken == ({CASES[loss]} if CASES[loss] else set())


def sparse(s):
    """Minus the largest share of a sparsemax (Martins and Astudillo, arXiv:1602.02068, algorithm 1): of infinities no
    rank is in the support, and the code reads place -1 and raises."""
    z = s - s.max()
    falling = z.sort(descending=True)[0]
    ranks = torch.arange(1, len(s) + 1).to(s)
    support = (1 + ranks * falling > falling.cumsum(0)).sum()
    threshold = (falling.cumsum(0).gather(0, support[None] - 1) - 1) / support
    return 1 - (z - threshold).clamp(min=0).max()


TABLE = torch.linspace(0, 1, 10)


def looked_up(s):
    place = ((s + 3) * 1.5).floor().long()
    return ((s - TABLE[place]) ** 2).sum()


def looked_up_in_rows(s):
    place = ((s + 3) * 1.5).floor().long()
    return ((s - torch.nn.functional.embedding(place, TABLE[:, None])[:, 0]) ** 2).sum()


def counted_in(s):
    place = ((s + 3) * 1.5).floor().long()
    weight = s.tanh() + 2
    return (torch.zeros(10).scatter_add(0, place, weight).clamp(min=0.1).log() * TABLE).sum()


@pytest.mark.parametrize("loss", [sparse, looked_up, looked_up_in_rows, counted_in], ids=lambda f: f.__name__)
def test_one_point_where_a_place_is_out_of_bounds_does_not_end_the_sweep(loss):
    with pytest.raises((RuntimeError, IndexError), match=r"out of|out-of"):
        loss(torch.full((6,), float("inf")))
    report = nllcheck.check_function(loss, {"s": S})
    assert report.facts.capture == "graph"
    assert not [f for f in report.findings if f.severity != "note"]
