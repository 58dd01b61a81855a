"""Likelihoods as public repositories have them (flows, variational bounds, survival, counts, points in time, copulas,
ordinal and circular targets, evidential regression): defective and sound. Written before the tool was run on them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, counts, given, normal, positive, scale, sound, unit
from benchmarks.detect.cases.unseen_detection import EITHER

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


# ---- flows --------------------------------------------------------------------------------------------------------


def coupling(raw, shift, x):
    s = torch.sigmoid(raw + 2)
    z = (x + shift) * s
    return (0.5 * z**2 + HALF_LOG_2PI - torch.log(s)).sum(1).mean()  # <- here


def coupling_logsigmoid(raw, shift, x):
    z = (x + shift) * torch.sigmoid(raw + 2)
    return (0.5 * z**2 + HALF_LOG_2PI - F.logsigmoid(raw + 2)).sum(1).mean()


def coupling_tanh(raw, shift, x):
    s = 2 * torch.tanh(raw / 2)
    return (0.5 * ((x - shift) * torch.exp(-s)) ** 2 + HALF_LOG_2PI + s).sum(1).mean()


def planar(w, u, b, x):
    wu = (w * u).sum()
    u = u + (F.softplus(wu) - 1 - wu) * w / (w**2).sum()  # <- here
    h = torch.tanh(x @ w + b)
    z = x + u * h[:, None]
    det = 1 + (1 - h**2) * (w @ u)
    return (0.5 * z**2 + HALF_LOG_2PI).sum(1).mean() - torch.log(det.abs() + 1e-4).mean()


def spline_inverse(low, rise, slope, y):
    a, b = F.softplus(slope[:, 1]) - F.softplus(slope[:, 0]), F.softplus(slope[:, 0])
    c = low - y * F.softplus(rise)
    root = torch.sqrt((b**2 - 2 * a * c).clamp(min=1e-6))
    t = (root - b) / a  # <- here
    return (0.5 * t**2 + HALF_LOG_2PI + torch.log(root)).mean()


def spline_inverse_stable(low, rise, slope, y):
    a, b = F.softplus(slope[:, 1]) - F.softplus(slope[:, 0]), F.softplus(slope[:, 0]) + 1e-3
    c = low - y * F.softplus(rise)
    root = torch.sqrt((b**2 - 2 * a * c).clamp(min=1e-6))
    t = -2 * c / (root + b)
    return (0.5 * t**2 + torch.log(root)).mean()


def act_norm(log_scale, bias, x):
    z = (x + bias) * torch.exp(log_scale)
    return (0.5 * z**2 + HALF_LOG_2PI).sum(1).mean() - log_scale.sum()


# ---- variational bounds -------------------------------------------------------------------------------------------


def _log_q(z, mean, log_var):
    return -0.5 * ((z[:, None] - mean) ** 2 * torch.exp(-log_var) + log_var) - HALF_LOG_2PI


def total_correlation(z, mean, log_var):
    log_q = _log_q(z, mean, log_var.clamp(-6, 6))
    joint = torch.log(torch.exp(log_q.sum(2)).mean(1))  # <- here
    product = torch.log(torch.exp(log_q).mean(1)).sum(1)  # <- here
    return (joint - product).mean()


def total_correlation_logs(z, mean, log_var):
    log_q = _log_q(z, mean, log_var.clamp(-6, 6))
    return (torch.logsumexp(log_q.sum(2), 1) - torch.logsumexp(log_q, 1).sum(1)).mean()


def code_usage(z, book):
    d = ((z[:, None] - book) ** 2).sum(2)
    usage = torch.softmax(-d, 1).mean(0)
    return d.min(1).values.mean() + 0.1 * (usage * torch.log(usage)).sum()  # <- here


def quantised(z, book):
    d = ((z[:, None] - book) ** 2).sum(2)
    q = book[d.argmin(1)]
    return F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(q.detach(), z)


def gaussian_kl(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()


def importance_bound(log_w):
    return -(torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])).mean()


# ---- diffusion ----------------------------------------------------------------------------------------------------


def signal_weighted(raw, error):
    alpha = torch.sigmoid(raw)
    snr = alpha / (1 - alpha)  # <- here
    return (snr.detach() * error**2 - 0.1 * torch.log(1 + snr)).mean()


def min_snr(log_snr, error):
    w = torch.minimum(torch.exp(log_snr.clamp(max=20)), torch.tensor(5.0))
    return (w * error**2).mean()


def velocity(x, noise, predicted, t):
    a, s = torch.cos(0.5 * math.pi * t)[:, None], torch.sin(0.5 * math.pi * t)[:, None]
    return F.mse_loss(predicted, a * noise - s * x)


# ---- evidential and robust regression -----------------------------------------------------------------------------


def evidential(gamma, nu, alpha, beta, y):
    nu, alpha, beta = F.softplus(nu), F.softplus(alpha) + 1, F.softplus(beta)
    omega = 2 * beta * (1 + nu)
    nll = (0.5 * torch.log(math.pi / nu) - alpha * torch.log(omega)  # <- here
           + (alpha + 0.5) * torch.log(nu * (y - gamma) ** 2 + omega)  # <- here
           + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5))  # fmt: skip
    return nll.mean()


def evidential_eps(gamma, nu, alpha, beta, y):
    nu, alpha, beta = F.softplus(nu) + 1e-6, F.softplus(alpha) + 1 + 1e-6, F.softplus(beta) + 1e-6
    omega = 2 * beta * (1 + nu)
    nll = (0.5 * torch.log(math.pi / nu) - alpha * torch.log(omega)
           + (alpha + 0.5) * torch.log(nu * (y - gamma) ** 2 + omega)
           + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5))  # fmt: skip
    return nll.mean()


def pinball(q, y):
    tau = torch.tensor([0.1, 0.5, 0.9])
    d = y[:, None] - q
    return torch.maximum(tau * d, (tau - 1) * d).mean()


def mixture(share, mean, raw, y):
    log_p = -0.5 * ((y[:, None] - mean) * torch.exp(-raw)) ** 2 - raw - HALF_LOG_2PI
    return -torch.logsumexp(torch.log_softmax(share, 1) + log_p, 1).mean()


def dirichlet_evidence(raw, y):
    alpha = F.softplus(raw) + 1
    return (y * (torch.digamma(alpha.sum(1, keepdim=True)) - torch.digamma(alpha))).sum(1).mean()


def binned_logistic(mean, raw, x):
    inv = torch.exp(-raw.clamp(min=-7))
    upper, lower = torch.sigmoid(inv * (x - mean + 1 / 255)), torch.sigmoid(inv * (x - mean - 1 / 255))
    return -torch.log(upper - lower).mean()  # <- here


def binned_logistic_floor(mean, raw, x):
    inv = torch.exp(-raw.clamp(min=-7))
    upper, lower = torch.sigmoid(inv * (x - mean + 1 / 255)), torch.sigmoid(inv * (x - mean - 1 / 255))
    return -torch.log((upper - lower).clamp(min=1e-12)).mean()  # <- here


# ---- survival -----------------------------------------------------------------------------------------------------


def deep_surv(risk, event):
    log_risk = torch.log(torch.cumsum(torch.exp(risk), 0))  # <- here
    return -((risk - log_risk) * event).sum() / event.sum().clamp(min=1)


def cox_logs(risk, event):
    return -((risk - torch.logcumsumexp(risk, 0)) * event).sum() / event.sum().clamp(min=1)


def discrete_weibull(log_a, log_b, t, u):
    a, b = torch.exp(log_a), F.softplus(log_b)
    first, second = (t / a) ** b, ((t + 1) / a) ** b
    return -(u * torch.log(torch.exp(second - first) - 1) - second).mean()  # <- here


def discrete_weibull_stable(log_a, log_b, t, u):
    b = F.softplus(log_b).clamp(0.1, 5)
    first, second = torch.exp(b * (torch.log(t) - log_a)), torch.exp(b * (torch.log(t + 1) - log_a))
    gap = (second - first).clamp(min=1e-6)
    return -(u * (gap + torch.log(-torch.expm1(-gap))) - second).mean()


def hazards(raw, bin_of, event):
    h = torch.sigmoid(raw)
    lived = (torch.arange(5) < bin_of[:, None]).float()
    survive = (torch.log(1 - h) * lived).sum(1)  # <- here
    die = torch.log(h.gather(1, bin_of[:, None])[:, 0]) * event  # <- here
    return -(survive + die).mean()


def hazards_bce(raw, bin_of, event):
    lived = (torch.arange(5) < bin_of[:, None]).float()
    die = F.one_hot(bin_of, 5).float() * event[:, None]
    ce = F.binary_cross_entropy_with_logits(raw, die, reduction="none")
    return (ce * (lived + die)).sum(1).mean()


# ---- counts -------------------------------------------------------------------------------------------------------


def inflated_poisson(gate, log_rate, y):
    pi, rate = torch.sigmoid(gate), torch.exp(log_rate.clamp(max=10))
    zero = torch.log(pi + (1 - pi) * torch.exp(-rate))
    more = torch.log(1 - pi) - rate + y * log_rate - torch.lgamma(y + 1)  # <- here
    return -torch.where(y == 0, zero, more).mean()


def inflated_poisson_logs(gate, log_rate, y):
    rate = torch.exp(log_rate.clamp(max=10))
    zero = torch.logaddexp(F.logsigmoid(gate), F.logsigmoid(-gate) - rate)
    more = F.logsigmoid(-gate) - rate + y * log_rate.clamp(max=10) - torch.lgamma(y + 1)
    return -torch.where(y == 0, zero, more).mean()


def negative_binomial(mu, theta, y):
    mu, theta = F.softplus(mu) + 1e-8, F.softplus(theta) + 1e-4
    t = torch.log(theta + mu + 1e-8)
    return -(theta * (torch.log(theta + 1e-8) - t) + y * (torch.log(mu + 1e-8) - t) + torch.lgamma(y + theta)
             - torch.lgamma(theta) - torch.lgamma(y + 1)).mean()  # fmt: skip


def beta_regression(raw, log_phi, y):
    m, phi = torch.sigmoid(raw), torch.exp(log_phi.clamp(-4, 6))
    a, b = m * phi, (1 - m) * phi
    log_norm = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)  # <- here
    return -(log_norm + (a - 1) * torch.log(y) + (b - 1) * torch.log(1 - y)).mean()


def beta_regression_floor(raw, log_phi, y):
    m, phi = torch.sigmoid(raw).clamp(1e-3, 1 - 1e-3), torch.exp(log_phi.clamp(-4, 6))
    a, b, y = m * phi, (1 - m) * phi, y.clamp(1e-4, 1 - 1e-4)
    log_norm = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    return -(log_norm + (a - 1) * torch.log(y) + (b - 1) * torch.log(1 - y)).mean()


# ---- points in time, copulas, order, angles -----------------------------------------------------------------------


def self_exciting(log_mu, log_beta, gaps):
    mu, beta = torch.exp(log_mu), F.softplus(log_beta)
    rate = mu + torch.cumsum(torch.exp(-beta * gaps), 0)
    whole = mu * gaps.sum() + ((1 - torch.exp(-beta * gaps)) / beta).sum()  # <- here
    return whole - torch.log(rate).sum()


def self_exciting_expm1(log_mu, log_beta, gaps):
    mu, beta = torch.exp(log_mu.clamp(-10, 10)), F.softplus(log_beta) + 1e-3
    rate = mu + torch.cumsum(torch.exp(-beta * gaps), 0)
    whole = mu * gaps.sum() + (-torch.expm1(-beta * gaps) / beta).sum()
    return whole - torch.log(rate).sum()


def clayton(log_theta, u, v):
    theta = torch.exp(log_theta)
    inner = u**-theta + v**-theta - 1  # <- here
    log_c = torch.log1p(theta) - (1 + theta) * (torch.log(u) + torch.log(v)) - (2 + 1 / theta) * torch.log(inner)
    return -log_c.mean()


def clayton_logs(log_theta, u, v):
    theta = torch.exp(log_theta.clamp(-4, 4))
    a, b = -theta * torch.log(u), -theta * torch.log(v)
    top = torch.maximum(a, b)
    inner = top + torch.log(torch.exp(a - top) + torch.exp(b - top) - torch.exp(-top))
    return -(torch.log1p(theta) - (1 + theta) * (torch.log(u) + torch.log(v)) - (2 + 1 / theta) * inner).mean()


CUTS = torch.tensor([-30.0, -1.0, 0.5, 2.0, 30.0])


def cumulative_link(score, grade):
    p = torch.sigmoid(CUTS[grade + 1] - score) - torch.sigmoid(CUTS[grade] - score)
    return -torch.log(p).mean()  # <- here


def coral(score, bias, levels):
    z = score[:, None] + bias
    return -(F.logsigmoid(z) * levels + (F.logsigmoid(z) - z) * (1 - levels)).sum(1).mean()


def von_mises(mu, raw, y):
    kappa = F.softplus(raw)
    return (torch.log(torch.i0(kappa)) - kappa * torch.cos(y - mu)).mean() + math.log(2 * math.pi)  # <- here


def von_mises_scaled(mu, raw, y):
    kappa = F.softplus(raw)
    return (torch.log(torch.special.i0e(kappa)) + kappa * (1 - torch.cos(y - mu))).mean() + math.log(2 * math.pi)


def at_zero(*names):
    def change(state):
        for n in names:
            state[n].zero_()

    return change


AFFINE = {"raw": normal(6, 3), "shift": normal(6, 3), "x": normal(6, 3)}
POSTERIOR = {"z": normal(6, 2), "mean": normal(6, 2), "log_var": normal(6, 2)}
SPLINE = {"low": normal(6, scale=0.1), "rise": normal(6), "slope": normal(6, 2), "y": unit(6)}
BOOK = {"z": normal(8, 3), "book": normal(5, 3)}
NIG = {"gamma": normal(8), "nu": normal(8), "alpha": normal(8), "beta": normal(8), "y": normal(8)}
PIXELS = {"mean": normal(8, scale=0.3), "raw": normal(8, shift=-2), "x": lambda g: 2 * torch.rand(8, generator=g) - 1}
LIVES = {"risk": normal(8), "event": bits(8)}
BINS = {"raw": normal(8, 5), "bin_of": lambda g: torch.randint(5, (8,), generator=g), "event": bits(8)}
ZIP = {"gate": normal(10), "log_rate": normal(10), "y": counts(10, mean=1.0)}
SHARE = {"raw": normal(8), "log_phi": normal(8, shift=1), "y": unit(8)}
WEEKS = {"log_a": normal(8, shift=1), "log_b": normal(8), "t": lambda g: torch.randint(1, 9, (8,), generator=g).float(),
             "u": bits(8)}  # fmt: skip
EVENTS = {"log_mu": normal(1), "log_beta": normal(1), "gaps": positive(8)}
COPULA = {"log_theta": normal(1), "u": unit(8), "v": unit(8)}
CASES = (
    bug(coupling, given(**AFFINE, target="x"), "log", "Kingma & Dhariwal, Glow, NeurIPS 2018; issue SRFlow#2",
        lambda s: s["raw"].fill_(-120)),
    sound(coupling_logsigmoid, given(**AFFINE, target="x"), "Kingma & Dhariwal 2018: the repair",
          lambda s: s["raw"].fill_(-120)),
    sound(coupling_tanh, given(**AFFINE, target="x"), "Dinh et al., RealNVP, ICLR 2017", lambda s: s["raw"].fill_(50)),
    bug(planar, given(w=normal(3), u=normal(3), b=normal(1), x=normal(6, 3), target="x"), "div pow",
        "Rezende & Mohamed, ICML 2015: divided by the squared length of a weight", at_zero("w"), verdict=EITHER),
    bug(spline_inverse, given(**SPLINE, target="y"), "div",
        "Müller et al., Neural importance sampling, 2019: a segment of "
        "constant density", lambda s: s["slope"].fill_(0.5), verdict=EITHER),
    sound(spline_inverse_stable, given(**SPLINE, target="y"), "Durkan et al., NeurIPS 2019: the other root",
          lambda s: s["slope"].fill_(0.5)),
    sound(act_norm, given(log_scale=normal(3), bias=normal(3), x=normal(6, 3), target="x"), "Glow: actnorm"),
    bug(total_correlation, given(**POSTERIOR), "log exp sum mean",
        "Chen et al., beta-TCVAE, NeurIPS 2018, in linear space",
        lambda s: s["z"].fill_(300)),
    sound(total_correlation_logs, given(**POSTERIOR), "Chen et al. 2018", lambda s: s["z"].fill_(300)),
    bug(code_usage, given(**BOOK), "log mul", "van den Oord et al., VQ-VAE: the entropy of an unused code",
        lambda s: s["book"][0].fill_(40)),
    sound(quantised, given(**BOOK), "van den Oord et al., NeurIPS 2017"),
    sound(gaussian_kl, given(mean=normal(6, 3), log_var=normal(6, 3)), "Kingma & Welling 2013",
          lambda s: s["log_var"].fill_(-60)),
    sound(importance_bound, given(log_w=normal(6, 5, scale=5)), "Burda et al., ICLR 2016", scale(log_w=30)),
    bug(signal_weighted, given(raw=normal(8), error=normal(8)), "div sub",
        "Kingma et al., Variational diffusion models, "
        "2021: alpha / (1 - alpha)", lambda s: s["raw"].fill_(30)),
    sound(min_snr, given(log_snr=normal(8), error=normal(8), target="log_snr"), "Hang et al., ICCV 2023",
          lambda s: s["log_snr"].fill_(90)),
    sound(velocity, given(x=normal(6, 3), noise=normal(6, 3), predicted=normal(6, 3), t=unit(6), target="x noise t"),
          "Salimans & Ho, ICLR 2022"),
    bug(evidential, given(**NIG, target="y"), "div log", "Amini et al., NeurIPS 2020: softplus without a floor",
        lambda s: s["nu"].fill_(-120)),
    sound(evidential_eps, given(**NIG, target="y"), "Amini et al. 2020: the repair", lambda s: s["nu"].fill_(-120)),
    sound(pinball, given(q=normal(8, 3), y=normal(8), target="y"), "Koenker & Bassett 1978"),
    sound(mixture, given(share=normal(8, 3), mean=normal(8, 3), raw=normal(8, 3), y=normal(8), target="y"),
          "Bishop 1994 with logsumexp", lambda s: s["mean"].fill_(60)),
    sound(dirichlet_evidence, given(raw=normal(8, 4), y=lambda g: torch.eye(4)[torch.randint(4, (8,), generator=g)],
          target="y"), "Sensoy et al., NeurIPS 2018", lambda s: s["raw"].fill_(-120)),
    bug(binned_logistic, given(**PIXELS, target="x"), "log sub",
        "Salimans et al., PixelCNN++, ICLR 2017, without its cases",
        lambda s: (s["mean"].fill_(3), s["raw"].fill_(-4))),
    bug(binned_logistic_floor, given(**PIXELS, target="x"), "sub log clamp", "PixelCNN++ repositories: clamped, the "
        "digits are lost all the same", lambda s: (s["mean"].fill_(3), s["raw"].fill_(-4)),
        kind="precision dead-gradient", verdict="silent"),
    bug(deep_surv, given(**LIVES, target="event"), "exp log cumsum", "DeepSurv#71: the log of a sum of hazards",
        lambda s: s["risk"].fill_(100)),
    sound(cox_logs, given(**LIVES, target="event"), "pycox#27 in logarithms", lambda s: s["risk"].fill_(100)),
    bug(discrete_weibull, given(**WEEKS, target="t u"), "log exp sub pow", "issue wtte-rnn#39: log(exp(d) - 1)",
        lambda s: s["log_b"].fill_(-20), verdict=EITHER),
    sound(discrete_weibull_stable, given(**WEEKS, target="t u"), "wtte-rnn: the repair",
          lambda s: s["log_b"].fill_(-20)),
    bug(hazards, given(**BINS, target="bin_of event"), "log sub mul", "Gensheimer & Narasimhan, PeerJ 2019, by hand",
        lambda s: s["raw"].fill_(120)),
    sound(hazards_bce, given(**BINS, target="bin_of event"), "pycox: LogisticHazard", lambda s: s["raw"].fill_(120)),
    bug(inflated_poisson, given(**ZIP, target="y"), "log sub", "Lambert 1992 with a sigmoid gate",
        lambda s: s["gate"].fill_(50)),
    sound(inflated_poisson_logs, given(**ZIP, target="y"), "scVI's form of a zero-inflated count",
          lambda s: s["gate"].fill_(50)),
    sound(negative_binomial, given(mu=normal(8), theta=normal(8), y=counts(8), target="y"),
        "scvi-tools: log_nb_positive",
          lambda s: s["mu"].fill_(-60)),
    bug(beta_regression, given(**SHARE, target="y"), "lgamma mul", "Ferrari & Cribari-Neto 2004 with a plain sigmoid",
        lambda s: s["raw"].fill_(-120)),
    sound(beta_regression_floor, given(**SHARE, target="y"), "Smithson & Verkuilen 2006",
          lambda s: s["raw"].fill_(-120)),
    bug(self_exciting, given(**EVENTS, target="gaps"), "div", "Hawkes repositories: a decay of 0",
        lambda s: s["log_beta"].fill_(-120), verdict=EITHER),
    sound(self_exciting_expm1, given(**EVENTS, target="gaps"), "Ogata 1981 with expm1",
          lambda s: s["log_beta"].fill_(-120)),
    bug(clayton, given(**COPULA, target="u v"), "pow log", "copula repositories: u**-theta",
        lambda s: s["log_theta"].fill_(5)),
    sound(clayton_logs, given(**COPULA, target="u v"), "Joe, Dependence modeling, in logarithms",
          lambda s: s["log_theta"].fill_(5)),
    bug(cumulative_link, given(score=normal(8), grade=lambda g: torch.randint(4, (8,), generator=g), target="grade"),
        "log sub", "ordinal regression repositories: a difference of sigmoids", lambda s: s["score"].fill_(-60)),
    sound(coral, given(score=normal(8), bias=normal(4), levels=bits(8, 4), target="levels"), "Cao et al., CORAL, 2020",
          lambda s: s["score"].fill_(120)),
    bug(von_mises, given(mu=normal(8), raw=normal(8), y=normal(8), target="y"), "i0 log",
        "pose repositories: log(I0(kappa))",
        lambda s: s["raw"].fill_(120)),
    sound(von_mises_scaled, given(mu=normal(8), raw=normal(8), y=normal(8), target="y"), "torch's i0e",
          lambda s: s["raw"].fill_(120)),
)  # fmt: skip
