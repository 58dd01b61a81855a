"""Continuous densities: Gaussian, mixtures, multivariate, robust."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, fill, given, normal, positive, put, scale, sound
from benchmarks.detect.cases.categorical import GRIST

TWO_HEADS = given(mu=normal(10, scale=0.5), raw=normal(10, scale=0.5), y=normal(10), target="y")
SCALED = given(mu=normal(10), sigma=positive(10), y=normal(10), target="y")
MIXTURE = given(logits=normal(8, 3), mu=normal(8, 3), raw=normal(8, 3, scale=0.3), y=normal(8), target="y")
BIVARIATE = given(output=normal(10, 5, scale=0.5), y=normal(10, 2), target="y")
BISHOP = "Bishop, Mixture density networks, Aston University 1994"
GRAVES = "Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850, eq. 24-25"
KENDALL = "Kendall & Gal, What uncertainties do we need in Bayesian deep learning?, NeurIPS 2017"


def log_of_normal_pdf(mu, raw, y):
    sigma = F.softplus(raw) + 1e-3
    pdf = torch.exp(-0.5 * ((y - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    return -torch.log(pdf).mean()  # <- here


def normal_nll_in_logs(mu, raw, y):
    sigma = F.softplus(raw) + 1e-3
    return (0.5 * ((y - mu) / sigma) ** 2 + torch.log(sigma) + 0.5 * math.log(2 * math.pi)).mean()


def variance_from_relu(mu, raw, y):
    var = F.relu(raw)
    return (0.5 * (y - mu) ** 2 / var + 0.5 * torch.log(var)).mean()  # <- here


def variance_from_softplus_eps(mu, raw, y):
    var = F.softplus(raw) + 1e-6
    return (0.5 * (y - mu) ** 2 / var + 0.5 * torch.log(var)).mean()


def heteroscedastic_log_variance(mu, raw, y):
    return 0.5 * (torch.exp(-raw) * (y - mu) ** 2 + raw).mean()


def exp_then_log(mu, raw, y):
    var = torch.exp(raw)  # <- here
    return 0.5 * ((y - mu) ** 2 / var + torch.log(var)).mean()  # <- here


def squared_exp(mu, raw, y):
    sigma = torch.exp(raw)
    var = sigma**2  # <- here
    return (0.5 * (y - mu) ** 2 / var + 0.5 * torch.log(2 * math.pi * var)).mean()  # <- here


def clamped_log_variance(mu, raw, y):
    log_var = raw.clamp(-7.0, 7.0)
    return 0.5 * ((y - mu) ** 2 * torch.exp(-log_var) + log_var).mean()


def distribution_normal(mu, sigma, y):
    return -torch.distributions.Normal(mu, sigma).log_prob(y).mean()


def library_gaussian_nll(mu, sigma, y):
    return F.gaussian_nll_loss(mu, y, sigma**2)


def narrow_density(mu, y):
    return -torch.distributions.Normal(mu, 0.01).log_prob(y).mean()


def laplace(mu, raw, y):
    return ((y - mu).abs() * torch.exp(-raw) + raw + math.log(2)).mean()


def student_t(mu, sigma, y):
    return -torch.distributions.StudentT(4.0, mu, sigma).log_prob(y).mean()


def huber(mu, y):
    return F.huber_loss(mu, y)


def log_cosh_by_hand(mu, y):
    return torch.log(torch.cosh(y - mu)).mean()  # <- here


def log_cosh(mu, y):
    d = y - mu
    return (d + F.softplus(-2.0 * d) - math.log(2.0)).mean()


def charbonnier(mu, y):
    return torch.sqrt((y - mu) ** 2 + 1e-6).mean()


def root_mean_square(mu, y):
    return torch.sqrt(((y - mu) ** 2).mean())  # <- here


def log_of_error(mu, y):
    return 0.5 * torch.log(((y - mu) ** 2).mean())  # <- here


def mixture_in_linear_space(logits, mu, raw, y):
    weight = torch.softmax(logits, -1)
    sigma = torch.exp(raw)
    pdf = torch.exp(-0.5 * ((y[:, None] - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    return -torch.log((weight * pdf).sum(-1)).mean()  # <- here


def mixture_in_log_space(logits, mu, raw, y):
    log_weight, raw = torch.log_softmax(logits, -1), raw.clamp(-7.0, 7.0)
    z = (y[:, None] - mu) * torch.exp(-raw)
    return -torch.logsumexp(log_weight - 0.5 * z**2 - raw - 0.5 * math.log(2 * math.pi), -1).mean()


def mixture_with_log_of_softmax(logits, mu, raw, y):
    log_weight = torch.log(torch.softmax(logits, -1))  # <- here
    z = (y[:, None] - mu) * torch.exp(-raw)
    return -torch.logsumexp(log_weight - 0.5 * z**2 - raw, -1).mean()


def mixture_by_distributions(logits, mu, raw, y):
    parts = torch.distributions.Normal(mu, F.softplus(raw) + 1e-3)
    mix = torch.distributions.Categorical(logits=logits)
    return -torch.distributions.MixtureSameFamily(mix, parts).log_prob(y).mean()


def bivariate_tanh(output, y):
    mu, sigma, rho = output[:, :2], torch.exp(output[:, 2:4]), torch.tanh(output[:, 4])
    z = (y - mu) / sigma
    one_minus = 1 - rho**2
    quad = (z[:, 0] ** 2 + z[:, 1] ** 2 - 2 * rho * z[:, 0] * z[:, 1]) / one_minus  # <- here
    log_norm = torch.log(sigma).sum(-1) + 0.5 * torch.log(one_minus)  # <- here
    return (0.5 * quad + log_norm + math.log(2 * math.pi)).mean()


def bivariate_by_cholesky(output, y):
    a, b = F.softplus(output[:, 2]) + 1e-3, F.softplus(output[:, 3]) + 1e-3
    d = y - output[:, :2]
    z0 = d[:, 0] / a
    z1 = (d[:, 1] - output[:, 4] * z0) / b
    return (0.5 * (z0**2 + z1**2) + torch.log(a) + torch.log(b) + math.log(2 * math.pi)).mean()


def multivariate_by_cholesky(mu, factor, y):
    lower = torch.tril(factor, -1) + torch.diag_embed(F.softplus(factor.diagonal(dim1=-2, dim2=-1)) + 1e-3)
    return -torch.distributions.MultivariateNormal(mu, scale_tril=lower).log_prob(y).mean()


def multivariate_by_determinant(mu, factor, y):
    cov = factor @ factor.transpose(-1, -2)
    d = (y - mu).unsqueeze(-1)
    quad = (d.transpose(-1, -2) @ torch.linalg.inv(cov) @ d).squeeze()  # <- here
    return 0.5 * (quad + torch.log(torch.linalg.det(cov))).mean()  # <- here


def gaussian_process(log_scale, log_noise, x, y):
    log_scale, log_noise = log_scale.clamp(-5.0, 5.0), log_noise.clamp(-5.0, 5.0)
    k = torch.exp(-0.5 * (x[:, None] - x[None, :]) ** 2 * torch.exp(-2 * log_scale))
    k = k + (torch.exp(2 * log_noise) + 1e-4) * torch.eye(len(x))
    lower = torch.linalg.cholesky(k)
    alpha = torch.cholesky_solve(y[:, None], lower).squeeze(-1)
    return 0.5 * y @ alpha + torch.log(lower.diagonal()).sum()


def skew_normal(mu, sigma, y):
    z = (y - mu) / sigma
    return (0.5 * z**2 + torch.log(sigma) - torch.special.log_ndtr(2.0 * z)).mean()


def skew_normal_by_erf(mu, sigma, y):
    z = (y - mu) / sigma
    upper = 0.5 * (1 + torch.erf(2.0 * z / math.sqrt(2.0)))
    return (0.5 * z**2 + torch.log(sigma) - torch.log(upper)).mean()  # <- here


def censored(mu, y):
    return -torch.special.log_ndtr(mu - y).mean()


def censored_by_cdf(mu, y):
    survived = 1 - torch.distributions.Normal(mu, 1.0).cdf(y)
    return -torch.log(survived).mean()  # <- here


def von_mises(mu, kappa, y):
    return -torch.distributions.VonMises(mu, kappa).log_prob(y).mean()


def von_mises_by_bessel(mu, kappa, y):
    return (torch.log(torch.special.i0(kappa)) - kappa * torch.cos(y - mu)).mean()  # <- here


PAIR = given(mu=normal(10), y=normal(10), target="y")
MATRIX = given(mu=normal(6, 3), factor=normal(6, 3, 3), y=normal(6, 3), target="y")
WIDE = given(mu=normal(6, 8), factor=normal(6, 8, 8), y=normal(6, 8), target="y")
CASES = (
    bug(log_of_normal_pdf, TWO_HEADS, "exp log", "pytorch/pytorch pull request 7177: probabilities in linear space",
        put(mu=40.0)),
    sound(normal_nll_in_logs, TWO_HEADS, BISHOP, put(mu=40.0)),
    bug(variance_from_relu, TWO_HEADS, "div log relu", KENDALL + " with a relu for the variance", put(raw=-1.0),
        verdict="defect limit"),
    sound(variance_from_softplus_eps, TWO_HEADS, KENDALL, put(raw=-30.0)),
    sound(heteroscedastic_log_variance, TWO_HEADS, KENDALL, put(raw=-30.0)),
    bug(exp_then_log, TWO_HEADS, "exp log div", KENDALL + ": why log-variances are predicted", put(raw=110.0)),
    bug(squared_exp, TWO_HEADS, "exp pow log div", GRIST + ": exponential of a raw scale", put(raw=60.0)),
    sound(clamped_log_variance, TWO_HEADS, "Lakshminarayanan et al., Deep ensembles, NeurIPS 2017, with bounds",
          put(raw=20.0)),
    sound(distribution_normal, SCALED, "PyTorch documentation, torch.distributions.Normal", put(mu=1000.0)),
    sound(library_gaussian_nll, SCALED, "PyTorch documentation, torch.nn.GaussianNLLLoss", put(mu=1000.0)),
    sound(narrow_density, given(mu=normal(10, scale=0.003), y=normal(10, scale=0.003), target="y"),
          "github.com/pytorch/pytorch issues 9442 and 79349: log_prob above 0"),
    sound(laplace, TWO_HEADS, "PyTorch documentation, torch.distributions.Laplace", put(raw=-20.0)),
    sound(student_t, SCALED, "PyTorch documentation, torch.distributions.StudentT", put(mu=1e4)),
    sound(huber, PAIR, "Huber, Robust estimation of a location parameter, 1964", put(mu=1e6)),
    bug(log_cosh_by_hand, PAIR, "cosh log", "Saleh & Saleh, Statistical properties of the log-cosh loss, "
        "arXiv:2208.04564", put(mu=100.0)),
    sound(log_cosh, PAIR, "Saleh & Saleh, arXiv:2208.04564", put(mu=100.0)),
    sound(charbonnier, PAIR, "Charbonnier et al., ICIP 1994", lambda s: s["mu"].copy_(s["y"])),
    bug(root_mean_square, PAIR, "sqrt", "github.com/pytorch/pytorch issue 2421: the slope of sqrt at 0",
        lambda s: s["mu"].copy_(s["y"]), phase="backward", verdict="defect limit"),
    bug(log_of_error, PAIR, "log", "Kingma & Welling, VAE with a shared variance at its optimum (sigma-VAE, "
        "Rybkin et al., ICML 2021)", lambda s: s["mu"].copy_(s["y"]), verdict="defect limit"),
    bug(mixture_in_linear_space, MIXTURE, "exp log", BISHOP + "; github.com/keras-team/keras issue 1061",
        lambda s: s["mu"][0].fill_(60.0)),
    sound(mixture_in_log_space, MIXTURE, "github.com/tonyduan/mixture-density-network issue 1",
          lambda s: s["mu"][0].fill_(60.0)),
    bug(mixture_with_log_of_softmax, MIXTURE, "log", "Blanchard, Higham & Higham 2021", put(logits=-200.0)),
    sound(mixture_by_distributions, MIXTURE, "PyTorch documentation, torch.distributions.MixtureSameFamily",
          lambda s: s["mu"][0].fill_(60.0)),
    bug(bivariate_tanh, BIVARIATE, "tanh sub pow div log", GRAVES, lambda s: s["output"][0, 4].fill_(10.0)),
    sound(bivariate_by_cholesky, BIVARIATE, "Dorta et al., Structured uncertainty prediction networks, CVPR 2018",
          lambda s: s["output"][0, 4].fill_(30.0)),
    sound(multivariate_by_cholesky, MATRIX, "PyTorch documentation, torch.distributions.MultivariateNormal",
          scale(factor=10.0)),
    bug(multivariate_by_determinant, WIDE, "solve det logdet log linalg_det linalg_inv_ex", "Rasmussen & Williams, "
        "Gaussian processes for machine learning, 2006, A.4: use a Cholesky factor", scale(factor=1e-3)),
    sound(gaussian_process, given(log_scale=normal(1, scale=0.1), log_noise=normal(1, scale=0.1, shift=-1.0),
          x=normal(12), y=normal(12), target="x y"), "Rasmussen & Williams 2006, algorithm 2.1",
          fill(log_scale=1.0)),
    sound(skew_normal, SCALED, "PyTorch documentation, torch.special.log_ndtr", put(mu=20.0)),
    bug(skew_normal_by_erf, SCALED, "log erf", "Azzalini, A class of distributions which includes the normal ones, "
        "1985, by erf", put(mu=20.0)),
    sound(censored, PAIR, "Tobin, Estimation of relationships for limited dependent variables, 1958", put(mu=-20.0)),
    bug(censored_by_cdf, PAIR, "log", "Tobin 1958, with 1 - cdf", put(mu=-20.0)),
    sound(von_mises, given(mu=normal(10), kappa=positive(10), y=normal(10), target="y"),
          "PyTorch documentation, torch.distributions.VonMises", put(kappa=300.0)),
    bug(von_mises_by_bessel, given(mu=normal(10), kappa=positive(10), y=normal(10), target="y"), "i0 log",
        "Mardia & Jupp, Directional statistics, 2000; overflow of I0 in float32", put(kappa=120.0)),
)  # fmt: skip
