"""Bounds with several draws of a latent variable: right ones are known, and one wrong symbol is told, as with one."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer, captured
from torch import distributions
from torch.nn.functional import binary_cross_entropy_with_logits

from nllcheck.capture.interpret import Runner
from nllcheck.density.draws.single import with_one_draw

N, D, X = 10, 3, 4
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


BATCH = {"mu": 0.7 * draw(0, N, D), "raw": 0.3 * draw(1, N, D) - 0.3, "decoder": draw(2, D, X),
         "y": (draw(3, N, X) > 0).float()}  # fmt: skip


def likely(z, decoder, y):
    return -binary_cross_entropy_with_logits(z @ decoder, y.expand(*z.shape[:-1], X), reduction="none").sum(-1)


def normal(z, mu, raw, log=1.0):
    return (-0.5 * ((z - mu) * torch.exp(-raw)) ** 2 - log * raw - HALF_LOG_2PI).sum(-1)


def standard(z):
    return (-0.5 * z**2 - HALF_LOG_2PI).sum(-1)


def ratio(z, mu, raw):
    return normal(z, mu, raw) - standard(z)


def turned(z, mu, raw):
    return standard(z) - normal(z, mu, raw)


def one_sign(z, mu, raw):
    return normal(z, mu, raw, log=-1.0) - standard(z)


def unscaled(z, mu, raw):
    return normal(z, mu, raw, log=0.0) - standard(z)


def plus_prior(z, mu, raw):
    return normal(z, mu, raw) + standard(z)


def closed(z, mu, raw):
    return (0.5 * (mu**2 + torch.exp(2 * raw) - 1) - raw).sum(-1)


def closed_turned(z, mu, raw):
    return -closed(z, mu, raw)


def weigh(term, mu, raw, decoder, y, z):
    """(draws and samples) term - log p(y | z)."""
    return term(z, mu, raw) - likely(z, decoder, y)


def front(term, k, mu, raw, decoder, y):
    return weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn(k, N, D)).mean(0).mean()


def of_all(term, k, mu, raw, decoder, y):
    return weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn(k, N, D)).mean()


def summed(term, k, mu, raw, decoder, y):
    return weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn(k, N, D)).sum() / (k * N)


def behind(term, k, mu, raw, decoder, y):
    mu, raw, y = mu[:, None], raw[:, None], y[:, None]
    return weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn(N, k, D)).mean(1).mean()


def repeated(term, k, mu, raw, decoder, y):
    mu, raw, y = mu.repeat(k, 1), raw.repeat(k, 1), y.repeat(k, 1)
    return weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn_like(mu)).mean()


def interleaved(term, k, mu, raw, decoder, y):
    mu, raw, y = (v.repeat_interleave(k, 0) for v in (mu, raw, y))
    each = weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn_like(mu))
    return each.view(N, k).mean(1).mean()


def in_a_loop(term, k, mu, raw, decoder, y):
    each = (weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn_like(mu)) for _ in range(k))
    return (sum(each) / k).mean()


def weighted(term, k, mu, raw, decoder, y):
    each = weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn(k, N, D))
    return -(torch.logsumexp(-each, 0) - math.log(k)).mean()


def weighted_behind(term, k, mu, raw, decoder, y):
    mu, raw, y = mu[:, None], raw[:, None], y[:, None]
    each = weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn(N, k, D))
    return -torch.log(torch.exp(-each).sum(1) / k).mean()


def weighted_in_a_loop(term, k, mu, raw, decoder, y):
    each = [weigh(term, mu, raw, decoder, y, mu + raw.exp() * torch.randn_like(mu)) for _ in range(k)]
    return -(torch.stack(each).neg().logsumexp(0) - math.log(k)).mean()


def loss_of(reduction, term, k):
    def elbo(mu, raw, decoder, y):
        return reduction(term, k, mu, raw, decoder, y)

    return elbo


REDUCTIONS = (front, of_all, summed, behind, repeated, interleaved, in_a_loop, weighted, weighted_behind,
              weighted_in_a_loop)  # fmt: skip
WRONG = {turned: "reversed", one_sign: "none", unscaled: "none", plus_prior: "none", closed_turned: "reversed"}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("term", "k"), [(ratio, 1), (ratio, 3), (closed, 5)])
def test_a_right_bound_is_one(reduction, term, k):
    found = answer(loss_of(reduction, term, k), BATCH)
    assert (found.name, [d.name for d in found.divergences]) == ("proper", ["kl"]), found.text
    assert "times" not in found.divergences[0].text


@pytest.mark.parametrize("reduction", [front, behind, in_a_loop, weighted, weighted_behind])
@pytest.mark.parametrize("term", WRONG)
def test_one_wrong_symbol_is_told(reduction, term):
    found = answer(loss_of(reduction, term, 3), BATCH)
    assert [d.name for d in found.divergences] == [WRONG[term]], found.divergences


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_it_is_the_loss_with_draws_that_agree(reduction):
    """By the number of draws that are not left: the loss with one, evaluated at it, is that with all put to it."""
    graph = captured(loss_of(reduction, ratio, 3), BATCH)
    one = with_one_draw(graph).graph
    noise = {n.name: v.new_tensor(0.3).expand(v.shape) for n, v in zip(graph.fx_nodes, graph.values, strict=True)
             if "randn" in n.name}  # fmt: skip
    alone = {n.name: v.new_tensor(0.3).expand(v.shape) for n, v in zip(one.fx_nodes, one.values, strict=True)
             if "randn" in n.name}  # fmt: skip
    values = [leaf.value for leaf in graph.program.leaves]
    all_draws, one_draw = (Runner(g.module, given=n).run(*values) for g, n in ((graph, noise), (one, alone)))
    assert len(alone) == 1 and next(iter(alone.values())).numel() == N * D
    assert torch.allclose(all_draws, one_draw, rtol=1e-5)


def one_draw(mu, raw, decoder, y):
    return weigh(ratio, mu, raw, decoder, y, mu + raw.exp() * torch.randn_like(mu)).mean()


def ladder(mu, raw, decoder, y):
    z = mu + raw.exp() * torch.randn_like(mu)
    other = z.tanh() + raw.exp() * torch.randn_like(mu)
    return (normal(other, z.tanh(), raw) - standard(other) - likely(z, decoder, y)).mean()


def distance(mu, raw, decoder, y):
    """An energy score: it asks how far draws are from one another, too."""
    one, other = (y[:, :D] - mu - raw.exp() * torch.randn_like(mu) for _ in range(2))
    return ((one.norm(dim=-1) + other.norm(dim=-1) - (one - other).norm(dim=-1)) / 2).mean()


def spread(mu, raw, decoder, y):
    z = mu + raw.exp() * torch.randn(5, N, D)
    return (0.5 * (y[:, :D] - z.mean(0)) ** 2 / z.var(0) + 0.5 * z.var(0).log()).sum(-1).mean()


def own_noise(mu, raw, decoder, y):
    """Logistic noise that meets no scale at first."""
    noise = torch.logit(torch.rand_like(mu))
    log_q = (-noise - raw - 2 * torch.nn.functional.softplus(-noise)).sum(-1)
    z = mu + raw.exp() * noise
    return (log_q - standard(z) - likely(z, decoder, y)).mean()


@pytest.mark.parametrize("loss", [one_draw, ladder, distance, spread, own_noise])
def test_nothing_is_taken_for_several_draws_that_is_none(loss):
    assert with_one_draw(captured(loss, BATCH)) is None


def spread_of_draws(mu, raw, y):
    f = mu + raw.exp() * torch.randn(4, *mu.shape)
    v = f.var(0, unbiased=False) + 1
    return (0.5 * (y - f.mean(0)) ** 2 / v).sum(-1).mean()


def spread_by_hand(mu, raw, y):
    f = mu + raw.exp() * torch.randn(4, *mu.shape)
    v = ((f - f.mean(0)) ** 2).mean(0) + 1
    return (0.5 * (y - f.mean(0)) ** 2 / v).sum(-1).mean()


def best_of_draws(mu, raw, y):
    f = mu + raw.exp() * torch.randn(4, *mu.shape)
    return (0.5 * (y - f) ** 2 + 0.5 * math.log(2 * math.pi)).sum(-1).amin(0).mean()


@pytest.mark.parametrize("loss", [spread_of_draws, spread_by_hand, best_of_draws], ids=lambda f: f.__name__)
def test_draws_that_are_compared_are_not_one(loss, capfd):
    gen = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(10, 3, generator=gen) for name in ("mu", "raw", "y")}
    assert with_one_draw(captured(loss, tensors)) is None
    assert loss is best_of_draws or answer(loss, tensors).name not in ("proper", "constant")
    assert not capfd.readouterr().err


def elbo_of_summed_draws(mu, raw, decoder, y):
    z = mu + raw.exp() * torch.randn(4, *mu.shape)
    return (-likely(z, decoder, y).sum(0) + (0.5 * (mu**2 + (2 * raw).exp() - 1) - raw).sum(-1)).mean()


def test_draws_that_are_summed_and_not_averaged_are_no_bound():
    assert answer(elbo_of_summed_draws, BATCH).name not in ("proper", "constant")


def elbo_with_penalty(times):
    def elbo(mu, raw, decoder, y):
        z = mu + raw.exp() * torch.randn(4, *mu.shape)
        kl = (0.5 * (mu**2 + (2 * raw).exp() - 1) - raw).sum(-1)
        return (kl - likely(z, decoder, y)).mean() + times * (mu**2).sum(-1).mean()

    return elbo


@pytest.mark.parametrize(("times", "names"), [(0.1, []), (0.5, ["none"]), (-0.2, ["none"])])
def test_more_of_mu_squared_is_a_penalty_unless_it_is_a_half_forgotten(times, names):
    assert [d.name for d in answer(elbo_with_penalty(times), BATCH).divergences] == names


def full_covariance(mu, decoder):
    return distributions.MultivariateNormal(mu, decoder @ decoder.T + torch.eye(D))


def low_rank(mu, decoder):
    return distributions.LowRankMultivariateNormal(mu, decoder[:, :2].expand(N, D, 2), torch.ones(N, D))


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("posterior", [full_covariance, low_rank], ids=lambda f: f.__name__)
def test_posteriors_whose_root_is_one_of_several_results_draw_no_alarm(posterior, count):
    def elbo(mu, decoder, y):
        q = posterior(mu, decoder)
        z = q.rsample((count,))
        prior = distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        return (q.log_prob(z) - prior - likely(z, decoder, y)).mean()

    found = answer(elbo, {k: v for k, v in BATCH.items() if k != "raw"})
    assert found.name in ("proper", "constant", "undecided")
    assert all(d.name == "kl" for d in found.divergences)
