"""The test as its user meets it: alarms only for what claims to be a likelihood, and words with numbers."""

from __future__ import annotations

import math

import density_losses as losses
import pytest
import torch
import torch.nn.functional as F
from helpers import answer

from nllcheck.check import check_function
from nllcheck.errors import NllcheckError

ALARMS = (
    losses.nll_without_log_sigma, losses.nll_sigma_for_log_sigma, losses.nll_variance_twice, losses.nll_without_half,
    losses.bivariate_nll_without_correlation, losses.nll_of_logits, losses.nll_of_probabilities,
    losses.gamma_nll_rate_missing, losses.poisson_nll_rate_missing, losses.bernoulli_nll_one_sided,
)  # fmt: skip
QUIET = (
    losses.gaussian_nll, losses.gaussian_nll_with_decay, losses.torch_not_full, losses.mse, losses.huber,
    losses.quantile_loss, losses.bivariate_nll, losses.cross_entropy, losses.ignoring, losses.smoothed,
    losses.class_weights, losses.focal, losses.hinge, losses.bce, losses.poisson_log_input, losses.gamma_nll,
    losses.log_normal_nll_without_jacobian, losses.infonce,
)  # fmt: skip
TENSORS = {case[0]: case[1] for case in losses.CASES}


def alarms(fn, **options):
    report = check_function(fn, TENSORS[fn], target="y", points=40, effort="quick", **options)
    kinds = ("wrong-density", "unbounded", "negative-nll")
    return [f for f in report.findings if f.kind in kinds and f.severity != "note"]


@pytest.mark.parametrize("fn", ALARMS, ids=lambda f: f.__name__)
def test_a_likelihood_that_is_none_is_an_alarm_with_its_z(fn):
    found = [f for f in alarms(fn) if f.kind == "wrong-density"]
    assert len(found) == 1
    assert " Z, the " in found[0].message or " to 1 over " in found[0].message
    assert found[0].site.path == losses.__file__


@pytest.mark.parametrize("fn", QUIET, ids=lambda f: f.__name__)
def test_correct_losses_and_those_that_claim_nothing_draw_no_alarm(fn):
    assert alarms(fn) == []


def nll_of_counts_without_coefficient(x, y):
    return -(1.5 * F.logsigmoid(-x) + y * F.logsigmoid(x)).mean()


def nll_of_geometric_counts(x, y):
    return -(F.logsigmoid(-x) + y * F.logsigmoid(x)).mean()


def nll_of_measured_whole_numbers(x, y):
    return -torch.distributions.Gamma(F.softplus(x) + 0.5, F.softplus(x) + 0.5).log_prob(y + 0.5).mean()


@pytest.mark.parametrize(
    ("fn", "is_wrong"),
    [
        (nll_of_counts_without_coefficient, True),
        (nll_of_geometric_counts, False),
        (nll_of_measured_whole_numbers, False),
    ],
)
def test_whole_numbers_are_no_excuse_where_nothing_makes_a_likelihood(fn, is_wrong):
    y = torch.tensor([0.0, 3.0, 1.0, 2.0, 0.0, 5.0])
    report = check_function(fn, {"x": torch.linspace(-1.5, 1.0, 6), "y": y}, target="y", points=9, effort="quick")
    assert [f.rule for f in report.findings if f.kind == "wrong-density"] == ["NLL700"] * is_wrong


def test_the_user_can_claim_for_a_loss():
    assert alarms(losses.focal) == []
    assert [f.kind for f in alarms(losses.focal, nll=True)] == ["wrong-density"]


def negative(fn, tensors):
    report = check_function(fn, tensors, target="y", points=40, effort="quick")
    return next(f for f in report.findings if f.kind == "negative-nll")


def test_a_negative_density_says_why_it_may_be():
    y = torch.tensor([0.2, -0.4, 1.1, 0.7])

    def nll(mu, log_sigma, y):
        return (0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2 + log_sigma + losses.HALF_LOG).mean()

    found = negative(nll, {"mu": y.clone(), "log_sigma": torch.full((4,), math.log(0.05)), "y": y})
    assert found.severity == "note"
    assert found.verdict == "legitimate"
    assert "Z = 1, and it reaches 7.98 at an observed target" in found.message


def test_a_negative_loss_of_labels_is_an_error():
    found = negative(losses.nll_of_probabilities, losses.LOGITS)
    assert (found.severity, found.verdict) == ("error", "wrong-formula")


def test_minus_a_divergence_has_no_minimum():
    def elbo(mu, log_var, y):
        return (0.5 * (y - mu) ** 2 + 0.5 * (1 + log_var - torch.exp(log_var))).sum()

    report = check_function(
        elbo, {"mu": losses.MU, "log_var": losses.RAW, "y": losses.Y}, target="y", points=200, effort="quick"
    )
    found = [f for f in report.findings if f.kind == "unbounded"]
    assert [(f.severity, f.rule, f.reference) for f in found] == [("warning", "NLL707", "exact")]
    assert "log_var" in found[0].message


def test_an_advantage_of_either_sign_may_take_the_loss_anywhere():
    """A policy gradient pushes away from bad actions without end; a weight that only scales is no such thing."""

    def policy(mu, y, advantage):
        log_prob = -0.5 * (y - mu) ** 2 - losses.HALF_LOG
        return -(log_prob * advantage).mean()

    for advantage, severities in ((losses.MU - losses.MU.mean() - 0.1, ["note"]), (losses.MU.abs() - 10, ["warning"])):
        tensors = {"mu": losses.MU, "y": losses.Y, "advantage": advantage}
        report = check_function(policy, tensors, target=("y", "advantage"), points=200, effort="quick")
        assert [f.severity for f in report.findings if f.kind == "unbounded"] == severities


def test_shares_of_classes_are_no_density_over_the_simplex():
    """A cross entropy with soft labels is the mean of each class' own: Z is summed over the classes."""

    def cross_entropy(logits, share):
        return -(share * torch.log_softmax(logits, -1)).sum(-1).mean()

    def not_normalised(logits, share):
        return -(share * logits).sum(-1).mean()

    generator = torch.Generator().manual_seed(3)
    tensors = {n: torch.randn(6, 4, generator=generator) for n in ("logits", "share")}
    tensors["share"] = torch.softmax(tensors["share"], -1)
    for fn, alarms in ((cross_entropy, 0), (not_normalised, 1)):
        report = check_function(fn, tensors, target="share", points=40, effort="quick", nll=True)
        assert len([f for f in report.findings if f.kind == "wrong-density" and f.severity != "note"]) == alarms


def test_the_risk_of_a_posterior_claims_no_likelihood():
    """E[-log p] under a Dirichlet is a bound; a KL beside a likelihood leaves that what it is."""

    def dirichlet_risk(raw, y):
        alpha = torch.nn.functional.softplus(raw) + 1
        return (y * (torch.digamma(alpha.sum(1, keepdim=True)) - torch.digamma(alpha))).sum(1).mean()

    def dirichlet_nll_of_probabilities(raw, y):
        alpha = torch.nn.functional.softplus(raw) + 1
        return -(y * torch.softmax(raw, 1)).sum(1).mean() + 0.1 * (alpha * torch.digamma(alpha)).sum()

    raw = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    tensors = {"raw": raw, "y": torch.eye(4)[torch.arange(6) % 4]}
    for fn, alarms in ((dirichlet_risk, 0), (dirichlet_nll_of_probabilities, 1)):
        report = check_function(fn, tensors, target="y", points=40, effort="quick")
        assert len([f for f in report.findings if f.kind == "wrong-density" and f.severity != "note"]) == alarms


def test_a_score_claims_no_likelihood_and_a_skewed_density_does():
    """The CRPS of a normal (Gneiting & Raftery 2007, eq. 21) holds its density and its distribution function."""

    def parts(mu, raw, y):
        sigma = torch.nn.functional.softplus(raw) + 0.1
        z = (y - mu) / sigma
        return sigma, z, torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)

    def crps(mu, raw, y):
        sigma, z, pdf = parts(mu, raw, y)
        return (sigma * (z * torch.erf(z / math.sqrt(2)) + 2 * pdf - 1 / math.sqrt(math.pi))).mean()

    def skewed(mu, raw, y):
        _, z, pdf = parts(mu, raw, y)
        return -(torch.log(pdf) + torch.log(1 + torch.erf(z / math.sqrt(2)))).mean()

    tensors = {"mu": losses.MU, "raw": losses.RAW, "y": losses.Y}
    for fn, count in ((crps, 0), (skewed, 1)):
        report = check_function(fn, tensors, target="y", points=40, effort="quick")
        assert len([f for f in report.findings if f.kind == "wrong-density" and f.severity != "note"]) == count


def test_labels_that_are_weighted_with_both_signs_may_take_the_loss_below_zero():
    def returns(logits, y):
        gain = y @ torch.tensor([1.0, -0.5, 0.3])
        return -((torch.softmax(logits, -1) * y).sum(-1).clamp(min=1e-20).log() * gain).mean()

    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    report = check_function(
        returns, {"logits": logits, "y": torch.eye(3)[torch.arange(6) % 3]}, target="y", points=200, effort="quick"
    )
    assert [f.severity for f in report.findings if f.kind == "negative-nll"] in (["note"], [])


@pytest.mark.parametrize(("options", "message"), [
    ({"support": "simplx"}, "unknown support 'simplx'"),
    ({"support": "3:1"}, "unknown support '3:1'"),
    ({"base_measure": "1/z!"}, "unknown base measure '1/z!'"),
])  # fmt: skip
def test_bad_options_are_one_error(options, message):
    with pytest.raises(NllcheckError, match=message):
        check_function(losses.mse, losses.GAUSS, target="y", **options)


def test_a_loss_without_target_is_skipped_with_the_reason():
    report = check_function(lambda mu: (mu**2).mean(), {"mu": losses.MU}, points=40)
    assert any("density test" in text and "no target" in text for text in report.skipped)


def test_a_truncated_density_is_tested_where_it_lives():
    found = answer(losses.truncated_nll, losses.POSITIVE)
    assert (found.support, found.left_out) == ("positive", ())


def test_a_stated_support_and_base_measure_are_taken():
    assert answer(losses.gaussian_nll, losses.GAUSS, support="positive").name == "varies"
    inside = answer(losses.truncated_to_an_interval, losses.BOUNDED, support="-3.5:4.5")
    assert (inside.name, inside.support, inside.why_support) == ("proper", "interval", "as asked, -3.5:4.5")
    found = answer(losses.poisson_log_input, losses.COUNTS, base_measure="1/y!")
    assert (found.name, found.factor) == ("target-factor", "1/y!")


def test_the_same_answer_twice():
    first, second = (
        check_function(losses.bivariate_nll, losses.PLANE, target="y", points=40, effort="quick") for _ in range(2)
    )
    assert first.to_json() == second.to_json()


def test_what_stops_a_picture_is_told_and_takes_no_verdict_with_it(monkeypatch):
    def broken(found):
        raise KeyError("a bug")

    monkeypatch.setattr("nllcheck.density.answer.curves", broken)
    report = check_function(losses.gaussian_nll, losses.GAUSS, target="y", points=9)
    assert any("A proper likelihood" in note for note in report.notes)
    assert "curves of Z: because KeyError: 'a bug'" in report.skipped
