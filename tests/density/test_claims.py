"""Losses that look like likelihoods and are none by design, each beside one that is a faulty likelihood."""

from __future__ import annotations

import density_losses as losses
import pytest
import torch
import torch.nn.functional as F
from helpers import answer, captured

from nllcheck.check import check_function
from nllcheck.density.claims import _in_words, claims_likelihood


def test_a_weight_computed_from_targets_alone_may_have_either_sign():
    """Returns without their mean weigh the log-probabilities of a policy; divided by a scale they keep their sign."""

    def policy(mu, y, returns):
        weight = (returns - returns.mean()) / (returns.std() + 1e-8)
        return -((-0.5 * (y - mu) ** 2 - losses.HALF_LOG) * weight).mean()

    def scaled(mu, y, returns):
        weight = -returns / (returns.std() + 1e-8)
        return -((-0.5 * (y - mu) ** 2 - losses.HALF_LOG) * weight).mean()

    tensors = {"mu": losses.MU, "y": losses.Y, "returns": losses.MU.abs() + 1}
    for fn, severities in ((policy, ["note"]), (scaled, ["warning"])):
        report = check_function(fn, tensors, target=("y", "returns"), points=200)
        assert [f.severity for f in report.findings if f.kind == "unbounded"] == severities


def em_nll(mu, y):
    cost = 0.5 * (y[:, None] - mu) ** 2 + losses.HALF_LOG
    return (torch.softmax(-cost, 1).detach() * cost).sum(1).mean()


def soft_min_nll(mu, y):
    cost = 0.5 * (y[:, None] - mu) ** 2 + losses.HALF_LOG
    return (torch.softmax(-cost, 1) * cost).sum(1).mean()


def partial_likelihood(risk, y):
    return ((torch.logcumsumexp(risk, 0) - risk) * y).mean()


def one_sided_likelihood(risk, y):
    return (F.softplus(-risk) * y).mean()


def running_rate_nll(risk, y):
    rate = torch.exp(0.1 * torch.cumsum(risk, 0))
    return (2 * rate - y * torch.log(rate)).mean()


def log_likelihood_of_times(risk, y):
    hazard, survived = F.softplus(risk[:, 0]), F.softplus(risk[:, 1])
    return (survived - y * torch.log(hazard.clamp(min=1e-8))).mean()


def half_a_log_likelihood(risk, y):
    return (F.softplus(risk[:, 1]) - y * torch.log(torch.sigmoid(risk[:, 0]) + 1e-8)).mean()


def faulty_log_likelihood_of_counts(risk, y):
    rate = F.softplus(risk[:, 0])
    return (2 * rate + F.softplus(risk[:, 1]) - y * torch.log(rate + 1e-8)).mean()


WIDE = torch.randn(6, 3, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    ("fn", "moved", "count"),
    [(em_nll, WIDE, 0), (soft_min_nll, WIDE, 1), (partial_likelihood, WIDE[:, 0], 0),
     (one_sided_likelihood, WIDE[:, 0], 1), (running_rate_nll, WIDE[:, 0], 1),
     (log_likelihood_of_times, WIDE, 0), (half_a_log_likelihood, WIDE, 1), (faulty_log_likelihood_of_counts, WIDE, 1)],
    ids=lambda v: getattr(v, "__name__", None),
)  # fmt: skip
def test_what_is_no_likelihood_by_design_claims_none(fn, moved, count):
    """A weight whose gradient is held back (EM), and a target that only says who counts against those at risk (Cox), or
    whose time ends in an event."""
    tensors = {"mu" if "mu" in fn.__code__.co_varnames else "risk": moved}
    observed = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 1.0]) if "risk" in tensors else 0.5 * WIDE[:, 1]
    report = check_function(fn, {**tensors, "y": observed}, target="y", points=40)
    assert len([f for f in report.findings if f.kind == "wrong-density" and f.severity != "note"]) == count


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("FocalLoss", "Focal_Loss"),
        ("GaussianNLLLoss", "Gaussian_NLL_Loss"),
        ("MDNLoss", "MDN_Loss"),
        ("my_nll", "my_nll"),
    ],
)
def test_a_class_is_read_in_words(name, words):
    assert _in_words(name) == words


def weighed_down(logits, label):
    each = F.cross_entropy(logits, label, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def hard_ones_only(logits, label):
    each = F.cross_entropy(logits, label, reduction="none")
    return each[each > 1.0].sum() / 6


def of_squashed_scores(logits, label):
    return F.nll_loss(torch.tanh(logits), label)


@pytest.mark.parametrize(("fn", "count"), [(weighed_down, 0), (hard_ones_only, 0), (of_squashed_scores, 1)])
def test_a_likelihood_weighed_by_itself_claims_none(fn, count):
    tensors = {"logits": WIDE, "label": torch.tensor([0, 2, 1, 1, 0, 2])}
    report = check_function(fn, tensors, target="label", points=40)
    assert len([f for f in report.findings if f.kind == "wrong-density" and f.severity != "note"]) == count


class BetaNLLLoss:
    """Of the beta distribution; the class of that name that weighs a normal likelihood has no lgamma."""

    def __call__(self, raw, y):
        a, b = F.softplus(raw[:, 0]) + 0.5, F.softplus(raw[:, 1]) + 0.5
        norm = torch.lgamma(a) + torch.lgamma(b)
        return (norm - (a - 1) * torch.log(y) - (b - 1) * torch.log1p(-y)).mean()


def test_a_beta_distribution_is_no_weight_called_beta():
    tensors = {"raw": WIDE[:, :2], "y": torch.linspace(0.2, 0.8, len(WIDE))}
    report = check_function(BetaNLLLoss(), tensors, target="y", points=9, effort="quick")
    assert [f.rule for f in report.findings if f.kind == "wrong-density" and f.severity != "note"] != []


def words_nll(logits, y):
    return -(y * torch.log(torch.softmax(logits, -1) + 1e-10)).sum(1).mean()


def squashed_nll(logits, y):
    return -(y * torch.log(torch.sigmoid(logits) + 1e-10)).sum(1).mean()


@pytest.mark.parametrize(("fn", "name"), [(words_nll, "undecided"), (squashed_nll, "varies")])
def test_counts_that_share_a_total_are_not_summed_over_one_by_one(fn, name):
    """A document's words are multinomial given how many they are, and every document has another number of them."""
    counts = torch.tensor(
        [[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [1.0, 1.0, 0.0], [2.0, 2.0, 1.0], [0.0, 1.0, 0.0], [4.0, 0, 0]]
    )
    assert answer(fn, {"logits": WIDE, "y": counts}).name == name


ONE_HOT = torch.eye(3)[torch.tensor([0, 2, 1, 1, 0, 2])]


def divergence(alpha):
    total = alpha.sum(1, keepdim=True)
    means = ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(total))).sum(1)
    return torch.lgamma(total)[:, 0] - torch.lgamma(alpha).sum(1) + means


def dirichlet_risk(raw, y):
    alpha = F.softplus(raw) + 1
    beta = (alpha - 1) * (1 - y) + 1
    return ((y - alpha / alpha.sum(1, keepdim=True)) ** 2).sum(1).mean() + 0.1 * divergence(beta).mean()


def evidence_nll(raw, y):
    alpha = F.softplus(raw) + 1
    return ((y - alpha / alpha.sum(1, keepdim=True)) ** 2).sum(1).mean() + 0.1 * divergence(alpha).mean()


def dirichlet(raw, y):
    alpha = F.softplus(raw) + 1
    norm = torch.lgamma(alpha).sum(1) - torch.lgamma(alpha.sum(1))
    return (norm - ((alpha - 1) * torch.log(y + 0.1)).sum(1)).mean()


@pytest.mark.parametrize(("fn", "claims"), [(dirichlet_risk, False), (evidence_nll, True), (dirichlet, True)])
def test_a_posterior_that_a_divergence_is_taken_of_is_no_density_of_the_target(fn, claims):
    graph = captured(fn, {"raw": WIDE, "y": ONE_HOT}).graph
    assert claims_likelihood(graph, fn.__name__) == claims


def nll_without(question):
    def guarded_nll(mu, raw, y):
        loss = 0.5 * ((y - mu) / raw.exp()) ** 2 + 0.5 * raw
        return loss.masked_fill(question(loss), 0.0).mean()

    return guarded_nll


@pytest.mark.parametrize(
    ("question", "claims"),
    [
        (torch.isnan, True),
        (torch.isinf, True),
        (lambda loss: ~torch.isfinite(loss), True),
        (lambda loss: loss != loss, True),
        (lambda loss: loss < 0.5, False),
    ],
)
def test_a_guard_against_what_is_not_finite_takes_no_claim_back(question, claims):
    """What is below a half is left out on purpose, as in training on hard examples; what is NaN is an accident."""
    tensors = {"mu": losses.MU, "raw": 0.1 * losses.MU, "y": losses.Y}
    graph = captured(nll_without(question), tensors)
    assert claims_likelihood(graph.graph, "guarded_nll") == claims
