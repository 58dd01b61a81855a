"""Losses of public repositories that look dangerous and are right: guards in their place, masks, logs of sums."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bits,
    classes,
    counts,
    fill,
    fixed,
    given,
    normal,
    positive,
    put,
    same,
    sound,
    unit,
)

_G = torch.Generator().manual_seed(11)
HEAT = torch.rand(4, 6, 6, generator=_G)


def adaptive_wing(heat, truth):
    gap = (truth - heat).abs()
    power = 2.1 - truth
    slope = 14 / (1 + 0.5**power) * power * 0.5 ** (power - 1) / 1.0
    start = 0.5 * slope - 14 * torch.log(1 + 0.5**power)
    return torch.where(gap < 0.5, 14 * torch.log(1 + gap**power), slope * gap - start).mean()


def turns_with_epsilon(vector, truth):
    angle = torch.norm(vector + 1e-8, dim=-1, keepdim=True)
    axis = vector / angle
    point = torch.tensor([0.3, -0.2, 0.9]).to(vector).expand_as(vector)
    along = (axis * point).sum(-1, keepdim=True) * axis
    turned = torch.cos(angle) * (point - along) + torch.sin(angle) * torch.linalg.cross(axis, point) + along
    return ((turned - truth) ** 2).sum(-1).mean()


def six_numbers(output, truth):
    first, second = output.chunk(2, -1)
    x = first / first.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    z = torch.linalg.cross(x, second)
    z = z / z.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    turn = torch.stack([x, torch.linalg.cross(z, x), z], -1)
    return ((turn - truth) ** 2).mean()


def graph_views(one, two):
    a, b = F.normalize(one), F.normalize(two)
    within, between = torch.exp(a @ a.T / 0.5), torch.exp(a @ b.T / 0.5)
    return -torch.log(between.diagonal() / (within.sum(1) + between.sum(1) - within.diagonal())).mean()


def code_use(logits):
    share = torch.softmax(logits, -1).mean(0)
    return -torch.exp(-(share * torch.log(share + 1e-10)).sum())


def direct_preference(chosen, rejected, chosen_before, rejected_before):
    margin = (chosen - rejected) - (chosen_before - rejected_before)
    return (-F.logsigmoid(0.1 * margin) * 0.9 - F.logsigmoid(-0.1 * margin) * 0.1).mean()


def identity_preference(chosen, rejected, chosen_before, rejected_before):
    margin = (chosen - rejected) - (chosen_before - rejected_before)
    return ((margin - 1 / (2 * 0.1)) ** 2).mean()


def router_terms(logits):
    p = torch.softmax(logits, -1)
    hot = F.one_hot(p.argmax(-1), logits.shape[-1]).to(p)
    balance = logits.shape[-1] * (hot.mean(0) * p.mean(0)).sum()
    return balance + 1e-3 * (torch.logsumexp(logits, -1) ** 2).mean()


def importance_spread(logits):
    share = torch.softmax(logits, -1).sum(0)
    return share.var() / (share.mean() ** 2 + 1e-10)


def sigmoid_gate(logits, expert):
    gate = torch.sigmoid(logits)
    gate = gate / (gate.sum(-1, keepdim=True) + 1e-20)
    return ((gate * expert).sum(-1) ** 2).mean()


def paired_pictures(picture, text, log_scale):
    scale = torch.exp(log_scale.clamp(max=math.log(100.0)))
    score = scale * F.normalize(picture) @ F.normalize(text).T
    own = torch.arange(len(score))
    return 0.5 * (F.cross_entropy(score, own) + F.cross_entropy(score.T, own))


def two_hot_return(logits, value):
    edges = torch.linspace(-5, 5, 11).to(value)
    squeezed = (torch.sign(value) * torch.log1p(value.abs())).clamp(-5, 5)
    low = (torch.floor(squeezed).long() + 5).clamp(0, 9)
    up = squeezed - edges[low]
    target = torch.zeros_like(logits)
    target.scatter_(1, low[:, None], (1 - up)[:, None]).scatter_(1, low[:, None] + 1, up[:, None])
    return -(target * F.log_softmax(logits, -1)).sum(-1).mean()


def balanced_latents(post, prior):
    log_q, log_p = F.log_softmax(post, -1), F.log_softmax(prior, -1)
    learn = (log_q.detach().exp() * (log_q.detach() - log_p)).sum(-1)
    shape = (log_q.exp() * (log_q - log_p.detach())).sum(-1)
    return 0.8 * learn.clamp(min=0.01).mean() + 0.2 * shape.clamp(min=0.01).mean()


def implicit_quantiles(output, aim, tau):
    gap = aim[:, None] - output[:, :, None]
    huber = torch.where(gap.abs() <= 1, 0.5 * gap**2, gap.abs() - 0.5)
    return ((tau[:, :, None] - (gap.detach() < 0).to(gap)).abs() * huber).sum(1).mean()


def distances_with_mask(embedding, label):
    squares = ((embedding[:, None] - embedding[None]) ** 2).sum(-1)
    zero = (squares == 0).to(squares)
    gaps = torch.sqrt(squares + zero * 1e-16) * (1 - zero)
    alike = label[:, None] == label[None]
    return torch.relu((gaps * alike).max(1).values - gaps.masked_fill(alike, 1e9).min(1).values + 0.2).mean()


def class_centres(feature, centre, label):
    squares = ((feature[:, None] - centre[None]) ** 2).sum(-1)
    own = F.one_hot(label, len(centre)).to(squares)
    return (squares * own).clamp(1e-12, 1e12).sum() / len(feature)


def circle(embedding, label):
    z = F.normalize(embedding)
    score, alike = z @ z.T, label[:, None] == label[None]
    other = ~torch.eye(len(z), dtype=torch.bool)
    good = -16 * torch.relu(1.25 - score.detach()) * (score - 0.75)
    bad = 16 * torch.relu(score.detach() + 0.25) * (score - 0.25)
    good = good.masked_fill(~(alike & other), float("-inf"))
    bad = bad.masked_fill(alike, float("-inf"))
    return F.softplus(torch.logsumexp(good, 1) + torch.logsumexp(bad, 1)).mean()


def pointer(logits, allowed, choice):
    log_p = F.log_softmax(logits.masked_fill(allowed == 0, -1e9), -1)
    return -log_p.gather(1, choice[:, None]).mean()


def policy_entropy(logits, allowed, choice, advantage):
    closed = (allowed == 0) & (allowed.sum(-1, keepdim=True) > 0)
    log_p = F.log_softmax(logits.masked_fill(closed, float("-inf")), -1)
    safe = torch.where(closed, torch.zeros_like(log_p), log_p)
    entropy = -(safe.exp() * safe * ~closed).sum(-1)
    return -(log_p.gather(1, choice[:, None]).squeeze(1) * advantage + 0.01 * entropy).mean()


def missing_readings(output, reading):
    gap = torch.where(torch.isnan(reading), torch.zeros_like(reading), reading) - output
    return torch.nanmean(torch.where(torch.isnan(reading), torch.full_like(gap, float("nan")), gap**2).detach()) + (
        (gap**2 * (~torch.isnan(reading))).sum() / (~torch.isnan(reading)).sum().clamp(min=1)
    )


def heavy_tails(mean, raw_scale, raw_df, y):
    scale, df = F.softplus(raw_scale) + 1e-3, 2 + F.softplus(raw_df)
    z = (y - mean) / scale
    log_p = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * torch.log(math.pi * df) - torch.log(scale)
    return -(log_p - (df + 1) / 2 * torch.log1p(z**2 / df)).mean()


def inflated_reads(mean, raw, gate, reads):
    mu, theta = F.softplus(mean) + 1e-4, F.softplus(raw) + 1e-2
    at_zero = theta * (torch.log(theta) - torch.log(theta + mu))
    zero = F.softplus(at_zero - gate) - F.softplus(-gate)
    more = -gate - F.softplus(-gate) + at_zero + reads * (torch.log(mu) - torch.log(theta + mu))
    more = more + torch.lgamma(reads + theta) - torch.lgamma(theta) - torch.lgamma(reads + 1)
    return -torch.where(reads < 1e-8, zero, more).mean()


def grouped_deviance(raw, y):
    m = torch.exp(raw.clamp(-8, 8))
    return (2 * y**0.5 / (-0.25) + y * m**-0.5 / 0.5 + m**0.5 / 0.5).mean()


def discrete_hazard(logits, interval, event):
    hit = F.one_hot(interval, logits.shape[1]).to(logits) * event[:, None]
    each = F.binary_cross_entropy_with_logits(logits, hit, reduction="none")
    return each.cumsum(1).gather(1, interval[:, None]).mean()


def competing_times(logits, interval, event):
    padded = F.pad(logits, (0, 1))
    top = padded.max(1).values
    padded = padded - top[:, None]
    total = torch.exp(padded).cumsum(1)
    whole = total[:, -1]
    own = padded.gather(1, interval[:, None]).squeeze(1) * event
    after = torch.log(torch.relu(whole - total.gather(1, interval[:, None]).squeeze(1)) + 1e-7) * (1 - event)
    return -(own - torch.log(whole + 1e-7) * event + after - torch.log(whole + 1e-7) * (1 - event)).mean()


def ranks_one_by_one(logits, level):
    steps = (level[:, None] > torch.arange(logits.shape[1])).to(logits)
    below = F.logsigmoid(logits)
    return -(below * steps + (below - logits) * (1 - steps)).sum(1).mean()


def cut_points_in_logs(score, level):
    edges = torch.tensor([-30.0, -1.5, -0.3, 0.4, 1.6, 30.0]).to(score)
    high, low = edges[level + 1] - score, edges[level] - score
    width = high - low
    return -(torch.log(-torch.expm1(-width)) + F.logsigmoid(high) + F.logsigmoid(-low)).mean()


HALF = {"chosen": normal(10), "rejected": normal(10), "chosen_before": normal(10), "rejected_before": normal(10)}
OLD = "chosen_before rejected_before"
READS = {"mean": normal(10, 3), "raw": normal(10, 3), "gate": normal(10, 3), "reads": counts(10, 3)}
ALLOWED = fixed(torch.tensor([[1, 1, 0, 1, 1]] * 6))
GAPS = torch.randn(8, 4, generator=_G).masked_fill(torch.rand(8, 4, generator=_G) < 0.2, float("nan"))
PAIRS = fixed([0, 0, 1, 1, 2, 2, 3, 3])
CASES = (
    sound(
        adaptive_wing,
        given("truth", heat=normal(4, 6, 6, scale=0.3), truth=fixed(HEAT)),
        "protossw512/AdaptiveWingLoss#1: powers above 1",
        same("heat", "truth"),
    ),
    sound(
        turns_with_epsilon,
        given("truth", vector=normal(10, 3), truth=normal(10, 3)),
        "batch_rodrigues of MandyMo/pytorch_HMR and vchoutas/smplx",
        lambda s: s["vector"][0].zero_(),
    ),
    sound(
        six_numbers, given("truth", output=normal(8, 6), truth=normal(8, 3, 3)), "papagina/RotationContinuity: tools.py"
    ),
    sound(
        graph_views,
        given(one=normal(8, 5), two=normal(8, 5)),
        "CRIPAC-DIG/GRACE: model.py",
        lambda s: s["one"].mul_(100),
    ),
    sound(
        code_use,
        given(logits=normal(10, 6)),
        "zalandoresearch/pytorch-vq-vae: perplexity",
        lambda s: s["logits"].mul_(100),
    ),
    sound(
        direct_preference,
        given(OLD, **HALF),
        "eric-mitchell/direct-preference-optimization: trainers.py",
        fill(chosen=-500.0),
    ),
    sound(
        identity_preference,
        given(OLD, **HALF),
        "eric-mitchell/direct-preference-optimization: ipo",
        fill(chosen=-500.0),
    ),
    sound(
        router_terms,
        given(logits=normal(16, 4)),
        "lucidrains/st-moe-pytorch: balance and z losses",
        lambda s: s["logits"].mul_(50),
    ),
    sound(
        importance_spread,
        given(logits=normal(16, 4)),
        "davidmrau/mixture-of-experts: cv_squared",
        lambda s: s["logits"].mul_(50),
    ),
    sound(
        sigmoid_gate,
        given("expert", logits=normal(12, 4), expert=normal(12, 4)),
        "deepseek-ai/DeepSeek-V3: sigmoid gates with 1e-20",
        fill(logits=-20.0),
    ),
    sound(
        paired_pictures,
        given(picture=normal(8, 5), text=normal(8, 5), log_scale=fixed([2.66])),
        "mlfoundations/open_clip: the scale clamped to 100",
        fill(log_scale=50.0),
    ),
    sound(
        two_hot_return,
        given("value", logits=normal(8, 11), value=normal(8, scale=4)),
        "danijar/dreamerv3: two-hot symlog",
        put(value=1e4),
    ),
    sound(
        balanced_latents,
        given(post=normal(8, 5), prior=normal(8, 5)),
        "danijar/dreamerv2: balanced KL with free nats",
        lambda s: s["post"].mul_(200),
    ),
    sound(
        implicit_quantiles,
        given("aim tau", output=normal(6, 4), aim=normal(6, 5), tau=unit(6, 4)),
        "BY571/IQN-and-Extensions",
        fill(output=1e3),
    ),
    sound(
        distances_with_mask,
        given("label", embedding=normal(8, 4), label=PAIRS),
        "omoindrot/tensorflow-triplet-loss",
        lambda s: s["embedding"][1].copy_(s["embedding"][0]),
    ),
    sound(
        class_centres,
        given("label", feature=normal(8, 4), centre=normal(5, 4), label=classes(8, 5)),
        "KaiyangZhou/pytorch-center-loss",
    ),
    sound(
        circle,
        given("label", embedding=normal(8, 5), label=PAIRS),
        "TinyZeaMays/CircleLoss, masks of -inf",
        lambda s: s["embedding"].mul_(100),
    ),
    sound(
        pointer,
        given("allowed choice", logits=normal(6, 5), allowed=ALLOWED, choice=fixed([0, 1, 3, 4, 0, 1])),
        "wouterkool/attention-learn-to-route",
        lambda s: s["logits"].mul_(100),
    ),
    sound(
        policy_entropy,
        given(
            "allowed choice advantage",
            logits=normal(6, 5),
            allowed=ALLOWED,
            choice=fixed([0, 1, 3, 4, 0, 1]),
            advantage=normal(6),
        ),
        "vwxyzjn/invalid-action-masking, entropy behind where",
        lambda s: s["logits"].mul_(100),
    ),
    sound(
        missing_readings,
        given("reading", output=normal(8, 4), reading=fixed(GAPS)),
        "chnsh/DCRNN_PyTorch: missing readings as NaN",
    ),
    sound(
        heavy_tails,
        given("y", mean=normal(10), raw_scale=normal(10), raw_df=normal(10), y=normal(10)),
        "awslabs/gluonts: Student t",
        fill(raw_scale=-120.0),
    ),
    sound(
        inflated_reads, given("reads", **READS), "scverse/scvi-tools: zero-inflated negative binomial", fill(gate=90.0)
    ),
    sound(
        grouped_deviance,
        given("y", raw=normal(12), y=positive(12)),
        "Nixtla/utilsforecast, pull request 270: a deviance whose term without parameters has another factor",
        fill(raw=60.0),
    ),
    sound(
        discrete_hazard,
        given("interval event", logits=normal(8, 5), interval=classes(8, 5), event=bits(8)),
        "havakv/pycox: nll_logistic_hazard",
        fill(logits=120.0),
    ),
    sound(
        competing_times,
        given("interval event", logits=normal(8, 5), interval=classes(8, 5), event=bits(8)),
        "havakv/pycox: nll_pmf",
        fill(logits=120.0),
    ),
    sound(
        ranks_one_by_one,
        given("level", logits=normal(8, 4), level=classes(8, 5)),
        "Raschka-research-group/coral-pytorch",
        fill(logits=200.0),
    ),
    sound(
        cut_points_in_logs,
        given("level", score=normal(12), level=classes(12, 5)),
        "mthorrell/gbnet#8: ordinal steps in logarithms",
        fill(score=60.0),
    ),
)
