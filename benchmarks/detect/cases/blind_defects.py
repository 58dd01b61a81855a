"""Fourth set, defective: losses of public repositories as reported there, or as they stand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    fill,
    given,
    modelled,
    normal,
    positive,
    same,
    scale,
    unit,
)
from benchmarks.detect.cases.blind_classifiers import LIMIT, LOUD, small

RAISED = fill({"2.weight": 0.0, "2.bias": 100.0})
LOWERED = fill({"2.weight": 0.0, "2.bias": -100.0})
CONSTANT = fill({"2.weight": 0.0, "2.bias": 0.5})


def odds(chosen, rejected):
    """Mean log-probabilities a token; a chosen answer that is certain has 0."""
    log_odds = (chosen - rejected) - (torch.log(1 - torch.exp(chosen)) - torch.log(1 - torch.exp(rejected)))  # <- here
    return -(chosen + 0.1 * F.logsigmoid(log_odds)).mean()


def colour_balance(output, target):
    red, green, blue = output.mean(2).unbind(1)
    d = (red - green) ** 2, (red - blue) ** 2, (green - blue) ** 2
    return torch.pow(d[0] ** 2 + d[1] ** 2 + d[2] ** 2, 0.5).mean()  # <- here


def margin_of_angle(output, target):
    cos = F.normalize(output, dim=1)
    sin = torch.sqrt((1.0 - cos**2).clamp(0, 1))  # <- here
    phi = cos * math.cos(0.5) - sin * math.sin(0.5)
    y = F.one_hot(target, output.shape[1]).to(output.dtype)
    return F.cross_entropy(8 * (y * phi + (1 - y) * cos), target)


def box_of_gaussians(output, truth):
    (mu, raw), (nu, known) = output.chunk(2, 1), truth.chunk(2, 1)
    s, t = torch.exp(raw), torch.exp(known)
    distance = ((mu - nu) ** 2).sum(1) + ((s - t) ** 2).sum(1)
    return (1 - 1 / (1 + torch.sqrt(distance))).mean()  # <- here


def gains(output, truth):
    """Band gains, a sigmoid at the end of the net."""
    gain = torch.sigmoid(output)
    return ((truth**0.5 - gain**0.5) ** 2).mean()  # <- here


def supervised_pairs(output, target):
    z = F.normalize(output, dim=1)
    logits = z @ z.T / 0.5 - 1e9 * torch.eye(len(z))
    log_p = torch.log_softmax(logits, 1)
    mask = (target[:, None] == target).to(z.dtype) - torch.eye(len(z), dtype=z.dtype)
    return -((mask * log_p).sum(1) / mask.sum(1)).mean()  # <- here


def hyperbolic(output, truth):
    gap = ((output - truth) ** 2).sum(1)
    room = (1 - (output**2).sum(1)) * (1 - (truth**2).sum(1))
    return torch.acosh(1 + 2 * gap / room).mean()  # <- here


def ratio_of_signal(output, truth):
    s = ((output * truth).sum(1) / (truth**2).sum(1))[:, None] * truth  # <- here
    return -10 * torch.log10((s**2).sum(1) / ((output - s) ** 2).sum(1)).mean()  # <- here


def efficiency(output, target):
    r = (
        (output - output.mean()) @ (target - target.mean()) / (output.std() * target.std() * (len(output) - 1))
    )  # <- here
    alpha, beta = output.std() / target.std(), output.mean() / target.mean()  # <- here
    return torch.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + (beta - 1) ** 2)


def flat(model, batch):
    return efficiency(model(batch[0])[:, 0], batch[1])


def chosen_pixels(output, target):
    x, seen = target.unbind(1)
    good = seen > 0
    return F.smooth_l1_loss(output[:, 0][good], x[good])  # <- here


def remaining(output, target):
    a, b = torch.exp(output[:, 0]), torch.exp(output[:, 1])
    y, died = target.unbind(1)
    first = torch.pow((y + 1e-35) / a, b)  # <- here
    second = torch.pow((y + 1) / a, b)  # <- here
    return -(died * torch.log(torch.exp(second - first) - 1.0) - second).mean()  # <- here


def concentration(output, target):
    kappa = torch.exp(output[:, :1])
    unit_vector = F.normalize(output[:, 1:], dim=1)
    norm = torch.log(kappa) - torch.log(4 * math.pi * torch.sinh(kappa))  # <- here
    return -(norm + kappa * (unit_vector * F.normalize(target, dim=1)).sum(1, keepdim=True)).mean()


def angle_of_turn(output, truth):
    kappa = F.softplus(output[:, 1])
    return (torch.log(2 * math.pi * torch.i0(kappa)) - kappa * torch.cos(truth - output[:, 0])).mean()  # <- here


def inverse_gamma(output, target):
    gamma, v, alpha, beta = output.unbind(1)
    v, alpha, beta = F.softplus(v), F.softplus(alpha) + 1, F.softplus(beta)
    omega = 2 * beta * (1 + v)
    return (0.5 * torch.log(math.pi / v) - alpha * torch.log(omega)  # <- here
            + (alpha + 0.5) * torch.log(v * (target - gamma) ** 2 + omega)  # <- here
            + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5)).mean()  # fmt: skip


def transport(x, y):
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    k = torch.exp(-cost / 0.5)
    u, v = torch.ones(len(x)) / len(x), torch.ones(len(y)) / len(y)
    for _ in range(3):
        u = 1 / len(x) / (k @ v)  # <- here
        v = 1 / len(y) / (k.T @ u)  # <- here
    return (u[:, None] * k * v * cost).sum()


def canonical(one, two):
    a, b = one - one.mean(0), two - two.mean(0)
    n = len(a) - 1
    la, lb = torch.linalg.cholesky(a.T @ a / n), torch.linalg.cholesky(b.T @ b / n)  # <- here
    t = torch.linalg.solve_triangular(la, a.T @ b / n, upper=False)
    t = torch.linalg.solve_triangular(lb, t.T, upper=False)
    return -(t**2).sum()


def logdet_of_kernel(output, target):
    z = F.normalize(output, dim=1, eps=1e-6)
    kernel = torch.exp(2 * (z @ z.T))
    return -torch.logdet(kernel) / len(z) + F.mse_loss(output, target)  # <- here


def coefficient(output, target):
    p = torch.softmax(output, 1)
    q = torch.full_like(p, 1 / p.shape[1])
    return F.cross_entropy(output, target) - 0.1 * torch.log(torch.sqrt(p * q).sum(1)).mean()  # <- here


def coded(output, target):
    """Bits of a quantised latent under a learned normal."""
    mean, raw = output.chunk(2, 1)
    sigma = F.softplus(raw) + 1e-6
    low = 0.5 * (1 + torch.erf((target - 0.5 - mean) / sigma / math.sqrt(2)))
    high = 0.5 * (1 + torch.erf((target + 0.5 - mean) / sigma / math.sqrt(2)))
    return -torch.log2(high - low).mean()  # <- here


def excess(output, target):
    """Peaks over a threshold: generalised Pareto."""
    sigma, xi = F.softplus(output[:, :1]) + 1e-3, output[:, 1:]
    return (torch.log(sigma) + (1 + 1 / xi) * torch.log(1 + xi * target / sigma)).mean()  # <- here


def box_cox(output, target):
    power = output[:, 1:]
    moved = (target**power - 1) / power  # <- here
    return (0.5 * (moved - output[:, :1]) ** 2 - (power - 1) * torch.log(target)).mean()


def shared_entropy(output, target):
    mean = torch.softmax(output, 1).mean(0)
    return F.cross_entropy(output, target) + (mean * torch.log(mean)).sum()  # <- here


def gamma_rates(output, target):
    shape = torch.exp(output[:, :1])
    rate = torch.exp(output[:, 1:])
    density = (
        rate**shape * target ** (shape - 1) * torch.exp(-rate * target) / torch.exp(torch.lgamma(shape))
    )  # <- here
    return -torch.log(density).mean()  # <- here


def kling_gupta_eps_after(output, target):
    dp, dt = output - output.mean(), target - target.mean()
    r = (dp * dt).sum() / (torch.sqrt((dp**2).sum() * (dt**2).sum()) + 1e-6)  # <- here
    alpha = torch.sqrt((dp**2).mean() + 1e-8) / (target.std() + 1e-6)
    beta = (output.mean() - target.mean()) / (target.std() + 1e-6)
    return torch.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + beta**2 + 1e-8)


def soft_margin_area(output, truth):
    yes, no = output[truth > 0.5], output[truth < 0.5]
    return F.softplus(-(yes[:, None] - no[None])).mean()  # <- here


def never_a_loss(output, target):
    """Cross-entropy of probabilities that were made by softmax once before."""
    p = torch.softmax(output, 1)
    return F.cross_entropy(p, target)  # <- here


def half_forgotten(output, target):
    mean, raw = output.chunk(2, 1)
    return (((target - mean) ** 2) / torch.exp(raw) + 0.5 * raw).mean()  # <- here


def pixel(output, target):
    """A normal likelihood whose deviation enters the exponent and not the normaliser."""
    mean, raw = output.chunk(2, 1)
    sigma = F.softplus(raw) + 0.1
    return (0.5 * ((target - mean) / sigma) ** 2 + math.log(math.sqrt(2 * math.pi))).mean()  # <- here


def empty(*shape: int):
    """Values and a mask that shows a half of them."""

    def draw(g):
        seen = (torch.rand(shape, generator=g) > 0.5).float()
        seen[0] = 1.0
        return torch.stack([torch.randn(shape, generator=g), seen], 1)

    return draw


def lives(rows: int):
    def draw(g):
        return torch.stack([torch.rand(rows, generator=g) * 5 + 0.1, (torch.rand(rows, generator=g) > 0.3).float()], 1)

    return draw


def disc(rows: int, width: int):
    """Inside the unit ball."""

    def draw(g):
        x = torch.randn(rows, width, generator=g)
        return 0.6 * x / x.norm(dim=1, keepdim=True) * torch.rand(rows, 1, generator=g)

    return draw


def below_zero(*shape: int):
    return lambda g: -torch.rand(shape, generator=g) - 0.1


def pairs_of(rows: int):
    """Every class at least twice."""
    return lambda g: torch.arange(rows) // 4


def alone(state):
    state["targets"].copy_(torch.arange(len(state["targets"])))


X = normal(32, 6)
LABELS = classes(32, 3)
CASES = (
    bug(odds, given("", chosen=below_zero(16), rejected=below_zero(16)), "log", "huggingface/trl#1491: odds ratio",
        fill(chosen=-1e-9)),
    bug(colour_balance, modelled(lambda: nn.Linear(8, 8), unit(16, 3, 8), unit(16, 1)), "pow",
        "Li-Chongyi/Zero-DCE_extension#2: a grey image", fill({"weight": 0.0, "bias": 0.5}), phase="backward",
        verdict=LIMIT),
    bug(margin_of_angle, modelled(small(3), X, LABELS), "sqrt", "ronghuaiyang/arcface-pytorch#91",
        lambda s: (s["2.weight"].zero_(), s["2.bias"].copy_(torch.tensor([5.0, 0.0, 0.0]))),
        phase="backward", verdict=LIMIT),
    bug(box_of_gaussians, given("truth", output=normal(16, 4), truth=normal(16, 4)), "sqrt",
        "open-mmlab/mmrotate#205", same("output", "truth"), phase="backward", verdict=LIMIT),
    bug(gains, given("truth", output=normal(16, 4), truth=unit(16, 4)), "pow", "jzi040941/PercepNet#37",
        fill(output=-200.0), phase="backward"),
    bug(supervised_pairs, modelled(small(4), X, pairs_of(32)), "div", "HobbitLong/SupContrast#141", alone,
        verdict=LIMIT),
    bug(hyperbolic, given("truth", output=disc(16, 3), truth=disc(16, 3)), "acosh div",
        "zyli93/UMLS-explorer: elmo_hype", same("output", "truth"), verdict=LIMIT),
    bug(ratio_of_signal, given("truth", output=normal(16, 24), truth=normal(16, 24)), "div log10",
        "csteinmetz1/auraloss#25: a silent target", fill(truth=0.0), verdict=LIMIT),
    bug(flat, modelled(small(1), X, positive(32)), "div std", "Kling-Gupta efficiency of public gists", CONSTANT,
        verdict=LIMIT, where=(efficiency,)),
    bug(chosen_pixels, modelled(small(1), X, empty(32)), "mean smooth_l1_loss div", "MhLiao/DB#14: no valid pixel",
        lambda s: s["targets"][:, 1].zero_(), verdict=LIMIT),
    bug(remaining, modelled(small(2), X, lives(32)), "exp log pow div sub", "ragulpr/wtte-rnn: discrete Weibull",
        LOWERED, verdict=LIMIT),
    bug(concentration, modelled(small(4), X, normal(32, 3)), "sinh log exp", "von Mises-Fisher on the sphere, as in "
        "public gists", fill({"2.weight": 0.0, "2.bias": 6.0})),
    bug(angle_of_turn, given("truth", output=normal(16, 2), truth=normal(16)), "i0", "von Mises losses, "
        "multimodallearning/pytorch-mask style", fill(output=120.0)),
    bug(inverse_gamma, modelled(small(4), X, normal(32)), "div log", "aamini/evidential-deep-learning", 
        fill({"2.weight": 0.0, "2.bias": -120.0}), verdict=LIMIT),
    bug(transport, given("y", x=normal(16, 3), y=normal(20, 3)), "div", "dfdazac/wassdistance and others: Sinkhorn in "
        "linear space", scale(x=40.0)),
    bug(canonical, given("", one=normal(32, 3), two=normal(32, 3)), "cholesky", "Michaelvll/DeepCCA, without its ridge",
        fill(one=0.5), verdict=LIMIT),
    bug(logdet_of_kernel, modelled(small(3), normal(16, 6), normal(16, 3)), "logdet", "laming-chen/fast-map-dpp as a "
        "diversity loss", CONSTANT, verdict=LIMIT),
    bug(coefficient, modelled(small(3), X, LABELS), "sqrt", "Bhattacharyya losses of public gists", LOUD,
        phase="backward"),
    bug(coded, modelled(small(4), X, lambda g: torch.round(0.7 * torch.randn(32, 2, generator=g))), "log2",
        "InterDigitalInc/CompressAI without its lower bound", LOUD),
    bug(excess, modelled(small(2), X, positive(32, 1)), "log div reciprocal", "public extreme value losses",
        fill({"2.weight": 0.0, "2.bias": 0.0}), verdict=LIMIT),
    bug(box_cox, modelled(small(2), X, positive(32, 1)), "div", "Box & Cox 1964, as in public gists",
        fill({"2.weight": 0.0, "2.bias": 0.0}), verdict=LIMIT),
    bug(shared_entropy, modelled(small(3), X, LABELS), "log", "tim-learn/SHOT without its eps",
        lambda s: (s["2.weight"].zero_(), s["2.bias"].copy_(torch.tensor([0.0, 0.0, -200.0])))),
    bug(gamma_rates, modelled(small(2), X, positive(32, 1)), "exp log pow div mul", "gamma densities in linear space",
        fill({"2.weight": 0.0, "2.bias": 6.0})),
    bug(kling_gupta_eps_after, modelled(small(1), X, positive(32, 1)), "sqrt", "torchhydro, neuralhydrology: "
        "Kling-Gupta at a constant output; called sound before the first run", CONSTANT, phase="backward",
        verdict=LIMIT),
    bug(soft_margin_area, given("truth", output=normal(32), truth=bits(32)), "mean", "iridiumblue/roc-star: "
        "one class only; called sound before the first run", fill(truth=0.0), verdict=LIMIT),
    bug(never_a_loss, modelled(small(3), X, LABELS), "log_softmax nll_loss softmax", "softmax before CrossEntropyLoss, "
        "a question of many threads", kind="wrong-density dead-gradient", verdict="wrong-formula silent"),
    bug(half_forgotten, modelled(small(2), X, normal(32, 1)), "add mul div exp sub pow mean", "a normal likelihood "
        "without its half", kind="wrong-density", verdict="wrong-formula"),
    bug(pixel, modelled(small(2), X, normal(32, 1)), "add mul div pow mean", "a normal likelihood without log sigma",
        kind="wrong-density unbounded", verdict="wrong-formula"),
)  # fmt: skip
