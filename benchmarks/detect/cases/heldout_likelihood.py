"""Held out, written before the tool was run on it: likelihoods of speech, sketches and counts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, counts, fixed, given, normal, positive, put, sound

PIXEL = "Salimans et al., PixelCNN++, ICLR 2017; github.com/r9y9/wavenet_vocoder pull request 5"
SKETCH = "Ha & Eck, A neural representation of sketch drawings, arXiv:1704.03477: epsilon 1e-6 in the mixture"
DEEPAR = "Salinas et al., DeepAR, Int. J. Forecasting 2020: series are divided by their mean"
SCVI = "github.com/scverse/scvi-tools issue 2965: lgamma at a large inverse dispersion"
ZINB = "Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 2018"
QUIET = {"kind": "dead-gradient precision wrong-density", "verdict": "silent defect wrong-formula"}
LOST = {"kind": "precision sign-flip inf nan", "verdict": "defect silent"}
DENSITY = {"kind": "wrong-density", "verdict": "wrong-formula"}


def pixel_mixture(logits, mean, log_scale, y):
    inv = torch.exp(-log_scale)
    upper = torch.sigmoid((y[:, None] - mean + 1 / 255) * inv)
    lower = torch.sigmoid((y[:, None] - mean - 1 / 255) * inv)
    return -torch.log((torch.softmax(logits, -1) * (upper - lower)).sum(-1)).mean()  # <- here


def pixel_mixture_in_logs(logits, mean, log_scale, y):
    log_scale = log_scale.clamp(min=-7.0)
    centred, inv = y[:, None] - mean, torch.exp(-log_scale)
    plus, minus, mid = (centred + 1 / 255) * inv, (centred - 1 / 255) * inv, centred * inv
    delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    density = mid - log_scale - 2 * F.softplus(mid) - math.log(127.5)
    inner = torch.where(delta > 1e-5, torch.log(delta.clamp(min=1e-12)), density)
    log_p = torch.where(y[:, None] > 0.999, -F.softplus(minus), inner)
    log_p = torch.where(y[:, None] < -0.999, plus - F.softplus(plus), log_p)
    return -torch.logsumexp(log_p + torch.log_softmax(logits, -1), -1).mean()


def logistic_density_by_exp(mean, log_scale, y):
    z = (y - mean) * torch.exp(-log_scale)
    return -(z - log_scale - 2 * torch.log(1 + torch.exp(z))).mean()  # <- here


def logistic_density_clamped_once(mean, log_scale, y):
    z = (y - mean) * torch.exp(-log_scale.clamp(-14.0, 14.0))  # <- here
    return -(z - log_scale - 2 * F.softplus(z)).mean()  # <- here


def logistic_density(mean, log_scale, y):
    log_scale = log_scale.clamp(-14.0, 14.0)
    z = (y - mean) * torch.exp(-log_scale)
    return -(z - log_scale - 2 * F.softplus(z)).mean()


def sketch_offsets(logits, mean, log_scale, y):
    z = (y[:, None] - mean) / torch.exp(log_scale)
    pdf = torch.exp(-0.5 * z**2) / (math.sqrt(2 * math.pi) * torch.exp(log_scale))  # <- here
    return -torch.log((torch.softmax(logits, -1) * pdf).sum(-1) + 1e-6).mean()  # <- here


def mixture_with_sigmoid_weights(logits, mean, y):
    log_p = -0.5 * (y[:, None] - mean) ** 2 - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_p + F.logsigmoid(logits), -1).mean()  # <- here


def series_divided_by_mean(forecast, y):
    level = y.abs().mean(1, keepdim=True)
    return ((y / level - forecast) ** 2).mean()  # <- here


def series_divided_by_mean_or_one(forecast, y):
    level = y.abs().mean(1, keepdim=True)
    level = torch.where(level > 0, level, torch.ones_like(level))
    return ((y / level - forecast) ** 2).mean()


def smape_without_nans(forecast, y):
    ratio = (forecast - y).abs() / (forecast.detach().abs() + y.abs())  # <- here
    ratio[torch.isnan(ratio)] = 0.0  # <- here
    return 200 * ratio.mean()


def smape_where_defined(forecast, y):
    total = forecast.detach().abs() + y.abs()
    ratio = (forecast - y).abs() / torch.where(total == 0, torch.ones_like(total), total)
    return 200 * ratio.mean()


def scaled_error(forecast, history, y):
    naive = (history[:, 1:] - history[:, :-1]).abs().mean(1)
    return ((forecast - y).abs().mean(1) / naive).mean()  # <- here


def negative_binomial_large_dispersion(mu, theta, y):
    log_sum = torch.log(theta + mu + 1e-8)
    return -(
        theta * (torch.log(theta + 1e-8) - log_sum)  # <- here
        + y * (torch.log(mu + 1e-8) - log_sum)
        + torch.lgamma(y + theta) - torch.lgamma(theta)  # <- here
        - torch.lgamma(y + 1)
    ).mean()  # fmt: skip


def negative_binomial_without_lgamma(logits, raw, y):
    r = F.softplus(raw) + 0.1
    return -(r * F.logsigmoid(-logits) + y * F.logsigmoid(logits)).mean()  # <- here


def zero_inflated_negative_binomial(mu_raw, theta_raw, gate, y):
    mu, theta = F.softplus(mu_raw) + 1e-4, F.softplus(theta_raw) + 1e-2
    log_sum = torch.log(theta + mu)
    zero = theta * (torch.log(theta) - log_sum)
    at_zero = F.softplus(-gate + zero) - F.softplus(-gate)
    some = -gate - F.softplus(-gate) + zero + y * (torch.log(mu) - log_sum)
    some = some + torch.lgamma(y + theta) - torch.lgamma(theta) - torch.lgamma(y + 1)
    return -torch.where(y < 0.5, at_zero, some).mean()


MIX = {"logits": normal(8, 3), "mean": normal(8, 3, scale=0.4), "log_scale": normal(8, 3, scale=0.3, shift=-1.0)}
PIXELS = fixed([2 * k / 255 - 1 for k in (0, 40, 95, 128, 166, 190, 240, 255)])
PAIR = {"mean": normal(12), "y": normal(12)}
DEMAND = fixed([[2.0, 0.0, 1.0, 4.0], [0.0, 0.0, 3.0, 1.0], [1.0, 2.0, 2.0, 0.0]])


def _same_history(state):
    state["history"][0] = 3.0


CASES = (
    bug(pixel_mixture, given(**MIX, y=PIXELS, target="y"), "log sub sigmoid", PIXEL, lambda s: s["mean"].fill_(60.0)),
    sound(pixel_mixture_in_logs, given(**MIX, y=PIXELS, target="y"), PIXEL, lambda s: s["mean"].fill_(60.0)),
    bug(logistic_density_by_exp, given(log_scale=normal(12, scale=0.3), **PAIR, target="y"), "exp log sub mul",
        "Balakrishnan, Handbook of the logistic distribution, 1991", put(mean=-150.0)),
    bug(logistic_density_clamped_once, given(log_scale=normal(12, scale=0.3), **PAIR, target="y"), "neg sub mean clamp",
        "Balakrishnan 1991: the scale is clamped in one of its two places, the loss falls without end",
        kind="unbounded", verdict="wrong-formula"),
    sound(logistic_density, given(log_scale=normal(12, scale=0.3), **PAIR, target="y"),
          "Balakrishnan 1991, by softplus", put(mean=-1e4)),
    bug(sketch_offsets, given(logits=normal(8, 3), mean=normal(8, 3, shift=25.0), log_scale=normal(8, 3, scale=0.2),
        y=normal(8), target="y"), "exp log add", SKETCH, lambda s: None, **QUIET),
    bug(mixture_with_sigmoid_weights, given(logits=normal(8, 3), mean=normal(8, 3), y=normal(8), target="y"),
        "logsumexp add logsigmoid mean neg sub mul", "Bishop, Mixture density networks, 1994: the weights must sum to "
        "one", **DENSITY),
    bug(series_divided_by_mean, given(forecast=normal(3, 4), y=positive(3, 4), target="y"), "div", DEEPAR,
        lambda s: s["y"][0].zero_(), verdict="limit defect"),
    sound(series_divided_by_mean_or_one, given(forecast=normal(3, 4), y=positive(3, 4), target="y"), DEEPAR,
          lambda s: s["y"][0].zero_()),
    bug(smape_without_nans, given(forecast=positive(3, 4), y=DEMAND, target="y"), "div",
        "Oreshkin et al., N-BEATS, ICLR 2020: NaN replaced after the division", lambda s: s["forecast"].copy_(s["y"]),
        phase="backward", verdict="defect limit"),
    sound(smape_where_defined, given(forecast=positive(3, 4), y=DEMAND, target="y"),
          "Oreshkin et al., N-BEATS, ICLR 2020, guarded before the division", lambda s: s["forecast"].copy_(s["y"])),
    bug(scaled_error, given(forecast=normal(3, 4), history=normal(3, 6), y=normal(3, 4), target="history y"), "div",
        "Hyndman & Koehler, Another look at measures of forecast accuracy, 2006", _same_history,
        verdict="limit defect"),
    bug(negative_binomial_large_dispersion, given(mu=positive(12), theta=positive(12, around=4e6), y=counts(12),
        target="y"), "lgamma sub mul add log", SCVI, lambda s: None, **LOST),
    bug(negative_binomial_without_lgamma, given(logits=normal(12), raw=normal(12), y=counts(12), target="y"),
        "mul mean neg add logsigmoid", "Hilbe, Negative binomial regression, 2011: the binomial coefficient depends "
        "on the dispersion", **DENSITY),
    sound(zero_inflated_negative_binomial, given(mu_raw=normal(12), theta_raw=normal(12), gate=normal(12),
          y=counts(12, mean=1.0), target="y"), ZINB, put(mu_raw=-30.0, theta_raw=-30.0, gate=60.0)),
)  # fmt: skip
