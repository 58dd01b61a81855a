"""torch's own losses and distributions, and the habits of user code: captured as one graph, or by the fallback?"""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as D
from torch.utils.checkpoint import checkpoint

import nllcheck
from nllcheck.capture import capture
from nllcheck.capture.attempt import captured
from nllcheck.capture.verify import disagreements
from nllcheck.target import Batch, Target, evaluate, split_batch, style_of

ROWS = 6


def pos(x):
    return F.softplus(x) + 0.1


def unit(t):
    return torch.sigmoid(t)


def count(t):
    return t.abs().mul(3).round()


def simplex(t):
    return torch.softmax(torch.stack([t, -t, 0.5 * t], -1), -1)


def tril(o):
    scale = torch.zeros(o.shape[0], 2, 2)
    scale[:, 0, 0] = pos(o[:, 2])
    scale[:, 1, 1] = pos(o[:, 3])
    scale[:, 1, 0] = o[:, 4]
    return scale


def pair(t):
    return torch.stack([t, t**2], -1)


def label(t):
    return (t > 0).long()


def weak(o):
    return D.Normal(o[:, 0], pos(o[:, 1]))


LOSSES = {
    "cross_entropy": lambda o, t: F.cross_entropy(o, label(t)),
    "cross_entropy_smooth": lambda o, t: F.cross_entropy(o, label(t), label_smoothing=0.1),
    "cross_entropy_soft": lambda o, t: F.cross_entropy(o[:, :3], simplex(t)),
    "nll_loss": lambda o, t: F.nll_loss(F.log_softmax(o, -1), label(t)),
    "bce": lambda o, t: F.binary_cross_entropy(torch.sigmoid(o[:, 0]), unit(t)),
    "bce_logits": lambda o, t: F.binary_cross_entropy_with_logits(o[:, 0], unit(t)),
    "gaussian_nll": lambda o, t: F.gaussian_nll_loss(o[:, 0], t, pos(o[:, 1])),
    "gaussian_nll_full": lambda o, t: F.gaussian_nll_loss(o[:, 0], t, pos(o[:, 1]), full=True),
    "poisson_nll": lambda o, t: F.poisson_nll_loss(o[:, 0], count(t)),
    "poisson_nll_full": lambda o, t: F.poisson_nll_loss(o[:, 0], count(t), full=True),
    "kl_div": lambda o, t: F.kl_div(F.log_softmax(o[:, :3], -1), simplex(t), reduction="batchmean"),
    "huber": lambda o, t: F.huber_loss(o[:, 0], t),
    "smooth_l1": lambda o, t: F.smooth_l1_loss(o[:, 0], t),
    "mse": lambda o, t: F.mse_loss(o[:, 0], t),
    "l1": lambda o, t: F.l1_loss(o[:, 0], t),
    "soft_margin": lambda o, t: F.soft_margin_loss(o[:, 0], torch.sign(t)),
    "multilabel": lambda o, t: F.multilabel_soft_margin_loss(o[:, :3], (simplex(t) > 0.3).float()),
    "cosine": lambda o, t: F.cosine_embedding_loss(o[:, :2], o[:, 2:4], torch.sign(t)),
    "triplet": lambda o, t: F.triplet_margin_loss(o[:, :2], o[:, 2:4], pair(t)),
    "Normal": lambda o, t: -weak(o).log_prob(t).mean(),
    "LogNormal": lambda o, t: -D.LogNormal(o[:, 0], pos(o[:, 1])).log_prob(pos(t)).mean(),
    "Laplace": lambda o, t: -D.Laplace(o[:, 0], pos(o[:, 1])).log_prob(t).mean(),
    "Cauchy": lambda o, t: -D.Cauchy(o[:, 0], pos(o[:, 1])).log_prob(t).mean(),
    "StudentT": lambda o, t: -D.StudentT(pos(o[:, 2]), o[:, 0], pos(o[:, 1])).log_prob(t).mean(),
    "Gumbel": lambda o, t: -D.Gumbel(o[:, 0], pos(o[:, 1])).log_prob(t).mean(),
    "HalfNormal": lambda o, t: -D.HalfNormal(pos(o[:, 1])).log_prob(pos(t)).mean(),
    "Gamma": lambda o, t: -D.Gamma(pos(o[:, 0]), pos(o[:, 1])).log_prob(pos(t)).mean(),
    "InverseGamma": lambda o, t: -D.InverseGamma(pos(o[:, 0]), pos(o[:, 1])).log_prob(pos(t)).mean(),
    "Beta": lambda o, t: -D.Beta(pos(o[:, 0]), pos(o[:, 1])).log_prob(unit(t)).mean(),
    "Dirichlet": lambda o, t: -D.Dirichlet(pos(o[:, :3])).log_prob(simplex(t)).mean(),
    "Exponential": lambda o, t: -D.Exponential(pos(o[:, 0])).log_prob(pos(t)).mean(),
    "Weibull": lambda o, t: -D.Weibull(pos(o[:, 0]), pos(o[:, 1])).log_prob(pos(t)).mean(),
    "Pareto": lambda o, t: -D.Pareto(torch.tensor(0.05), pos(o[:, 1])).log_prob(pos(t)).mean(),
    "Kumaraswamy": lambda o, t: -D.Kumaraswamy(pos(o[:, 0]), pos(o[:, 1])).log_prob(unit(t)).mean(),
    "VonMises": lambda o, t: -D.VonMises(o[:, 0], pos(o[:, 1])).log_prob(t).mean(),
    "Poisson": lambda o, t: -D.Poisson(pos(o[:, 0])).log_prob(count(t)).mean(),
    "Geometric": lambda o, t: -D.Geometric(logits=o[:, 0]).log_prob(count(t)).mean(),
    "Bernoulli": lambda o, t: -D.Bernoulli(logits=o[:, 0]).log_prob(label(t).float()).mean(),
    "Binomial": lambda o, t: -D.Binomial(9, logits=o[:, 0]).log_prob(count(t).clamp(max=9)).mean(),
    "NegativeBinomial": lambda o, t: -D.NegativeBinomial(pos(o[:, 0]), logits=o[:, 1]).log_prob(count(t)).mean(),
    "Categorical": lambda o, t: -D.Categorical(logits=o).log_prob(label(t)).mean(),
    "Categorical_probs": lambda o, t: -D.Categorical(probs=torch.softmax(o, -1)).log_prob(label(t)).mean(),
    "OneHotCategorical": lambda o, t: -D.OneHotCategorical(logits=o).log_prob(F.one_hot(label(t), 5).float()).mean(),
    "Multinomial": lambda o, t: -D.Multinomial(4, logits=o[:, :2]).log_prob(pair(label(t) * 4.0) * 0 + 2).mean(),
    "ContinuousBernoulli": lambda o, t: -D.ContinuousBernoulli(logits=o[:, 0]).log_prob(unit(t)).mean(),
    "RelaxedBernoulli": lambda o, t: -D.RelaxedBernoulli(torch.tensor(0.5), logits=o[:, 0]).log_prob(unit(t)).mean(),
    "MultivariateNormal": lambda o, t: -D.MultivariateNormal(o[:, :2], scale_tril=tril(o)).log_prob(pair(t)).mean(),
    "LowRank": lambda o, t: -D.LowRankMultivariateNormal(o[:, :2], o[:, 2:4, None], pos(o[:, :2])).log_prob(
        pair(t)
    ).mean(),
    "Independent": lambda o, t: -D.Independent(D.Normal(o[:, :2], pos(o[:, 2:4])), 1).log_prob(pair(t)).mean(),
    "MixtureSameFamily": lambda o, t: -D.MixtureSameFamily(
        D.Categorical(logits=o[:, :2]), D.Normal(o[:, 2:4], pos(o[:, 3:5]))
    ).log_prob(t).mean(),
    "Transformed": lambda o, t: -D.TransformedDistribution(weak(o), D.transforms.TanhTransform()).log_prob(
        0.9 * torch.tanh(t)
    ).mean(),
    "kl_normal": lambda o, t: D.kl_divergence(weak(o), D.Normal(0.0, 1.0)).mean() + 0 * t.mean(),
    "kl_gamma": lambda o, t: D.kl_divergence(D.Gamma(pos(o[:, 0]), pos(o[:, 1])), D.Gamma(1.0, 1.0)).mean()
    + 0 * t.mean(),
    "elbo": lambda o, t: ((weak(o).rsample() - t) ** 2).mean() + D.kl_divergence(weak(o), D.Normal(0.0, 1.0)).mean(),
}  # fmt: skip


def in_place(o, t):
    o = o.clone()
    o[:, 0] -= t
    o[:, 1].mul_(2)
    return (o**2).mean()


def no_grad_weight(o, t):
    with torch.no_grad():
        weight = 1 / (1 + (o[:, 0] - t).abs())
    return (weight * (o[:, 0] - t) ** 2).mean()


def logged_item(o, t):
    loss = (o[:, 0] - t).pow(2).mean()
    if loss.item() < 0:
        raise ValueError("negative")
    return loss


def chosen(o, t):
    z = (o[:, 0] - t).abs()
    return torch.where(z < 1, 0.5 * z**2, z - 0.5)[torch.tensor([0, 2, 4])].mean()


def noisy(o, t):
    return ((o[:, 0] + 0.1 * torch.randn_like(t) - t) ** 2).mean()


def squares(o, t):
    return ((o[:, 0] - t) ** 2).mean()


def padded(o, t):
    rows = torch.nn.utils.rnn.pad_sequence([o[:2], o[2:]], batch_first=True)
    return (rows.logsumexp(1) ** 2).mean() + t.mean()


def numbered_lengths(o, t):
    log_probs = torch.log_softmax(o, -1).unsqueeze(1)
    return F.ctc_loss(log_probs, torch.tensor([[1, 2]]), (len(o),), (2,)) + t.mean()


def complex_eigenvalues(o, t):
    return (torch.linalg.eigvals(o[:5].T @ o[:5] + 3 * torch.eye(5)).abs().log().sum() - t) ** 2 @ torch.ones_like(t)


HABITS = {
    f.__name__: f
    for f in (in_place, no_grad_weight, logged_item, chosen, noisy, padded, numbered_lengths, complex_eigenvalues)
}
ALL = {**LOSSES, **HABITS}


class Sequence(torch.nn.Module):
    """An LSTM under attention with a dict of outputs, as a time-series model."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 8, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x):
        hidden, _ = self.lstm(x)
        mixed, _ = self.attention(hidden, hidden, hidden)
        mu, raw = self.head(mixed).unbind(-1)
        return {"mu": mu, "sigma": pos(raw)}


def target_for(loss):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 5)
    batch = split_batch((torch.randn(ROWS, 3), torch.randn(ROWS)))
    return Target("case", loss, "case", model, (batch,), style_of(loss))


@functools.cache
def graph_of(name):
    target = target_for(ALL[name])
    return captured(target, target.batches[0], 0)


@pytest.mark.parametrize("name", ALL)
def test_a_captured_graph_is_the_users_loss(name):
    graph, why = graph_of(name)
    if graph is None:
        assert why  # the fallback's business, counted below
        return
    target = target_for(ALL[name])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        alone = evaluate(target, target.model, target.batches[0])
    assert float(graph.loss) == pytest.approx(float(alone), rel=1e-5)
    assert disagreements(graph) == ()


@pytest.mark.parametrize("name", ALL)
def test_sites_are_lines_of_this_file(name):
    graph, _ = graph_of(name)
    own = [n.site for n in graph.graph.nodes if n.site and n.zone == "loss"] if graph else []
    assert graph is None or (own and all(s.path == __file__ for s in own))


@pytest.mark.parametrize("name", ALL)
def test_no_loss_needs_the_fallback(name):
    """From capture to verdict; `conftest.py` prints the share of those that do."""
    target = target_for(ALL[name])
    batch = target.batches[0]
    given = {"model": target.model, "batch": (batch.args[0], batch.targets)}
    report = nllcheck.check(ALL[name], **given, effort="quick", sweep=("output[..., 0]=-1:1:9",))
    assert report.facts.capture == "graph", report.notes


class Checkpointed(torch.nn.Module):
    """Its first layer runs again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 5)

    def forward(self, x):
        return self.head(checkpoint(lambda z: torch.tanh(self.first(z)), x, use_reentrant=False))


def test_a_layer_that_runs_again_meets_the_weights_that_were_moved():
    target = replace(target_for(squares), model=Checkpointed())
    graph, why = captured(target, target.batches[0], 0)
    assert graph is not None, why
    assert disagreements(graph) == ()


def test_sequence_model_with_dict_output():
    def nll(output, target):
        return -D.Normal(output["mu"], output["sigma"]).log_prob(target).mean()

    torch.manual_seed(0)
    batch = split_batch((torch.randn(4, 7, 3), torch.randn(4, 7)))
    target = Target("sequence", nll, "nll", Sequence(), (batch,))
    graph, why = captured(target, batch, 0)
    assert graph is not None, why
    names = {n.name for n in graph.graph.nodes}
    assert {"output.mu", "output.sigma", "hidden", "mixed"} <= names


def test_a_guard_whose_result_is_dropped_is_kept_apart():
    def loss(x):
        p = torch.sigmoid(x)
        p.clamp(min=1e-7)
        safe = p.clamp(min=1e-6)
        return torch.log(safe).mean() + torch.log(p).mean()

    tensors = {"x": torch.randn(3)}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("t", loss, "t", None, (batch,), "function"), batch).graph
    assert [(d.op, graph.nodes[d.guarded].op, d.site.source) for d in graph.discarded] == [
        ("clamp", "sigmoid", "p.clamp(min=1e-7)")
    ]
    assert sum(n.op == "clamp" for n in graph.nodes) == 1
