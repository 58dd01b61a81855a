"""log q of draws that pass through several steps: right ones are known, one wrong symbol is told with its step."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import captured
from torch import distributions as D
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

from nllcheck.density.kl.divergences import divergences

N, WIDTH = 8, 3


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


PLACE = {"mu": draw(0, N, WIDTH), "raw": 0.3 * draw(1, N, WIDTH) - 0.5}
FLOW = {"w": draw(2, N, WIDTH), "u": draw(3, N, WIDTH)}
Y = {"decoder": draw(4, WIDTH, 5), "y": (draw(5, N, 5) > 0).float()}


def log_q0(z, mu, raw):
    return (-0.5 * ((z - mu) / raw.exp()) ** 2 - raw - 0.5 * math.log(2 * math.pi)).sum(-1)


def standard(z):
    return -0.5 * (z**2).sum(-1)


def error(z, decoder, y):
    return binary_cross_entropy_with_logits(z @ decoder, y, reduction="none").sum(-1)


def planar(z, w, u):
    dot = (w * u).sum(-1, keepdim=True)
    safe = u + (softplus(dot) - 1 - dot) * w / (w**2).sum(-1, keepdim=True)
    hidden = torch.tanh((z * w).sum(-1, keepdim=True))
    return z + safe * hidden, torch.log(torch.abs(1 + ((1 - hidden**2) * w * safe).sum(-1)))


def flow(term):
    """Planar (Rezende and Mohamed 2015); `term` of the first draw, the last, the log-determinant and the parameters."""

    def loss(mu, raw, w, u, decoder, y):
        z0 = mu + raw.exp() * torch.randn_like(mu)
        z, log_det = planar(z0, w, u)
        return (term(z0, z, log_det, mu, raw) + error(z, decoder, y)).mean()

    return loss


def squashed(term, through=torch.sigmoid):
    def loss(mu, raw, decoder, y):
        x = mu + raw.exp() * torch.randn_like(mu)
        z = through(x)
        return (log_q0(x, mu, raw) + term(x, z).sum(-1) + error(z, decoder, y)).mean()

    return loss


def logistic(term):
    def loss(mu, raw, decoder, y):
        noise = torch.logit(torch.rand_like(mu))
        z = mu + raw.exp() * noise
        t = (z - mu) / raw.exp()
        return (term(t, raw).sum(-1) - standard(z) + error(z, decoder, y)).mean()

    return loss


def kumaraswamy(term):
    def loss(mu, raw, decoder, y):
        a, b = mu.exp(), raw.exp()
        z = (1 - torch.rand_like(a) ** (1 / b)) ** (1 / a)
        log_q = (a - 1) * z.log() + (b - 1) * torch.log1p(-(z**a)) + term(a, b)
        return (log_q.sum(-1) + error(z, decoder, y)).mean()

    return loss


def by_two_levels(sign):
    """A second latent variable drawn from the first, and a prior of the first from the second."""

    def loss(mu, raw, decoder, y):
        first = mu + raw.exp() * torch.randn_like(mu)
        middle = torch.tanh(first.flip(-1))
        second = middle + torch.exp(0.3 * middle) * torch.randn_like(middle)
        log_q = log_q0(first, mu, raw) + sign * log_q0(second, middle, 0.3 * middle)
        log_p = standard(second) + standard(first - torch.tanh(second))
        return (log_q - log_p + error(first, decoder, y)).mean()

    return loss


def by_library(mu, raw, decoder, y):
    q = D.TransformedDistribution(D.Normal(mu, raw.exp()), D.SigmoidTransform())
    z = q.rsample()
    return ((q.log_prob(z) - D.Beta(2.0, 2.0).log_prob(z)).sum(-1) + error(z, decoder, y)).mean()


def of_squashed(x, sign):
    return -sign * (logsigmoid(x) + logsigmoid(-x))


STEPS = PLACE | FLOW | Y
PLAIN = PLACE | Y
# loss, tensors, the answer, and what its text holds
CASES = {
    "planar": (flow(lambda z0, z, d, *q: log_q0(z0, *q) - d - standard(z)), STEPS, "kl", "counts once"),
    "planar, with beta": (
        flow(lambda z0, z, d, *q: 0.3 * (log_q0(z0, *q) - d - standard(z))), STEPS, "kl", "hold 0.3 times"),
    "planar, entropy in closed form": (
        flow(lambda z0, z, d, mu, raw: -raw.sum(-1) - d - standard(z)), STEPS, "kl", "counts once"),
    "planar, penalty of mu": (
        flow(lambda z0, z, d, mu, raw: log_q0(z0, mu, raw) - d - standard(z) + 0.1 * (mu**2).sum(-1)), STEPS, None, ""),
    "planar, parameters without a gradient": (  # Roeder et al. 2017, Sticking the landing
        flow(lambda z0, z, d, mu, raw: log_q0(z0, mu.detach(), raw.detach()) - d - standard(z)), STEPS, "kl",
        "counts once"),
    "planar, wrong sign": (
        flow(lambda z0, z, d, *q: log_q0(z0, *q) + d - standard(z)), STEPS, "none", "has the wrong sign"),
    "planar, forgotten": (flow(lambda z0, z, d, *q: log_q0(z0, *q) - standard(z)), STEPS, "none", "is missing"),
    "planar, half": (
        flow(lambda z0, z, d, *q: log_q0(z0, *q) - d / 2 - standard(z)), STEPS, "none", "counts 0.5 times"),
    "planar, variance for sigma": (
        flow(lambda z0, z, d, mu, raw: log_q0(z0, mu, raw) - raw.sum(-1) - d - standard(z)), STEPS, "none",
        "counts 2 times"),
    "score of a flow": (
        flow(lambda z0, z, d, *q: -(log_q0(z0.detach(), *q) - d.detach()) - standard(z)), STEPS, None, ""),
    "sigmoid": (squashed(lambda x, z: of_squashed(x, 1)), PLAIN, "kl", "counts once"),
    "sigmoid, wrong sign": (squashed(lambda x, z: of_squashed(x, -1)), PLAIN, "none", "has the wrong sign"),
    "prior before the sigmoid": (squashed(lambda x, z: 0.5 * x**2), PLAIN, "kl", "N(0, 1^2)"),
    "exponential": (squashed(lambda x, z: z - x, torch.exp), PLAIN, "kl", "counts once"),
    "exponential, forgotten": (squashed(lambda x, z: z, torch.exp), PLAIN, "none", "is missing"),
    "logistic": (logistic(lambda t, raw: -t - raw - 2 * softplus(-t)), PLAIN, "kl", "counts once"),
    "logistic, wrong sign": (logistic(lambda t, raw: -t + raw - 2 * softplus(-t)), PLAIN, "none", "has the wrong sign"),
    "logistic, one softplus": (logistic(lambda t, raw: -t - raw - softplus(-t)), PLAIN, None, ""),
    "Kumaraswamy": (kumaraswamy(lambda a, b: a.log() + b.log()), PLAIN, "kl", "counts once"),
    "Kumaraswamy, log b forgotten": (kumaraswamy(lambda a, b: a.log()), PLAIN, "none", "a function of the parameters"),
    "two levels": (by_two_levels(1), PLAIN, "kl", ""),
    "library": (by_library, PLAIN, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_log_q_is_what_it_is(name):
    loss, tensors, answer, words = CASES[name]
    found = divergences(captured(loss, tensors))
    assert [d.name for d in found] == ([answer] if answer else [])
    assert all(words in d.text for d in found)


def ladder(sign):
    """A second latent variable that no likelihood reads, drawn with what the first gives."""

    def loss(mu, raw, w, decoder, y):
        first = mu + raw.exp() * torch.randn_like(mu)
        middle = first @ w[:WIDTH]
        second = middle + middle.tanh().exp() * torch.randn_like(mu)
        log_q = log_q0(first, mu, raw) + sign * log_q0(second, middle, middle.tanh())
        return (log_q - standard(second) - standard(first - second.tanh()) + error(first, decoder, y)).mean()

    return loss


def clamped_twice(sign):
    def loss(mu, raw, decoder, y):
        x = mu + raw.clamp(-6.0, 6.0).exp() * torch.randn_like(mu)
        log_q = log_q0(x, mu, raw.clamp(-6.0, 6.0)) + sign * (logsigmoid(x) + logsigmoid(-x)).sum(-1)
        return (log_q + error(torch.sigmoid(x), decoder, y)).mean()

    return loss


@pytest.mark.parametrize(("made", "tensors"), [(ladder, {**PLAIN, "w": draw(2, N, WIDTH)}), (clamped_twice, PLAIN)])
def test_one_sign_is_told(made, tensors):
    right, wrong = (divergences(captured(made(sign), tensors)) for sign in ((1, -1) if made is ladder else (-1, 1)))
    assert {d.name for d in right} == {"kl"}
    assert any(d.name in ("reversed", "none") for d in wrong)


def test_the_line_is_the_one_that_puts_log_q_together():
    def loss(mu, raw, w, u, decoder, y):
        z0 = mu + raw.exp() * torch.randn_like(mu)
        z, log_det = planar(z0, w, u)
        log_q = log_q0(z0, mu, raw) + log_det  # <- here
        return (log_q - standard(z) + error(z, decoder, y)).mean()

    graph = captured(loss, STEPS)
    (found,) = divergences(graph)
    assert graph.graph.nodes[found.node].site.line == loss.__code__.co_firstlineno + 3


def test_the_log_determinants_are_those_of_autograd():
    """A coupling: half of the numbers scaled and moved by the other half."""
    from nllcheck.density.kl.jacobian import log_dets

    def step(eps, raw):
        kept, moved = eps.chunk(2, -1)
        return torch.cat([kept, moved * torch.exp(kept * raw) + kept], -1)

    module = torch.fx.symbolic_trace(step)
    eps, raw = draw(6, 5, N, 4).double(), draw(7, 5, N, 2).double()
    node = next(n for n in module.graph.nodes if n.target is torch.cat)
    found = log_dets(module, 0, [node], [eps, raw])
    jacobian = torch.func.vmap(torch.func.vmap(torch.func.jacrev(step)))(eps, raw)
    assert torch.allclose(found[..., 0], torch.linalg.slogdet(jacobian)[1])
