"""Losses of reinforcement learning, language models, contrastive learning, graphs and transport as public repositories
have them: defective and sound. Written before the tool was run on them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, fixed, given, normal, positive, scale, simplex, sound, unit
from benchmarks.detect.cases.unseen_detection import EITHER, copied

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


# ---- policies -----------------------------------------------------------------------------------------------------


def _normal_logp(u, mu, log_std):
    return -0.5 * ((u - mu) * torch.exp(-log_std)) ** 2 - log_std - HALF_LOG_2PI


def squashed(mu, log_std, noise, q):
    u = mu + torch.exp(log_std.clamp(-5, 2)) * noise
    log_std = log_std.clamp(-5, 2)
    logp = _normal_logp(u, mu, log_std) - torch.log(1 - torch.tanh(u) ** 2)  # <- here
    return (0.2 * logp.sum(1) - q).mean()


def squashed_eps(mu, log_std, noise, q):
    u = mu + torch.exp(log_std.clamp(-5, 2)) * noise
    log_std = log_std.clamp(-5, 2)
    logp = _normal_logp(u, mu, log_std) - torch.log(1 - torch.tanh(u) ** 2 + 1e-6)
    return (0.2 * logp.sum(1) - q).mean()


def squashed_softplus(mu, log_std, noise, q):
    u = mu + torch.exp(log_std.clamp(-5, 2)) * noise
    log_std = log_std.clamp(-5, 2)
    logp = _normal_logp(u, mu, log_std) - 2 * (math.log(2) - u - F.softplus(-2 * u))
    return (0.2 * logp.sum(1) - q).mean()


def scaled_action(mu, log_std, noise, q):
    u = mu + torch.exp(log_std.clamp(-5, 2)) * noise
    action = 1.2 * torch.tanh(u)
    logp = _normal_logp(u, mu, log_std.clamp(-5, 2)) - torch.log(1 - action**2 + 1e-6)  # <- here
    return (0.2 * logp.sum(1) - q).mean()


def unsquashed(mu, log_std, action, advantage):
    u = torch.atanh(action)  # <- here
    return -(_normal_logp(u, mu, log_std.clamp(-5, 2)).sum(1) * advantage).mean()


def unsquashed_clamped(mu, log_std, action, advantage):
    u = torch.atanh(action.clamp(-1 + 1e-6, 1 - 1e-6))
    return -(_normal_logp(u, mu, log_std.clamp(-5, 2)).sum(1) * advantage).mean()


def categorical_dqn(logits, projected):
    return -(projected * torch.log(torch.softmax(logits, -1))).sum(-1).mean()  # <- here


def categorical_dqn_logs(logits, projected):
    return -(projected * torch.log_softmax(logits, -1)).sum(-1).mean()


def quantile_huber(theta, goal):
    tau = (torch.arange(5) + 0.5) / 5
    d = goal[:, None, :] - theta[:, :, None]
    huber = torch.where(d.abs() <= 1, 0.5 * d**2, d.abs() - 0.5)
    return ((tau[:, None] - (d.detach() < 0).float()).abs() * huber).mean()


def trust_region(logits, old, action, advantage):
    gap = torch.log_softmax(logits, 1).gather(1, action[:, None])[:, 0] - old
    ratio = torch.exp(gap.clamp(-20, 20))
    return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def v_trace_entropy(logits, action, advantage):
    log_p = torch.log_softmax(logits, 1)
    entropy = -(log_p.exp() * log_p).sum(1)
    return -(log_p.gather(1, action[:, None])[:, 0] * advantage + 0.01 * entropy).mean()


def temperature(log_alpha, logp):
    return -(log_alpha * (logp + 2.0).detach()).mean()


# ---- language models ----------------------------------------------------------------------------------------------


def smoothed(logits, words):
    log_p = torch.log_softmax(logits, -1)
    nll = -log_p.gather(-1, words[..., None])[..., 0]
    return (0.9 * nll - 0.1 * log_p.mean(-1)).mean()


def unlikelihood(logits, bad):
    p = torch.softmax(logits, -1).gather(-1, bad[..., None])
    return -torch.log(1 - p).mean()  # <- here


def unlikelihood_clamped(logits, bad):
    p = torch.softmax(logits, -1).gather(-1, bad[..., None])
    return -torch.log(torch.clamp(1 - p, min=1e-5)).mean()


def preference(chosen, rejected, ref_chosen, ref_rejected):
    margin = (chosen - rejected) - (ref_chosen - ref_rejected)
    return -torch.log(torch.sigmoid(0.5 * margin)).mean()  # <- here


def preference_logsigmoid(chosen, rejected, ref_chosen, ref_rejected):
    margin = (chosen - rejected) - (ref_chosen - ref_rejected)
    return -(0.9 * F.logsigmoid(0.5 * margin) + 0.1 * F.logsigmoid(-0.5 * margin)).mean()


def odds_ratio(logp_good, logp_bad):
    odds = (logp_good - logp_bad) - (torch.log1p(-torch.exp(logp_good)) - torch.log1p(-torch.exp(logp_bad)))  # <- here
    return -F.logsigmoid(odds).mean()


def reference_kl(logits, ref_logits):
    p, q = torch.softmax(logits, -1), torch.softmax(ref_logits, -1)
    return (p * torch.log(p / q)).sum(-1).mean()  # <- here


def reference_kl_logs(logits, ref_logits):
    return F.kl_div(torch.log_softmax(ref_logits, -1), torch.log_softmax(logits, -1), log_target=True,
                    reduction="batchmean")  # fmt: skip


def estimator_k3(logp, ref):
    d = (ref - logp).clamp(-10, 10)
    return (torch.exp(d) - 1 - d).mean()


def z_loss(logits, words):
    z = torch.logsumexp(logits, -1)
    return F.cross_entropy(logits, words) + 1e-4 * (z**2).mean()


def masked_attention(scores, values, keep, y):
    a = torch.softmax(scores.masked_fill(keep == 0, float("-inf")), -1)
    return ((a @ values - y) ** 2).mean()


# ---- contrastive --------------------------------------------------------------------------------------------------


def info_nce(a, b):
    s = torch.exp(a @ b.T / 0.07)  # <- here
    return -torch.log(torch.diagonal(s) / s.sum(1)).mean()  # <- here


def info_nce_normal(a, b):
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return F.cross_entropy(a @ b.T / 0.07, torch.arange(a.shape[0]))


def nt_xent_exp(a, b):
    z = F.normalize(torch.cat([a, b]), dim=1)
    s = torch.exp(z @ z.T / 0.1)
    n = a.shape[0]
    rest = (s * (1 - torch.eye(len(z)))).sum(1)
    both = torch.exp((z[:n] * z[n:]).sum(1) / 0.1)
    return -torch.log(torch.cat([both, both]) / rest).mean()


def supervised_contrastive(z, y):
    z = F.normalize(z, dim=1)
    s = z @ z.T / 0.1
    s = s - s.max(1, keepdim=True).values.detach()
    other = 1 - torch.eye(z.shape[0])
    mate = (y[:, None] == y).float() * other
    log_p = s - torch.log((torch.exp(s) * other).sum(1, keepdim=True))
    return -((mate * log_p).sum(1) / mate.sum(1).clamp(min=1)).mean()


def barlow(a, b):
    a, b = (a - a.mean(0)) / a.std(0), (b - b.mean(0)) / b.std(0)  # <- here
    c = a.T @ b / a.shape[0]
    return ((torch.diagonal(c) - 1) ** 2).sum() + 0.005 * (c**2).sum()


def vicreg(a, b):
    spread = F.relu(1 - torch.sqrt(a.var(0) + 1e-4)).mean() + F.relu(1 - torch.sqrt(b.var(0) + 1e-4)).mean()
    return 25 * F.mse_loss(a, b) + 25 * spread


def margin_angle(x, w, y):
    cosine = F.linear(F.normalize(x), F.normalize(w))
    sine = torch.sqrt(1.0 - cosine**2)  # <- here
    phi = cosine * math.cos(0.5) - sine * math.sin(0.5)
    return F.cross_entropy(30 * torch.where(F.one_hot(y, 4).bool(), phi, cosine), y)


def margin_angle_clamped(x, w, y):
    cosine = F.linear(F.normalize(x), F.normalize(w))
    sine = torch.sqrt((1.0 - cosine**2).clamp(1e-6, 1))
    phi = cosine * math.cos(0.5) - sine * math.sin(0.5)
    return F.cross_entropy(30 * torch.where(F.one_hot(y, 4).bool(), phi, cosine), y)


def poincare(u, v, y):
    gap = ((u - v) ** 2).sum(1)
    d = torch.acosh(1 + 2 * gap / ((1 - (u**2).sum(1)) * (1 - (v**2).sum(1))))  # <- here
    return (y * d + (1 - y) * F.relu(2 - d)).mean()


def lorentz(u, v, y):
    u0, v0 = torch.sqrt(1 + (u**2).sum(1)), torch.sqrt(1 + (v**2).sum(1))
    inner = (u0 * v0 - (u * v).sum(1)).clamp(min=1 + 1e-5)
    return (y * torch.acosh(inner) ** 2).mean()


# ---- recommendation, graphs, transport ----------------------------------------------------------------------------


def bayesian_ranking(user, liked, other):
    gap = (user * liked).sum(1) - (user * other).sum(1)
    return -torch.log(torch.sigmoid(gap)).mean()  # <- here


def bayesian_ranking_softplus(user, liked, other):
    return F.softplus((user * other).sum(1) - (user * liked).sum(1)).mean()


def sampled_softmax(user, items, popularity):
    return F.cross_entropy(user @ items.T - torch.log(popularity.clamp(min=1e-9)), torch.arange(user.shape[0]))


def list_net(scores, grades):
    return -(torch.softmax(grades, 1) * torch.log_softmax(scores, 1)).sum(1).mean()


def plackett_luce(scores):
    ordered = scores.flip(1)
    return (torch.logcumsumexp(ordered, 1) - ordered).mean()


def adjacency_loss(z, adjacency):
    p = torch.sigmoid(z @ z.T)
    return -(adjacency * torch.log(p) + (1 - adjacency) * torch.log(1 - p)).mean()  # <- here


def adjacency_loss_eps(z, adjacency):
    p = torch.sigmoid(z @ z.T)
    return -(adjacency * torch.log(p + 1e-15) + (1 - adjacency) * torch.log(1 - p + 1e-15)).mean()  # <- here


def degree_scaled(weight, features, adjacency, y):
    d = adjacency.sum(1) ** -0.5  # <- here
    return F.cross_entropy((d[:, None] * adjacency * d) @ features @ weight, y)


def degree_scaled_filled(weight, features, adjacency, y):
    d = adjacency.sum(1).pow(-0.5)
    d = d.masked_fill(d == float("inf"), 0.0)
    return F.cross_entropy((d[:, None] * adjacency * d) @ features @ weight, y)


def transport(x, y):
    cost = ((x[:, None] - y) ** 2).sum(-1)
    k = torch.exp(-cost / 0.1)
    v = torch.ones(y.shape[0])
    for _ in range(5):
        u = (1 / x.shape[0]) / (k @ v)  # <- here
        v = (1 / y.shape[0]) / (u @ k)  # <- here
    return (u[:, None] * k * v * cost).sum()


def transport_logs(x, y):
    cost = ((x[:, None] - y) ** 2).sum(-1)
    f, g = torch.zeros(x.shape[0]), torch.zeros(y.shape[0])
    for _ in range(5):
        f = -0.1 * torch.logsumexp((g - cost) / 0.1 - math.log(y.shape[0]), 1)
        g = -0.1 * torch.logsumexp((f[:, None] - cost) / 0.1 - math.log(x.shape[0]), 0)
    return f.mean() + g.mean()


def soft_min(a, b, c):
    return -0.1 * torch.log(torch.exp(-a / 0.1) + torch.exp(-b / 0.1) + torch.exp(-c / 0.1))  # <- here


def time_warping(x, y):
    d = (x[:, None] - y) ** 2
    r = {(0, 0): d[0, 0]}
    for i in range(x.shape[0]):
        for j in range(y.shape[0]):
            before = [r[p] for p in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if p in r]
            if len(before) == 3:
                r[i, j] = d[i, j] + soft_min(*before)
            elif before:
                r[i, j] = d[i, j] + before[0]
    return r[x.shape[0] - 1, y.shape[0] - 1]


def time_warping_logs(x, y):
    d = (x[:, None] - y) ** 2
    r = {(0, 0): d[0, 0]}
    for i in range(x.shape[0]):
        for j in range(y.shape[0]):
            before = [r[p] for p in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if p in r]
            if before:
                r[i, j] = d[i, j] - 0.1 * torch.logsumexp(-torch.stack(before) / 0.1, 0)
    return r[x.shape[0] - 1, y.shape[0] - 1]


def one_actor(state):
    state["a"][:, 0] = 0.5


def aligned(state):
    state["x"][0] = torch.tensor([1.0, 0, 0, 0, 0])
    state["w"][0] = torch.tensor([1.0, 0, 0, 0, 0])


def isolated(state):
    state["adjacency"][0].zero_()


def edge(state):
    state["action"].view(-1)[0] = 1.0


SAC = {
    "mu": normal(8, 2, scale=0.4),
    "log_std": normal(8, 2, scale=0.3, shift=-1.5),
    "noise": normal(8, 2),
    "q": normal(8),
}
OFFLINE = {"mu": normal(8, 2), "log_std": normal(8, 2, scale=0.3), "action": lambda g: 1.8 * torch.rand(8, 2,
    generator=g) - 0.9,
               "advantage": normal(8)}  # fmt: skip
SUMS = {"chosen": normal(8, scale=12, shift=-60), "rejected": normal(8, scale=12, shift=-60),
            "ref_chosen": normal(8, scale=12, shift=-60), "ref_rejected": normal(8, scale=12, shift=-60)}  # fmt: skip
WORDS = {"logits": normal(3, 4, 6), "words": lambda g: torch.randint(6, (3, 4), generator=g)}
VIEWS = {"a": normal(6, 5), "b": normal(6, 5)}
GRAPH = {"weight": normal(3, 3), "features": normal(6, 3), "adjacency": fixed((torch.ones(6,
    6) - torch.eye(6)).tolist()),
             "y": classes(6, 3)}  # fmt: skip
BALL = {"u": normal(8, 2, scale=0.2), "v": normal(8, 2, scale=0.2), "y": bits(8)}
LOGITS, RANKED = normal(8, 5), {"user": normal(8, 4), "liked": normal(8, 4), "other": normal(8, 4)}
EDGES = {"z": normal(6, 3), "adjacency": bits(6, 6)}
CLOUDS = {"x": normal(5, 2), "y": normal(5, 2)}
SERIES = {"x": normal(4), "y": normal(4)}
WIDE = lambda s: s["mu"].fill_(12)  # noqa: E731
CASES = (
    bug(squashed, given(**SAC, target="noise q"), "log sub tanh", "Haarnoja et al., SAC, appendix C, without eps",
        WIDE),
    sound(squashed_eps, given(**SAC, target="noise q"), "pytorch-soft-actor-critic#14", WIDE),
    sound(squashed_softplus, given(**SAC, target="noise q"), "OpenAI Spinning Up: SAC", WIDE),
    bug(scaled_action, given(**SAC, target="noise q"), "log",
        "issue Actor-Critic-Methods-Paper-To-Code#7: an action beyond 1",
        WIDE, verdict=EITHER),
    bug(unsquashed, given(**OFFLINE, target="action advantage"), "atanh", "issue ray#14878: an action on the bound",
        edge, verdict=EITHER),
    sound(unsquashed_clamped, given(**OFFLINE, target="action advantage"), "issue ray#14878: clamped", edge),
    bug(categorical_dqn, given(logits=LOGITS, projected=simplex(8, 5), target="projected"), "log mul",
        "Bellemare et al., C51, ICML 2017, through probabilities", scale(logits=100)),
    sound(categorical_dqn_logs, given(logits=LOGITS, projected=simplex(8, 5), target="projected"),
        "Rainbow repositories",
          scale(logits=100)),
    sound(quantile_huber, given(theta=normal(8, 5), goal=normal(8, 5), target="goal"), "Dabney et al., AAAI 2018"),
    sound(trust_region, given(logits=LOGITS, old=normal(8, shift=-1.6, scale=0.2), action=classes(8, 5),
          advantage=normal(8), target="old action advantage"), "Schulman et al., PPO, with a clamped log ratio",
          scale(logits=100)),
    sound(v_trace_entropy, given(logits=LOGITS, action=classes(8, 5), advantage=normal(8), target="action advantage"),
          "Espeholt et al., IMPALA, ICML 2018", scale(logits=30)),
    sound(temperature, given(log_alpha=normal(1), logp=normal(8), target="logp"), "Haarnoja et al., arXiv:1812.05905"),
    sound(smoothed, given(**WORDS, target="words"), "Szegedy et al., CVPR 2016: label smoothing", scale(logits=50)),
    bug(unlikelihood, given(logits=normal(3, 4, 6), bad=lambda g: torch.randint(6, (3, 4), generator=g), target="bad"),
        "log sub", "Welleck et al., arXiv:1908.04319, without the clamp", lambda s: s["logits"].mul_(100)),
    sound(unlikelihood_clamped, given(logits=normal(3, 4, 6), bad=lambda g: torch.randint(6, (3, 4), generator=g),
          target="bad"), "Welleck et al. 2019, as in fairseq", scale(logits=100)),
    bug(preference, given(**SUMS, target="ref_chosen ref_rejected"), "log", "Rafailov et al., DPO, arXiv:2305.18290, "
        "written as printed", lambda s: s["rejected"].fill_(300)),
    sound(preference_logsigmoid, given(**SUMS, target="ref_chosen ref_rejected"), "Rafailov et al. 2023: TRL's form",
          lambda s: s["rejected"].fill_(300)),
    bug(odds_ratio, given(logp_good=lambda g: -positive(8)(g), logp_bad=lambda g: -positive(8)(g)), "log1p",
        "Hong et al., ORPO, arXiv:2403.07691: a sentence of probability 1", lambda s: s["logp_good"].zero_(),
        verdict=EITHER),
    bug(reference_kl, given(logits=LOGITS, ref_logits=LOGITS, target="ref_logits"), "div log mul", "RLHF repositories: "
        "KL to a reference by probabilities", scale(logits=100)),
    sound(reference_kl_logs, given(logits=LOGITS, ref_logits=normal(8, 5), target="ref_logits"), "torch documentation: "
          "kl_div with log_target"),
    sound(estimator_k3, given(logp=normal(8, shift=-2), ref=normal(8, shift=-2), target="ref"),
        "Schulman, Approximating "
          "KL divergence, 2020", lambda s: s["logp"].fill_(-90)),
    sound(z_loss, given(logits=normal(8, 5), words=classes(8, 5), target="words"), "Chowdhery et al., PaLM",
          scale(logits=50)),
    sound(masked_attention, given(scores=normal(4, 5), values=normal(5, 3), keep=fixed([[1, 1, 1, 0, 0]] * 4),
          y=normal(4, 3), target="keep y"), "Vaswani et al., NeurIPS 2017: a -inf mask"),
    bug(info_nce, given(**VIEWS), "exp div log", "contrastive tutorials: exp of unnormalised products", scale(a=20)),
    sound(info_nce_normal, given(**VIEWS), "Chen et al., SimCLR, ICML 2020", copied("a", "b")),
    sound(nt_xent_exp, given(**VIEWS), "SimCLR repositories: exp of bounded cosines"),
    sound(supervised_contrastive, given(z=normal(8, 4), y=classes(8, 3), target="y"), "Khosla et al., NeurIPS 2020"),
    bug(barlow, given(**VIEWS), "div std", "Zbontar et al., ICML 2021: a collapsed feature", one_actor, verdict=EITHER),
    sound(vicreg, given(**VIEWS), "Bardes et al., ICLR 2022", one_actor),
    bug(margin_angle, given(x=normal(6, 5), w=normal(4, 5), y=classes(6, 4), target="y"), "sqrt",
        "Deng et al., ArcFace, "
        "CVPR 2019: sqrt(1 - cos**2)", aligned, verdict=EITHER),
    sound(margin_angle_clamped, given(x=normal(6, 5), w=normal(4, 5), y=classes(6, 4), target="y"),
        "insightface issues: "
          "clamped", aligned),
    bug(poincare, given(**BALL, target="y"), "acosh div", "Nickel & Kiela, NeurIPS 2017: equal points, or on the rim",
        copied("u", "v"), verdict=EITHER),
    sound(lorentz, given(**BALL, target="y"), "Nickel & Kiela, ICML 2018, clamped", copied("u", "v")),
    bug(bayesian_ranking, given(**RANKED), "log", "Rendle et al., BPR, UAI 2009, as printed", scale(other=100)),
    sound(bayesian_ranking_softplus, given(**RANKED), "LightGCN repositories", scale(other=100)),
    sound(sampled_softmax, given(user=normal(6, 4), items=normal(6, 4), popularity=unit(6), target="popularity"),
          "Yi et al., RecSys 2019: logQ correction"),
    sound(list_net, given(scores=normal(4, 6), grades=normal(4, 6), target="grades"), "Cao et al., ICML 2007",
          scale(scores=50)),
    sound(plackett_luce, given(scores=normal(4, 6)), "Xia et al., ListMLE, ICML 2008", scale(scores=50)),
    bug(adjacency_loss, given(**EDGES, target="adjacency"), "log sub mul",
        "Kipf & Welling, arXiv:1611.07308, without eps",
        scale(z=20)),
    bug(adjacency_loss_eps, given(**EDGES, target="adjacency"), "sub log",
        "PyTorch Geometric: EPS = 1e-15, where 1 - p "
        "is 0 from 16.6 on", scale(z=20), kind="precision dead-gradient", verdict="silent"),
    bug(degree_scaled, given(**GRAPH, target="adjacency y"), "pow mul", "Kipf & Welling, ICLR 2017: an isolated node",
        isolated, verdict=EITHER),
    sound(degree_scaled_filled, given(**GRAPH, target="adjacency y"), "PyTorch Geometric: gcn_norm", isolated),
    bug(transport, given(**CLOUDS, target="y"), "div exp", "Cuturi, Sinkhorn distances, NeurIPS 2013, algorithm 1",
        lambda s: s["x"].fill_(8)),
    sound(transport_logs, given(**CLOUDS, target="y"), "Peyré & Cuturi 2019, section 4.4", lambda s: s["x"].fill_(8)),
    bug(time_warping, given(**SERIES, target="y"), "log exp", "Cuturi & Blondel, Soft-DTW, ICML 2017, without shift",
        lambda s: s["x"].fill_(9), where=(soft_min,)),
    sound(time_warping_logs, given(**SERIES, target="y"), "Cuturi & Blondel 2017", lambda s: s["x"].fill_(9)),
)  # fmt: skip
