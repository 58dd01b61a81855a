"""Losses of public repositories as they stood when people complained of them: likelihoods, survival, flows, ranking."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, counts, fill, fixed, given, normal, positive, put, same, unit

LIMIT = "limit defect"


def transport_plan(one, two):
    cost = ((one[:, None] - two[None]) ** 2).sum(-1)
    kernel = torch.exp(-cost / 0.5)
    left = torch.ones_like(one[:, 0]) / len(one)
    for _ in range(4):
        right = (1.0 / len(two)) / (kernel.T @ left)  # <- here
        left = (1.0 / len(one)) / (kernel @ right)  # <- here
    return (left[:, None] * kernel * right[None] * cost).sum()


def partial_likelihood(risk, event):
    top = risk.max()
    log_sum = torch.log(torch.exp(risk - top).cumsum(0) + 1e-7) + top
    return -((risk - log_sum) * event).sum() / event.sum()  # <- here


def partial_likelihood_plain(risk, event):
    log_sum = torch.log(torch.exp(risk).cumsum(0))  # <- here
    return -((risk - log_sum) * event).sum() / event.sum().clamp(min=1)


def steps_to_failure(raw, days, seen):
    scale, shape = torch.exp(raw[:, 0]), F.softplus(raw[:, 1])
    before = ((days + 1e-6) / scale) ** shape
    after = ((days + 1.0) / scale) ** shape
    return -(seen * torch.log(torch.exp(after - before) - 1.0) - after).mean()  # <- here


def steps_to_failure_epsilon(raw, days, seen):
    scale, shape = torch.exp(raw[:, 0]), F.softplus(raw[:, 1])
    before = ((days + 1e-6) / scale) ** shape
    after = ((days + 1.0) / scale) ** shape
    return -(seen * torch.log(torch.exp(after - before) - 1.0 + 1e-6) - after).mean()  # <- here


def evidence_of_a_number(mean, raw, y):
    v, alpha, beta = F.softplus(raw).unbind(-1)
    alpha = alpha + 1
    twice = 2 * beta * (1 + v)
    nll = 0.5 * torch.log(math.pi / v) - alpha * torch.log(twice)  # <- here
    nll = nll + (alpha + 0.5) * torch.log(v * (y - mean) ** 2 + twice)  # <- here
    return (nll + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5)).mean()


def weather_step(mean, raw, y):
    std = F.softplus(raw)
    return (0.5 * ((y - mean) / std) ** 2 + torch.log(std) + 0.5 * math.log(2 * math.pi)).mean()  # <- here


def ranked_probability(mean, raw, y):
    std = F.softplus(raw)
    z = (y - mean) / std  # <- here
    below = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return (std * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))).mean()  # <- here


def cut_points(score, level):
    edges = torch.tensor([-1.5, -0.3, 0.4, 1.6])
    below = torch.sigmoid(edges - score[:, None])
    step = torch.cat([below[:, :1], below[:, 1:] - below[:, :-1], 1 - below[:, -1:]], 1)
    return -torch.log(step.gather(1, level[:, None])).mean()  # <- here


def cluster_sizes(logits, prior):
    shares = torch.softmax(logits, -1).mean(0)
    return F.kl_div(shares, prior, reduction="sum")  # <- here


def anchored_binary(logit, label):
    return -(label * F.logsigmoid(logit) + (1 - label) * F.logsigmoid(1 - logit)).mean()  # <- here


def excitation(raw, gaps):
    rate = torch.where(raw <= 0, torch.exp(raw), 1 + raw)  # <- here
    return (rate * gaps - torch.log(rate + 1e-6)).mean()


def event_intensity(raw, gaps, kind):
    rate = F.softplus(raw)
    at_event = rate.gather(1, kind[:, None]).squeeze(1)
    return ((rate.sum(-1) * gaps) - torch.log(at_event)).mean()  # <- here


def one_bin_flow(raw, y):
    a, b = 0.1 + torch.sigmoid(raw[:, 0]), 0.5 + torch.sigmoid(raw[:, 1])
    root = torch.sqrt(b**2 + 4 * a * (y + 0.05))  # <- here
    inside = (y >= 0) & (y <= 1)
    x = torch.where(inside, (root - b) / (2 * a), y)
    log_det = torch.where(inside, -torch.log(root), torch.zeros_like(y))
    return (0.5 * x**2 - log_det).mean()


def evidence_of_a_class(logits, label):
    alpha = torch.exp(logits) + 1  # <- here
    total = alpha.sum(-1)
    own = alpha.gather(1, label[:, None]).squeeze(1)
    return (torch.digamma(total) - torch.digamma(own)).mean()  # <- here


def gentle_focal(logits, label):
    p = torch.sigmoid(logits)
    hit = torch.pow(1 - p, 0.5) * label * torch.log(p + 1e-8)  # <- here
    miss = torch.pow(p, 0.5) * (1 - label) * torch.log(1 - p + 1e-8)  # <- here
    return -(0.25 * hit + 0.75 * miss).mean()


def focal_overlap(logits, label):
    p = torch.sigmoid(logits)
    hit, lost, extra = (p * label).sum(), ((1 - p) * label).sum(), (p * (1 - label)).sum()
    return torch.pow(1 - (hit + 1) / (hit + 0.7 * lost + 0.3 * extra + 1), 0.75)  # <- here


def _every_pixel_right(state):
    state["logits"].copy_(400 * state["label"] - 200)


def tasks_weighed(sigma, first, second, third):
    errors = torch.stack([first.pow(2).mean(), second.abs().mean(), third.pow(2).mean()])
    return (0.5 / sigma**2 * errors + torch.log(1 + sigma**2)).sum()  # <- here


def two_powers(raw, x):
    a, b = F.softplus(raw[:, 0]), F.softplus(raw[:, 1])
    rest = torch.log(1 - x**a)  # <- here
    return -(torch.log(a + 1e-20) + torch.log(b + 1e-20) + (a - 1) * torch.log(x) + (b - 1) * rest).mean()


def box_density(raw, box):
    centre, sigma = torch.sigmoid(raw[..., :4]), torch.sigmoid(raw[..., 4:])
    density = torch.exp(-0.5 * ((box - centre) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))  # <- here
    return -torch.log(density + 1e-9).mean()  # <- here


def path_density(output, place):
    mx, my, raw_x, raw_y, raw_r = output.unbind(-1)
    sx, sy, rho = torch.exp(raw_x.clamp(-6, 6)), torch.exp(raw_y.clamp(-6, 6)), torch.tanh(raw_r)
    over = torch.pow(1 - rho**2, -0.5)  # <- here
    dx, dy = (place[..., 0] - mx) / sx, (place[..., 1] - my) / sy
    return (0.5 * over**2 * (dx**2 + dy**2 - 2 * rho * dx * dy) + torch.log(sx * sy / over) + 1.8379).mean()


def log_cosine(output, y):
    return torch.log(torch.cosh(output - y + 1e-12)).mean()  # <- here


def logarithmic_error(output, y):
    return torch.sqrt(((torch.log(output + 1) - torch.log(y + 1)) ** 2).mean())  # <- here


def percentage_error(output, y):
    share = (y - output).abs() / y.abs()  # <- here
    share[share != share] = 0.0
    share[share == float("inf")] = 0.0
    return share.mean()


def all_pairs(query, gallery, label):
    squares = (query**2).sum(1)[:, None] + (gallery**2).sum(1)[None]
    gaps = torch.sqrt(squares - 2 * query @ gallery.T)  # <- here
    alike = label[:, None] == label[None]
    farthest = (gaps * alike).max(1).values
    nearest = gaps.masked_fill(alike, 1e9).min(1).values
    return torch.relu(farthest - nearest + 0.3).mean()


def soft_gain(score, relevance):
    rank = 1 + torch.sigmoid((score[:, None] - score[:, :, None]) / 0.5).sum(-1) - 0.5
    gain = ((2**relevance - 1) / torch.log2(1 + rank)).sum(-1)
    ideal = torch.sort(relevance, descending=True, dim=-1).values
    best = ((2**ideal - 1) / torch.log2(torch.arange(2.0, 2 + relevance.shape[1]))).sum(-1)
    return -(gain / best).mean()  # <- here


def value_histogram(logits, value):
    edges = torch.linspace(-3, 3, 13)
    below = torch.erf((edges - value[:, None]) / (math.sqrt(2) * 0.4))
    share = (below[:, 1:] - below[:, :-1]) / (below[:, -1:] - below[:, :1])  # <- here
    return F.cross_entropy(logits, share)


def coupling(output, z):
    raw, shift = output.chunk(2, -1)
    scale = torch.sigmoid(raw + 2)
    x = (z + shift) * scale
    return (0.5 * (x**2).sum(-1) - torch.log(scale).sum(-1)).mean()  # <- here


def noise_weighted(output, noise, step):
    kept = torch.linspace(0.99, 0.0, 20)
    snr = (kept / (1 - kept))[step]
    weight = torch.clamp(snr, max=5.0) / snr  # <- here
    return (weight * ((output - noise) ** 2).mean(-1)).mean()


def cloud_distance(points, truth, count):
    gaps = ((points[:, :, None] - truth[:, None]) ** 2).sum(-1)
    near = gaps.min(2).values * (torch.arange(points.shape[1]) < count[:, None])
    return (near.sum(1) / count).mean()  # <- here


def gene_counts(mean, raw, reads):
    theta = torch.exp(raw)
    mu = F.softplus(mean)
    both = torch.log(theta + mu + 1e-8)
    log_p = theta * (torch.log(theta + 1e-8) - both) + reads * (torch.log(mu + 1e-8) - both)
    return -(log_p + torch.lgamma(reads + theta) - torch.lgamma(theta) - torch.lgamma(reads + 1)).mean()  # <- here


CLOUDS = {"points": normal(6, 5, 3), "truth": normal(6, 4, 3)}
CASES = (
    bug(
        transport_plan,
        given(one=normal(6, 2), two=normal(6, 2)),
        "div",
        "PythonOT/POT#54, t-vi/pytorch-tvmisc#9: Sinkhorn's iteration in plain numbers",
        lambda s: s["one"].add_(20.0),
    ),
    bug(
        partial_likelihood,
        given("event", risk=normal(12), event=bits(12)),
        "div",
        "havakv/pycox#124: no event",
        fill(event=0.0),
        verdict=LIMIT,
    ),
    bug(
        partial_likelihood_plain,
        given("event", risk=normal(12), event=bits(12)),
        "exp log",
        "jaredleekatzman/DeepSurv, mexchy1000/DeepSurv_Keras",
        fill(risk=100.0),
    ),
    bug(
        steps_to_failure,
        given("days seen", raw=normal(10, 2, scale=0.5), days=counts(10), seen=bits(10)),
        "log exp sub",
        "ragulpr/wtte-rnn#39: the discrete Weibull",
        lambda s: s["raw"][:, 1].fill_(-20.0),
    ),
    bug(
        steps_to_failure_epsilon,
        given("days seen", raw=normal(10, 2, scale=0.5), days=counts(10), seen=bits(10)),
        "exp pow",
        "ragulpr/wtte-rnn#39: with the epsilon that was proposed",
        lambda s: s["raw"].copy_(torch.tensor([-5.0, 2.0])),
        verdict=LIMIT,
    ),
    bug(
        evidence_of_a_number,
        given("y", mean=normal(12), raw=normal(12, 3), y=normal(12)),
        "div log softplus",
        "aamini/evidential-deep-learning#5, deebuls/deep_evidential_regression_loss_pytorch#3",
        fill(raw=-120.0),
        verdict=LIMIT,
    ),
    bug(
        weather_step,
        given("y", mean=normal(12), raw=normal(12), y=normal(12)),
        "div log softplus pow",
        "mllam/neural-lam, pull request 537",
        fill(raw=-120.0),
        verdict=LIMIT,
    ),
    bug(
        ranked_probability,
        given("y", mean=normal(12), raw=normal(12), y=normal(12)),
        "div mul softplus",
        "mllam/neural-lam: CRPS of a normal",
        fill(raw=-120.0),
        verdict=LIMIT,
    ),
    bug(
        cut_points,
        given("level", score=normal(12), level=classes(12, 5)),
        "log sub rsub sigmoid",
        "EthanRosenthal/spacecutter#5: ordinal regression before its clamp",
        fill(score=-60.0),
    ),
    bug(
        cluster_sizes,
        given("prior", logits=normal(12, 4), prior=fixed(torch.tensor([0.4, 0.3, 0.2, 0.1]))),
        "kl_div sub mul",
        "lightly-ai/lightly#1194: probabilities where log-probabilities are asked",
        kind="wrong-density negative-nll",
        verdict="wrong-formula",
    ),
    bug(
        anchored_binary,
        given("label", logit=normal(12), label=bits(12)),
        "logsigmoid rsub sub add",
        "slryou41/AnchorLoss#2: logsigmoid(1 - x)",
        kind="wrong-density",
        verdict="wrong-formula",
    ),
    bug(
        excitation,
        given("gaps", raw=normal(12), gaps=positive(12)),
        "exp",
        "pytorch/pytorch#68425: the branch that is not taken",
        fill(raw=100.0),
        phase="backward forward",
    ),
    bug(
        event_intensity,
        given("gaps kind", raw=normal(12, 3), gaps=positive(12), kind=classes(12, 3)),
        "log softplus",
        "ant-research/EasyTemporalPointProcess#9",
        fill(raw=-120.0),
    ),
    bug(
        one_bin_flow,
        given("y", raw=normal(12, 2), y=unit(12)),
        "sqrt",
        "danielward27/flowjax, pull request 240; pyro-ppl/pyro#3139: outside of the bins",
        put(y=-9.0),
        phase="backward forward",
    ),
    bug(
        evidence_of_a_class,
        given("label", logits=normal(12, 4), label=classes(12, 4)),
        "exp digamma sub",
        "pandeydeep9/EvidentialResearch2023: exp evidence without its clamp",
        fill(logits=95.0),
    ),
    bug(
        gentle_focal,
        given("label", logits=normal(12), label=bits(12)),
        "pow",
        "kornia/kornia#918",
        fill(logits=120.0),
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        focal_overlap,
        given("label", logits=normal(4, 8), label=bits(4, 8)),
        "pow",
        "shruti-jadon/Semantic-Segmentation-Loss-Functions#2: focal Tversky",
        _every_pixel_right,
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        tasks_weighed,
        given(sigma=fixed([1.0, 0.8, 1.2]), first=normal(8), second=normal(8), third=normal(8)),
        "div",
        "Mikoto10032/AutomaticWeightedLoss: a weight that passes 0",
        put(sigma=0.0),
        verdict="limit",
    ),
    bug(
        two_powers,
        given("x", raw=normal(12, 2), x=unit(12)),
        "log sub rsub pow",
        "google-deepmind/distrax, pull request 330; pymc-devs/pymc, pull request 2998: Kumaraswamy",
        lambda s: s["raw"][:, 0].fill_(-30.0),
    ),
    bug(
        box_density,
        given("box", raw=normal(8, 8), box=unit(8, 4)),
        "exp log add div",
        "motokimura/PyTorch_Gaussian_YOLOv3#23, jwchoi384/Gaussian_YOLOv3#40",
        kind="dead-gradient precision nan inf",
        verdict="silent defect",
    ),
    bug(
        path_density,
        given("place", output=normal(8, 5), place=normal(8, 2)),
        "pow sub rsub",
        "OpenDriveLab/UniAD#59: a bivariate normal for trajectories",
        lambda s: s["output"][:, 4].fill_(12.0),
    ),
    bug(
        log_cosine,
        given("y", output=normal(12), y=normal(12)),
        "cosh log",
        "tuantle/regression-losses-pytorch: log of cosh",
        fill(output=100.0),
    ),
    bug(
        logarithmic_error,
        given("y", output=positive(12), y=positive(12)),
        "log sqrt",
        "discuss.pytorch.org: RMSLE of a free output",
        fill(output=-1.5),
        verdict="limit defect",
    ),
    bug(
        percentage_error,
        given("y", output=normal(12), y=positive(12)),
        "div",
        "Nixtla/neuralforecast: a quotient repaired in place after the division",
        put(y=0.0),
        verdict=LIMIT,
        phase="backward forward",
    ),
    bug(
        all_pairs,
        given("label", query=normal(8, 4), gallery=normal(8, 4), label=fixed([0, 0, 1, 1, 2, 2, 3, 3])),
        "sqrt",
        "michuanhaohao/reid-strong-baseline: hard pairs without the clamp",
        same("query", "gallery"),
        verdict=LIMIT,
    ),
    bug(
        soft_gain,
        given("relevance", score=normal(6, 5), relevance=lambda g: torch.randint(0, 4, (6, 5), generator=g).float()),
        "div",
        "allegro/allRank: a list without a relevant item",
        lambda s: s["relevance"][0].zero_(),
        verdict=LIMIT,
    ),
    bug(
        value_histogram,
        given("value", logits=normal(10, 12), value=normal(10)),
        "div",
        "lucidrains/hl-gauss-pytorch: a value far outside of the bins",
        put(value=30.0),
        verdict=LIMIT,
    ),
    bug(
        coupling,
        given(output=normal(8, 6), z=normal(8, 3)),
        "log sigmoid",
        "rosinality/glow-pytorch: log(sigmoid)",
        fill(output=-120.0),
    ),
    bug(
        noise_weighted,
        given("noise step", output=normal(8, 4), noise=normal(8, 4), step=fixed([0, 3, 7, 11, 15, 18, 2, 9])),
        "div",
        "huggingface/diffusers: min-SNR weights at a last step without signal",
        put(step=19),
        verdict=LIMIT,
    ),
    bug(
        cloud_distance,
        given("truth count", **CLOUDS, count=fixed([5, 4, 5, 3, 2, 5])),
        "div",
        "facebookresearch/pytorch3d#1174: a cloud without points",
        put(count=0),
        verdict=LIMIT,
    ),
    bug(
        gene_counts,
        given("reads", mean=normal(10, 3), raw=normal(10, 3, shift=1.0), reads=counts(10, 3)),
        "lgamma sub add digamma",
        "scverse/scvi-tools#2965: a large inverse dispersion",
        kind="precision nan inf dead-gradient",
        verdict="silent defect",
    ),
)
