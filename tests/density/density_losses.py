"""Losses with the answer that the density test must give: correct ones, mutants by one symbol, no likelihoods."""

import math

import torch
import torch.nn.functional as F

N = 24


def rows(*shape, seed=0, low=-2.0, high=2.0):
    made = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(N, *shape, generator=made)


MU, RAW = rows(), rows(seed=1)
Y = MU + torch.exp(0.5 * RAW) * rows(seed=2)
GAUSS = {"mu": MU, "raw": RAW, "y": Y}
PLANE = {"out": rows(5, seed=3), "y": rows(2, seed=4)}
LOGITS = {"logits": rows(5, seed=5), "y": torch.arange(N) % 5}
WORDS = {"logits": rows(4, seed=5), "y": torch.stack([torch.arange(4).roll(k) for k in range(N)]).float()}  # of 6 each
ORDERS = {
    "logits": rows(4, seed=6),
    "y": torch.stack([torch.randperm(4, generator=torch.Generator().manual_seed(k)) for k in range(N)]),
}
HEADS = {**LOGITS, "other": rows(5, seed=10)}
BITS = {"logits": rows(seed=6), "y": (torch.arange(N) % 3 == 0).float()}
COUNTS = {"raw": rows(seed=7), "y": (torch.arange(N) % 7).float()}
POSITIVE = {"raw": rows(2, seed=8), "y": torch.exp(rows(seed=9))}
BOUNDED = {"mu": MU, "raw": RAW, "y": Y.clamp(-3.2, 4.2)}
FOUR = {"raw": rows(3, seed=12), "y": torch.tensor([[4, 0, 0], [2, 1, 1], [0, 3, 1]])[torch.arange(N) % 3]}
MATRICES = {"mu": rows(2, 2, seed=13), "raw": RAW, "y": rows(2, 2, seed=14)}
SYMMETRIC = {"raw": RAW, "y": 4 * torch.eye(2) + rows(2, 1, seed=15) + rows(2, 1, seed=15).mT}
TOKENS = {"logits": rows(5, 7, seed=16), "y": (torch.arange(5 * N).reshape(N, 5) * 3 + torch.arange(N)[:, None]) % 7}
SERIES = {"mu": MU, "raw": RAW, "y": rows(5, seed=17)}
TRACKS = {"out": rows(4, 5, seed=18)[:8], "y": rows(4, 2, seed=19)[:8]}
SPACE = {"mu": rows(3, seed=10), "raw": RAW, "y": rows(3, seed=11)}
SQUARE = {"mu": rows(N, seed=10)[:4, :4], "raw": RAW[:4], "y": rows(N, seed=11)[:4, :4]}
HALF_LOG = 0.5 * math.log(2 * math.pi)


def gaussian_nll(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG).mean()


def gaussian_nll_summed(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG).sum() / len(y)


def gaussian_nll_masked(mu, raw, y):
    keep = (torch.arange(N) % 4 != 0).float()
    return ((0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG) * keep).sum() / keep.sum()


def gaussian_nll_weighted(mu, raw, y):
    weights = torch.linspace(0.5, 2.0, N)
    return (weights * (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG)).mean()


def gaussian_nll_with_decay(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG).mean() + 0.01 * (raw**2).sum()


def isotropic_nll(mu, raw, y):
    return (0.5 * (((y - mu) / torch.exp(raw)[:, None]) ** 2).sum(-1) + 3 * raw + 3 * HALF_LOG).mean()


def isotropic_nll_weighted(mu, raw, y):
    weights = torch.linspace(0.5, 2.0, N)
    return (weights * (0.5 * (((y - mu) / torch.exp(raw)[:, None]) ** 2).sum(-1) + 3 * raw + 3 * HALF_LOG)).mean()


def isotropic_nll_of_one_dimension(mu, raw, y):
    return (0.5 * (((y - mu) / torch.exp(raw)[:, None]) ** 2).sum(-1) + raw + 3 * HALF_LOG).mean()


def square_nll(mu, raw, y):
    return (0.5 * (((y - mu) / torch.exp(raw)[:, None]) ** 2).sum(-1) + len(y) * (raw + HALF_LOG)).mean()


def square_nll_by_feature(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG).sum(-1).mean()


def torch_full(mu, raw, y):
    return F.gaussian_nll_loss(mu, y, torch.exp(2 * raw), full=True)


def torch_not_full(mu, raw, y):
    return F.gaussian_nll_loss(mu, y, torch.exp(2 * raw))


def nll_without_half(mu, raw, y):
    return (((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG).mean()


def nll_without_log_sigma(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + HALF_LOG).mean()


def nll_sigma_for_log_sigma(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + torch.exp(raw) + HALF_LOG).mean()


def nll_wrong_sign(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 - raw + HALF_LOG).mean()


def nll_variance_twice(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + 2 * raw + HALF_LOG).mean()


def nll_with_epsilon(mu, raw, y):
    pdf = torch.exp(-0.5 * ((y - mu) / torch.exp(raw)) ** 2 - raw - HALF_LOG)
    return -torch.log(pdf + 1e-3).mean()


def nll_log_variance_half_missing(mu, raw, y):
    return (0.5 * (y - mu) ** 2 / torch.exp(raw) + raw + HALF_LOG).mean()


def mse(mu, raw, y):
    return ((y - mu) ** 2).mean() + 0 * raw.sum()


def huber(mu, raw, y):
    return F.huber_loss(mu, y) + 0 * raw.sum()


def quantile_loss(mu, raw, y):
    return torch.maximum(0.9 * (y - mu), -0.1 * (y - mu)).mean() + 0 * raw.sum()


def bivariate_nll(out, y):
    x, z = (y - out[:, :2]).unbind(-1)
    s, t, rho = torch.exp(out[:, 2]), torch.exp(out[:, 3]), 0.9 * torch.tanh(out[:, 4])
    q = (x / s) ** 2 + (z / t) ** 2 - 2 * rho * x * z / (s * t)
    return (q / (2 * (1 - rho**2)) + out[:, 2] + out[:, 3] + 0.5 * torch.log(1 - rho**2) + math.log(2 * math.pi)).mean()


def bivariate_nll_without_half(out, y):
    x, z = (y - out[:, :2]).unbind(-1)
    s, t, rho = torch.exp(out[:, 2]), torch.exp(out[:, 3]), 0.9 * torch.tanh(out[:, 4])
    q = (x / s) ** 2 + (z / t) ** 2 - 2 * rho * x * z / (s * t)
    return (q / (1 - rho**2) + out[:, 2] + out[:, 3] + 0.5 * torch.log(1 - rho**2) + math.log(2 * math.pi)).mean()


def bivariate_nll_without_2pi(out, y):
    x, z = (y - out[:, :2]).unbind(-1)
    s, t, rho = torch.exp(out[:, 2]), torch.exp(out[:, 3]), 0.9 * torch.tanh(out[:, 4])
    q = (x / s) ** 2 + (z / t) ** 2 - 2 * rho * x * z / (s * t)
    return (q / (2 * (1 - rho**2)) + out[:, 2] + out[:, 3] + 0.5 * torch.log(1 - rho**2)).mean()


def bivariate_nll_without_correlation(out, y):
    x, z = (y - out[:, :2]).unbind(-1)
    s, t, rho = torch.exp(out[:, 2]), torch.exp(out[:, 3]), 0.9 * torch.tanh(out[:, 4])
    q = (x / s) ** 2 + (z / t) ** 2 - 2 * rho * x * z / (s * t)
    return (q / (2 * (1 - rho**2)) + out[:, 2] + out[:, 3] + math.log(2 * math.pi)).mean()


def cross_entropy(logits, y):
    return F.cross_entropy(logits, y)


def gathered_nll(logits, y):
    return -F.log_softmax(logits, -1).gather(1, y[:, None]).mean()


def ignoring(logits, y):
    return F.cross_entropy(logits, y, ignore_index=0)


def one_hot_nll(logits, y):
    return -(F.one_hot(y, 5) * torch.log_softmax(logits, -1)).sum(-1).mean()


def scattered_nll(logits, y):
    return -(torch.zeros_like(logits).scatter_(1, y[:, None], 1.0) * torch.log_softmax(logits, -1)).sum(-1).mean()


def coded_nll(logits, y):
    return F.cross_entropy(logits, y[:, 0].long())


def nll_of_probabilities(logits, y):
    return F.nll_loss(torch.softmax(logits, -1), y)


def nll_of_logits(logits, y):
    return F.nll_loss(logits, y)


def nll_with_softmax_twice_logged(logits, y):
    return -torch.log(torch.softmax(logits, -1) + 0.1).gather(1, y[:, None]).mean()


def smoothed(logits, y):
    return F.cross_entropy(logits, y, label_smoothing=0.1)


def class_weights(logits, y):
    return F.cross_entropy(logits, y, weight=torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0]))


def focal(logits, y):
    p = torch.softmax(logits, -1).gather(1, y[:, None])
    return (-((1 - p) ** 2) * torch.log(p)).mean()


def hinge(logits, y):
    return F.multi_margin_loss(logits, y)


def bce(logits, y):
    return F.binary_cross_entropy_with_logits(logits, y)


def bce_of_probabilities(logits, y):
    return F.binary_cross_entropy(torch.sigmoid(logits), y)


def bce_by_hand(logits, y):
    p = torch.sigmoid(logits)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def bernoulli_nll_one_sided(logits, y):
    return -(y * torch.log(torch.sigmoid(logits))).mean()


def poisson_log_input(raw, y):
    return F.poisson_nll_loss(raw, y)


def poisson_nll(raw, y):
    return (torch.exp(raw) - y * raw + torch.lgamma(y + 1)).mean()


def poisson_nll_rate_missing(raw, y):
    return (-y * raw + torch.lgamma(y + 1)).mean()


def gamma_nll(raw, y):
    a, b = torch.exp(raw).unbind(-1)
    return -(a * torch.log(b) - torch.lgamma(a) + (a - 1) * torch.log(y) - b * y).mean()


def gamma_nll_rate_missing(raw, y):
    a, b = torch.exp(raw).unbind(-1)
    return -(-torch.lgamma(a) + (a - 1) * torch.log(y) - b * y).mean()


def log_normal_nll(raw, y):
    mu, log_sigma = raw.unbind(-1)
    z = (torch.log(y) - mu) * torch.exp(-log_sigma)
    return (0.5 * z**2 + log_sigma + HALF_LOG + torch.log(y)).mean()


def log_normal_nll_without_jacobian(raw, y):
    mu, log_sigma = raw.unbind(-1)
    z = (torch.log(y) - mu) * torch.exp(-log_sigma)
    return (0.5 * z**2 + log_sigma + HALF_LOG).mean()


def exponential_nll(raw, y):
    return (torch.exp(raw[:, 0]) * y - raw[:, 0]).mean()


def exponential_nll_wrong_sign(raw, y):
    return (torch.exp(raw[:, 0]) * y + raw[:, 0]).mean()


def log_normal_nll_jacobian_sign(raw, y):
    mu, log_sigma = raw.unbind(-1)
    z = (torch.log(y) - mu) * torch.exp(-log_sigma)
    return (0.5 * z**2 + log_sigma + HALF_LOG - torch.log(y)).mean()


def laplace_nll(mu, raw, y):
    return ((y - mu).abs() * torch.exp(-raw) + raw + math.log(2)).mean()


def laplace_nll_without_2(mu, raw, y):
    return ((y - mu).abs() * torch.exp(-raw) + raw).mean()


def laplace_nll_without_log(mu, raw, y):
    return ((y - mu).abs() * torch.exp(-raw) + torch.exp(raw) + math.log(2)).mean()


def gaussian_nll_without_2_pi(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw).mean()


def truncated_nll(raw, y):
    normal = torch.distributions.Normal(raw[:, 0], torch.exp(0.3 * raw[:, 1]))
    return -(normal.log_prob(y) - torch.log(1 - normal.cdf(torch.zeros(())))).mean()


def truncated_to_an_interval(mu, raw, y):
    sigma = torch.exp(0.3 * raw)
    normal = torch.distributions.Normal(mu, sigma)
    inside = normal.cdf(torch.tensor(4.5)) - normal.cdf(torch.tensor(-3.5))
    return -(normal.log_prob(y.clamp(-3.5, 4.5)) - torch.log(inside)).mean()


def truncated_nll_without_normaliser(mu, raw, y):
    return -torch.distributions.Normal(mu, torch.exp(0.3 * raw)).log_prob(y.clamp(-3.5, 4.5)).mean()


def counts_of_four(raw, y):
    return -torch.distributions.Multinomial(4, logits=raw, validate_args=False).log_prob(y).mean()


def matrix_nll(mu, raw, y):
    square = torch.linalg.matrix_norm((y - mu) * torch.exp(-raw)[:, None, None]) ** 2
    return (0.5 * square + 4 * raw + 4 * HALF_LOG).mean()


def covariance_nll(raw, y):
    made = torch.distributions.Wishart(torch.tensor(5.0), torch.eye(2) * torch.exp(raw)[:, None, None])
    return -made.log_prob(y).mean()


def next_token(logits, y):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), y[:, 1:].flatten())


def next_token_nll_of_probabilities(logits, y):
    return F.nll_loss(torch.softmax(logits[:, :-1], -1).flatten(0, 1), y[:, 1:].flatten())


def autoregressive_nll(mu, raw, y):
    z = (y[:, 1:] - torch.tanh(mu)[:, None] * y[:, :-1]) / torch.exp(raw)[:, None]
    return (0.5 * z**2 + HALF_LOG + raw[:, None]).mean()


def autoregressive_nll_without_log(mu, raw, y):
    return (0.5 * ((y[:, 1:] - torch.tanh(mu)[:, None] * y[:, :-1]) / torch.exp(raw)[:, None]) ** 2 + HALF_LOG).mean()


def autoregressive_nll_summed(mu, raw, y):
    z = (y[:, 1:] - torch.tanh(mu)[:, None] * y[:, :-1]) / torch.exp(raw)[:, None]
    return (0.5 * (z**2).sum(-1) + 4 * HALF_LOG + 4 * raw).mean()


def arch_nll(raw, y):
    variance = torch.exp(raw)[:, None] + 0.3 * y[:, :-1] ** 2
    return F.gaussian_nll_loss(torch.zeros_like(y[:, 1:]), y[:, 1:], variance, full=True)


def offsets_nll(out, y):
    return bivariate_nll(out[:, :-1].flatten(0, 1), (y[:, 1:] - y[:, :-1]).flatten(0, 1))


def infonce(out, y):
    scores = F.normalize(out[:, :2], dim=-1) @ F.normalize(y, dim=-1).T
    return F.cross_entropy(scores / 0.1, torch.arange(N))


def bag_of_words(logits, y):
    return -(y * F.log_softmax(logits, -1)).sum(-1).mean()


def bag_of_words_by_sigmoid(logits, y):
    return -(y * F.logsigmoid(logits)).sum(-1).mean()


def ranked(logits, y):
    """Plackett and Luce: the first of all, then the first of the rest, ..."""
    scores = logits.gather(1, y)
    return -(scores - scores.flip(1).logcumsumexp(1).flip(1)).sum(1).mean()


def ranked_of_all(logits, y):
    scores = logits.gather(1, y)
    return -(scores - scores.logsumexp(1, keepdim=True))[:, :2].sum(1).mean()


def half_of_cross_entropy(logits, y):
    return 0.5 * F.cross_entropy(logits, y)


def two_heads(logits, other, y):
    return F.cross_entropy(logits, y) + 0.4 * F.cross_entropy(other, y)


def two_heads_of_logits(logits, other, y):
    return F.nll_loss(logits, y) + 0.4 * F.nll_loss(other, y)


def gaussian_nll_with_error(mu, raw, y):
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + HALF_LOG + 0.1 * (y - mu).abs()).mean()


def gaussian_nll_twice(mu, raw, y):
    return (((y - mu) / torch.exp(raw)) ** 2 + 2 * raw + 2 * HALF_LOG).mean()


# loss, tensors, the answer, and what Z is called where it is a constant (or the factor)
CASES = (
    (gaussian_nll, GAUSS, "proper", "1"), (gaussian_nll_summed, GAUSS, "proper", "1"),
    (gaussian_nll_masked, GAUSS, "proper", "1"), (gaussian_nll_weighted, GAUSS, "proper", "1"),
    (gaussian_nll_with_decay, GAUSS, "proper", "1"),
    (isotropic_nll, SPACE, "proper", "1"), (isotropic_nll_weighted, SPACE, "proper", "1"),
    (isotropic_nll_of_one_dimension, SPACE, "varies", ""),
    (square_nll, SQUARE, "proper", "1"), (square_nll_by_feature, SQUARE, "proper", "1"),
    (torch_full, GAUSS, "proper", "1"), (torch_not_full, GAUSS, "constant", "sqrt(2 pi)"),
    (nll_without_half, GAUSS, "constant", "1/sqrt(2)"),
    (nll_without_log_sigma, GAUSS, "varies", ""), (nll_sigma_for_log_sigma, GAUSS, "varies", ""),
    (nll_wrong_sign, GAUSS, "varies", ""), (nll_variance_twice, GAUSS, "varies", ""),
    (nll_with_epsilon, GAUSS, "diverges", ""), (nll_log_variance_half_missing, GAUSS, "varies", ""),
    (half_of_cross_entropy, LOGITS, "proper", "1"), (two_heads, HEADS, "proper", "1"),
    (two_heads_of_logits, HEADS, "varies", ""), (gaussian_nll_with_error, GAUSS, "proper", "1"),
    (gaussian_nll_twice, GAUSS, "varies", ""),
    (mse, GAUSS, "constant", "sqrt(pi)"), (huber, GAUSS, "constant", ""), (quantile_loss, GAUSS, "constant", ""),
    (bivariate_nll, PLANE, "proper", "1"), (bivariate_nll_without_half, PLANE, "constant", "1/2"),
    (bivariate_nll_without_2pi, PLANE, "constant", "2 pi"), (bivariate_nll_without_correlation, PLANE, "varies", ""),
    (cross_entropy, LOGITS, "proper", "1"), (gathered_nll, LOGITS, "proper", "1"), (ignoring, LOGITS, "proper", "1"),
    (one_hot_nll, LOGITS, "proper", "1"), (scattered_nll, LOGITS, "proper", "1"),
    (coded_nll, {**LOGITS, "y": LOGITS["y"].float()[:, None]}, "proper", "1"),
    (nll_of_probabilities, LOGITS, "unlogged", ""), (nll_of_logits, LOGITS, "varies", ""),
    (nll_with_softmax_twice_logged, LOGITS, "constant", ""), (smoothed, LOGITS, "varies", ""),
    (class_weights, LOGITS, "varies", ""), (focal, LOGITS, "varies", ""), (hinge, LOGITS, "varies", ""),
    (bce, BITS, "proper", "1"), (bce_of_probabilities, BITS, "proper", "1"), (bce_by_hand, BITS, "proper", "1"),
    (bernoulli_nll_one_sided, BITS, "varies", ""),
    (bag_of_words, WORDS, "target-factor", "n!/prod(y!)"), (bag_of_words_by_sigmoid, WORDS, "varies", ""),
    (ranked, ORDERS, "proper", "1"), (ranked_of_all, ORDERS, "varies", ""),
    (poisson_log_input, COUNTS, "target-factor", "1/y!"), (poisson_nll, COUNTS, "proper", "1"),
    (poisson_nll_rate_missing, COUNTS, "varies", ""),
    (gamma_nll, POSITIVE, "proper", "1"), (gamma_nll_rate_missing, POSITIVE, "varies", ""),
    (log_normal_nll, POSITIVE, "proper", "1"), (log_normal_nll_without_jacobian, POSITIVE, "target-factor", "1/y"),
    (exponential_nll, POSITIVE, "proper", "1"), (truncated_nll, POSITIVE, "proper", "1"),
    (exponential_nll_wrong_sign, POSITIVE, "varies", ""), (log_normal_nll_jacobian_sign, POSITIVE, "varies", ""),
    (laplace_nll, GAUSS, "proper", "1"), (laplace_nll_without_2, GAUSS, "constant", "2"),
    (laplace_nll_without_log, GAUSS, "varies", ""), (gaussian_nll_without_2_pi, GAUSS, "constant", "sqrt(2 pi)"),
    (truncated_to_an_interval, BOUNDED, "proper", "1"), (truncated_nll_without_normaliser, BOUNDED, "diverges", ""),
    (counts_of_four, FOUR, "proper", "1"), (matrix_nll, MATRICES, "proper", "1"),
    (covariance_nll, SYMMETRIC, "undecided", ""),
    (next_token, TOKENS, "proper", "1"), (next_token_nll_of_probabilities, TOKENS, "unlogged", ""),
    (autoregressive_nll, SERIES, "proper", "1"), (autoregressive_nll_without_log, SERIES, "varies", ""),
    (autoregressive_nll_summed, SERIES, "undecided", ""),
    (arch_nll, {k: SERIES[k] for k in ("raw", "y")}, "proper", "1"), (offsets_nll, TRACKS, "proper", "1"),
    (infonce, PLANE, "not-samples", ""),
)  # fmt: skip
