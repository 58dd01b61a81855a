"""KL terms against the posterior that the code draws from: right ones told with their weight, mutants told apart."""

from __future__ import annotations

import pytest
import torch
from helpers import captured
from torch import distributions as D

from nllcheck.check import check_function
from nllcheck.density.kl.divergences import divergences
from nllcheck.density.kl.normals import fitted

N = 10


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


BATCH = {"mu": draw(0, N, 2), "raw": 0.3 * draw(1, N, 2) - 1, "y": draw(2, N, 2)}


def half(raw):
    return torch.exp(0.5 * raw)


def elbo(term, scale=half):
    """Squared error of a reparameterised sample, and a term of (mu, raw, z)."""

    def loss(mu, raw, y):
        z = mu + scale(raw) * torch.randn_like(raw)
        return (0.5 * (y - z) ** 2).sum(-1).mean() + term(mu, raw, z).sum(-1).mean()

    return loss


def closed(mu, raw, z):
    return -0.5 * (1 + raw - mu**2 - torch.exp(raw))


def drawn(mu, raw, z):
    return D.Normal(mu, half(raw)).log_prob(z) - D.Normal(0.0, 1.0).log_prob(z)


def library(mu, raw, z):
    return D.kl_divergence(D.Normal(mu, half(raw)), D.Normal(0.5, 2.0))


def turned_round(mu, raw, z):
    return D.kl_divergence(D.Normal(0.5, 2.0), D.Normal(mu, half(raw)))


# term, scale in the sampler, the answer, and what its text holds
CASES = {
    "closed form": (closed, half, "kl", "are the KL divergence"),
    "drawn": (drawn, half, "kl", "one draw of it: standard deviation"),
    "library": (library, half, "kl", "from N(0.5, 2^2)"),
    "one of M": (lambda *a: closed(*a) / 3, half, "kl", "are 0.3333 times the KL divergence"),
    "floor in the sampler alone": (drawn, lambda raw: half(raw) + 1e-5, "kl", "The sampler adds 1e-05 to sigma"),
    "wrong sign": (lambda *a: -closed(*a), half, "reversed", "has the wrong sign: it is minus the divergence"),
    "wrong sign, drawn": (lambda *a: -drawn(*a), half, "reversed", "has the wrong sign"),
    "sigma for its square": (
        lambda mu, raw, z: -0.5 * (1 + raw - mu**2 - half(raw)), half, "none", "sigma 0.5"),
    "mu with another weight": (
        lambda mu, raw, z: -0.5 * (1 + raw - 2 * mu**2 - torch.exp(raw)), half, "none", "sigma^2 0.5, mu^2 1"),
    "plus mu^2": (lambda mu, raw, z: -0.5 * (1 + raw + mu**2 - torch.exp(raw)), half, "none", "mu^2 -0.5"),
    "minus log": (lambda mu, raw, z: -0.5 * (1 - raw - mu**2 - torch.exp(raw)), half, "none", "log sigma weighs 1"),
    "plus log p": (
        lambda mu, raw, z: D.Normal(mu, half(raw)).log_prob(z) + D.Normal(0.0, 1.0).log_prob(z), half, "none",
        "mu^2 -0.5"),
    "log-variance as log sigma": (closed, torch.exp, "none", "log sigma weighs -0.5"),
    "turned round": (turned_round, half, "turned", "divergence of the prior N(0.5, 2^2) from the normal posterior"),
    "a third of it, turned": (lambda *a: turned_round(*a) / 3, half, "turned", "it is 0.3333 times the divergence"),
    "turned, mu with another weight": (
        lambda mu, raw, z: 0.5 * (raw - 1 + (1 + 2 * mu**2) / torch.exp(raw)), half, None, ""),
    "weight decay of mu": (lambda mu, raw, z: mu**2, half, None, ""),
    "entropy alone": (lambda mu, raw, z: -raw, half, None, ""),
    "Laplace prior without its log 2": (
        lambda mu, raw, z: D.Normal(mu, half(raw)).log_prob(z) + z.abs(), half, "kl", "evaluates at the sample"),
    "nothing": (lambda mu, raw, z: 0 * mu, half, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_term_is_what_it_is(name):
    term, scale, answer, words = CASES[name]
    found = divergences(captured(elbo(term, scale), BATCH))
    assert [d.name for d in found] == ([answer] if answer else [])
    assert all(words in d.text for d in found)


@pytest.mark.parametrize("name", ["closed form", "drawn", "library"])
def test_its_size_on_the_batch_is_torchs_own(name):
    prior = D.Normal(0.5, 2.0) if name == "library" else D.Normal(0.0, 1.0)
    exact = D.kl_divergence(D.Normal(BATCH["mu"], half(BATCH["raw"])), prior).sum(-1).mean()
    text = divergences(captured(elbo(CASES[name][0]), BATCH))[0].text
    assert f"On the batch it is {float(exact):.4g} nats a sample" in text


def test_priors_that_the_model_gives_are_not_told_as_one():
    """A neural process: the prior of each sample is made from its context."""
    middle, spread = draw(3, N, 2), torch.exp(0.3 * draw(4, N, 2))

    def conditional(mu, raw, z):
        return D.kl_divergence(D.Normal(mu, half(raw)), D.Normal(middle, spread))

    [found] = divergences(captured(elbo(conditional), BATCH))
    exact = conditional(BATCH["mu"], BATCH["raw"], None).sum(-1).mean()
    assert found.name == "kl" and "from normal priors that differ from element to element" in found.text
    assert f"On the batch it is {float(exact):.4g} nats a sample" in found.text


def by_hand(mu, raw):
    return mu + torch.exp(raw / 2) * torch.randn_like(raw)


def by_addcmul(mu, raw):
    return torch.addcmul(mu, torch.exp(raw / 2), torch.randn_like(raw))


def by_library(mu, raw):
    return D.Independent(D.Normal(mu, torch.exp(raw.clamp(-8, 8) / 2)), 1).rsample()


@pytest.mark.parametrize("sample", [by_hand, by_addcmul, by_library])
@pytest.mark.parametrize(("sign", "name"), [(1, "kl"), (-1, "reversed")])
def test_the_loss_of_a_variational_autoencoder_is_read_however_it_draws(sample, sign, name):
    def loss(mu, raw, y):
        kept = raw.clamp(-8, 8)
        error = torch.nn.functional.mse_loss(sample(mu, raw), y, reduction="sum")
        return (error - sign * 0.5 * torch.sum(1 + kept - mu.pow(2) - kept.exp())) / len(y)

    assert [d.name for d in divergences(captured(loss, BATCH))] == [name]


def test_mu_and_sigma_may_be_halves_of_one_tensor():
    def loss(out, y):
        mu, raw = out.chunk(2, -1)
        z = mu + half(raw) * torch.randn_like(raw)
        return (0.5 * (y - z) ** 2).sum(-1).mean() + closed(mu, raw, z).sum(-1).mean()

    out = torch.cat([BATCH["mu"], BATCH["raw"]], -1)
    assert [d.name for d in divergences(captured(loss, {"out": out, "y": BATCH["y"]}))] == ["kl"]


def test_a_wrong_sign_is_one_warning_and_a_right_term_a_remark():
    wrong, right = (
        check_function(elbo(t), BATCH, target="y", points=9, effort="quick") for t in (CASES["wrong sign"][0], closed)
    )
    found = [f for f in wrong.findings if f.rule == "NLL710"]
    assert [(f.severity, f.verdict, f.site.path) for f in found] == [("warning", "wrong-formula", __file__)]
    assert [f for f in right.findings if f.rule == "NLL710"] == []
    assert any(note.startswith("KL term: The terms without target are the KL") for note in right.notes)


@pytest.mark.parametrize(("power", "name"), [(2, "kl"), (1, "none"), (4, "none")])
def test_noise_may_be_an_argument(power, name):
    def loss(mu, raw, noise, y):
        z = mu + torch.exp(raw) * noise
        return (0.5 * (y - z) ** 2).sum(-1).mean() - 0.5 * (1 + 2 * raw - mu**2 - torch.exp(raw) ** power).sum(
            -1
        ).mean()

    noise = torch.randn(BATCH["mu"].shape, generator=torch.Generator().manual_seed(6))
    found = divergences(captured(loss, {**BATCH, "noise": noise}))
    assert [d.name for d in found] == [name]


@pytest.mark.parametrize(
    ("square", "said"),
    [
        (lambda raw: (2 * raw, torch.exp(4 * raw)), "variance already"),
        (lambda raw: (2 * raw, raw**2), "the exp of log sigma is missing"),
        (lambda raw: (torch.log(raw**2), raw**2), "the exp of log sigma is missing"),
    ],
)
def test_another_function_of_sigma_is_told_by_name(square, said):
    def loss(mu, raw, y):
        z = mu + torch.exp(raw) * torch.randn_like(raw)
        log, own = square(raw)
        return (0.5 * (y - z) ** 2).sum(-1).mean() - 0.5 * (1 + log - mu**2 - own).sum(-1).mean()

    (found,) = divergences(captured(loss, BATCH))
    assert found.name == "none"
    assert said in found.text


def test_a_sample_that_the_loss_does_not_read_has_no_term():
    def loss(mu, raw, y):
        z = mu + half(raw) * torch.randn_like(raw)
        shown = z.detach()  # for a log, as in training loops
        return (0.5 * (y - mu) ** 2).sum(-1).mean() + closed(mu, raw, shown).sum(-1).mean()

    assert divergences(captured(loss, BATCH)) == ()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", [(0, 1, 2), (2,)], ids=["everywhere", "values"])
def test_a_fit_to_what_is_not_finite_is_refused_without_a_word_of_the_library(bad, where, capfd):
    settings = [draw(0, 20, 4), draw(1, 20, 4).exp(), draw(2, 20, 4)]
    for k in where:
        settings[k][3, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        fitted(*settings)
    assert capfd.readouterr().err == ""
