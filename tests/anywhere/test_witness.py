"""A finding says all that it takes to see the failure again, in a few lines of plain torch."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

import nllcheck


def draw(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def log_of_softmax(x, y):
    return -(y * torch.log(torch.softmax(x, -1))).sum(-1).mean()


def linear_pdf(mu, sigma, y):
    return -torch.log(torch.exp(-0.5 * ((y - mu) / sigma) ** 2) / sigma).mean()


def cosine(a, b):
    return 1 - ((a * b).sum(1) / (a.norm(dim=1) * torch.sqrt((b**2).sum(1)))).mean()


def small_circle(x):
    return -torch.log((x[:, 0] - 1.2345) ** 2 + (x[:, 1] + 0.777) ** 2 - 1e-6).mean()


def gated(p, raw):
    return torch.log(1 + torch.exp(p * raw)).mean()


def masked_mean(x, y, mask):
    return ((x - y) ** 2 * mask).sum() / mask.sum()


def checked(rate, y):
    return -torch.distributions.Poisson(F.softplus(rate) - 1e-3).log_prob(y).mean()


ROWS = draw(6, 3)
CASES: tuple[tuple[Callable[..., torch.Tensor], dict[str, torch.Tensor], tuple[str, ...]], ...] = (
    (log_of_softmax, {"x": ROWS, "y": torch.eye(3)[[0, 1, 2, 0, 1, 2]]}, ("y",)),
    (linear_pdf, {"mu": draw(6), "sigma": draw(6).abs() + 0.3, "y": draw(6, seed=4)}, ("y",)),
    (cosine, {"a": ROWS, "b": draw(6, 3, seed=9)}, ()),
    (small_circle, {"x": draw(4, 2)}, ()),
    (gated, {"p": 0.1 + 0.2 * torch.sigmoid(draw(6)), "raw": draw(6)}, ()),
    (masked_mean, {"x": draw(6), "y": draw(6, seed=4), "mask": torch.tensor([1.0, 0, 1, 1, 0, 1])}, ("y", "mask")),
    (checked, {"rate": 3 * draw(6), "y": torch.tensor([0.0, 1, 2, 0, 4, 1])}, ("y",)),
)


def again(report, finding, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors at which a finding was made: what its axis' words and values say, and nothing else."""
    made = {name: t.clone() for name, t in tensors.items()}
    axis = next((t.axis for t in report.sweeps if t.axis.label == finding.axis), None)
    for move in axis.moves if axis else ():
        made[move.name.partition("[")[0]].view(-1)[move.position] = move.end
    words = finding.axis or ""
    if found := re.fullmatch(r"a batch with (\w+) = (\S+) throughout", words):
        made[found[1]].fill_(float(found[2]))
    elif found := re.fullmatch(r"a batch with (\w+) = (\S+) where it is masked out", words):
        made[found[1]][made["mask"] == 0] = float(found[2])
    elif found := re.fullmatch(r"(\w+) equals (\w+)", words):
        made[found[1]].copy_(made[found[2]])
    elif found := re.fullmatch(r"the first row of (\w+) is 0", words):
        made[found[1]][0] = 0
    elif found := re.fullmatch(r"the first rows of (\w+) and (\w+) are equal", words):
        made[found[1]][0] = made[found[2]][0]
    elif finding.witness is not None:
        name, _, channel = finding.axis.partition("[..., ")
        scaled, factor = name.endswith(" × scale"), finding.witness
        part = made[name.removesuffix(" × scale")]
        part = part[..., int(channel[:-1])] if channel else part
        part.mul_(factor) if scaled else part.fill_(factor)
    return made


def fails(loss, tensors: dict[str, torch.Tensor], targets: tuple[str, ...]) -> str:
    leaves = [t.requires_grad_() for name, t in tensors.items() if name not in targets]
    try:
        value = loss(**tensors)
    except ValueError:
        return "raises"
    gradients = torch.autograd.grad(value, leaves, allow_unused=True)
    finite = all(bool(torch.isfinite(g).all()) for g in (value.detach(), *gradients) if g is not None)
    return "" if finite else "not finite"


@pytest.mark.parametrize(("loss", "tensors", "targets"), CASES, ids=[c[0].__name__ for c in CASES])
def test_every_failure_is_seen_again_in_plain_torch(loss, tensors, targets):
    report = nllcheck.check_function(loss, tensors, target=targets, points=60)
    told = [f for f in report.findings if f.kind in ("nan", "inf", "raises")]
    assert told
    assert not fails(loss, {n: t.clone() for n, t in tensors.items()}, targets)
    for finding in told:
        boundary = finding.axis is None or not any(
            t.axis.label == finding.axis and not t.axis.is_boundary for t in report.sweeps
        )
        if boundary:
            seen = fails(loss, again(report, finding, tensors), targets)
            assert seen and (finding.kind != "raises" or seen == "raises"), finding  # others may raise before they fail


def test_the_command_of_a_finding_finds_it_again():
    loss, tensors, targets = CASES[0]
    first = nllcheck.check_function(loss, tensors, target=targets, points=60).findings[0]
    given = re.search(r"sweep=(\{.*\})", first.command)
    assert given
    name, low, high = re.fullmatch(r"\{'(.*)': \((\S+), (\S+)\)\}", given[1]).groups()
    second = nllcheck.check_function(loss, tensors, target=targets, sweep={name: (float(low), float(high))}).findings[0]
    assert all(getattr(second, name) == getattr(first, name) for name in ("rule", "op", "site", "threshold"))
