"""Losses that are finite and wrong, each with the same loss written well. The guilty line carries `# <- here`."""

import torch
import torch.nn.functional as F


def one_minus_cos(x):
    return ((1 - torch.cos(x)) / x**2).mean()  # <- here


def one_minus_cos_well(x):
    return (2 * (torch.sin(x / 2) / x) ** 2).mean()


def log_of_one_plus(x):
    return torch.log(1 + x).mean()  # <- here


def log_of_one_plus_well(x):
    return torch.log1p(x).mean()


def naive_variance(x):
    spread = (x**2).mean() - x.mean() ** 2  # <- here
    return spread


def naive_variance_well(x):
    return x.var(correction=0)


def exp_minus_one(x):
    return ((torch.exp(x) - 1) / x).mean()  # <- here


def exp_minus_one_well(x):
    return (torch.expm1(x) / x).mean()


def one_minus_square(x):
    rho = torch.tanh(x)
    return (1 / torch.sqrt(1 - rho**2)).mean()  # <- here


def one_minus_square_well(x):
    return torch.cosh(x).mean()


def clamped_rate(x, y):
    rate = torch.clamp(x, min=0.01)  # <- here
    return (rate - y * torch.log(rate)).mean()


def relu_rate(x, y):
    rate = F.relu(x) + 1e-6  # <- here
    return (rate - y * torch.log(rate)).mean()


def capped_scale(x, y):
    log_sigma = x.clamp(-1.0, 1.0)  # <- here
    return (0.5 * (y / log_sigma.exp()) ** 2 + log_sigma).mean()


def saturated_sigmoid(x, y):
    p = torch.sigmoid(x)  # <- here
    return -(y * torch.log(p + 1e-8) + (1 - y) * torch.log(1 - p + 1e-8)).mean()


def hinge(x, y):
    return F.relu(1 - (2 * (y > 1).float() - 1) * x).mean()


def clipped_ratio(x, y):
    ratio = torch.exp(x)
    return -torch.min(ratio * (y - 3), ratio.clamp(0.8, 1.2) * (y - 3)).mean()


def logits(x, y):
    return F.binary_cross_entropy_with_logits(x, (y > 1).float())


def softplus_rate(x, y):
    rate = F.softplus(x) + 1e-6
    return (rate - y * torch.log(rate)).mean()


def rate_and_spread(output, y):
    rate = F.relu(output[:, 0]) + 1e-6  # <- here
    return (rate - y * torch.log(rate)).mean() + output[:, 1].var(correction=0)


def bin_of_logistic(out, y):
    """The clamp closes where float64 would leave it open, in one column: the others' gradients live on."""
    mean, log_scale = out.chunk(2, 1)
    z = torch.exp(-log_scale) * (y - mean)
    return -torch.log((torch.tanh(z + 0.02) - torch.tanh(z - 0.02)).clamp(min=1e-12)).mean()


def lengths(x):
    """A norm has no slope at 0, and next to 0 float32's squares underflow."""
    return (1 - x.norm()) ** 2
