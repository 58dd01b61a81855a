"""Losses with one defect each, none of which is in `fixtures/`. The guilty line carries `# <- here`."""

import math

import torch
import torch.nn.functional as F


def log_softmax_by_hand(output, target):
    p = F.softmax(output, dim=-1)
    logp = torch.log(p)  # <- here
    return -logp.gather(1, target[:, None]).mean()


def log_sigmoid_by_hand(output, target):
    p = torch.sigmoid(output[:, 0])
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()  # <- here


def softplus_by_hand(output, target):
    sigma = torch.log(1 + torch.exp(output[:, 1]))  # <- here
    z = (target - output[:, 0]) / (sigma + 0.1)
    return (0.5 * z**2 + torch.log(sigma + 0.1)).mean()


def logsumexp_by_hand(output, target):
    total = torch.exp(output).sum(-1)  # <- here
    picked = output.gather(1, target[:, None])[:, 0]
    return (torch.log(total) - picked).mean()


def softmax_by_hand(output, target):
    e = torch.exp(output)  # <- here
    p = e / e.sum(-1, keepdim=True)
    return -torch.log(p.gather(1, target[:, None]) + 1e-6).mean()


def correlation(output, target):
    rho = torch.tanh(output[:, 0])
    one_minus = 1 - rho**2
    x, y = target[:, 0], target[:, 1]
    q = (x**2 - 2 * rho * x * y + y**2) / one_minus  # <- here
    return (0.5 * q + 0.5 * torch.log(one_minus + 1e-12)).mean()


def correlation_log(output, target):
    rho = torch.tanh(output[:, 0])
    x, y = target[:, 0], target[:, 1]
    q = (x - rho * y) ** 2
    return (0.5 * q + 0.5 * torch.log(1 - rho**2)).mean()  # <- here


def pdf_then_log(output, target):
    mu = output[:, 0]
    pdf = torch.exp(-0.5 * (target - mu) ** 2) / math.sqrt(2 * math.pi)
    return -torch.log(pdf).mean()  # <- here


def sqrt_at_zero(output, target):
    distance = torch.sqrt(output[:, 0] ** 2)  # <- here
    return (distance - target).pow(2).mean()


def where_hides_nan(output, target):
    x = output[:, 0]
    safe = torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x))  # <- here
    return (safe - target).pow(2).mean()


def where_hides_exp(output, target):
    x = output[:, 0]
    big = torch.exp(x)  # <- here
    value = torch.where(x > 20, x, torch.log1p(big))
    return (value - target).pow(2).mean()


def epsilon_absorbed(output, target):
    p = torch.sigmoid(output[:, 0])
    q = 1e-10 + 1 - p
    return -(target * torch.log(p + 1e-7) + (1 - target) * torch.log(q)).mean()  # <- here


def vanishing_scale(output, target):
    sigma = torch.sigmoid(output[:, 1])
    z = output[:, 0] / sigma  # <- here
    return torch.log1p(z.abs()).mean() + 0 * target.mean()


def clamp_after_exp(output, target):
    rate = torch.exp(output[:, 0]).clamp(max=1e4)  # <- here
    return (rate - target * torch.log(rate + 1e-3)).mean()


def acos_at_one(output, target):
    c = torch.tanh(output[:, 0])
    return (torch.acos(c) - target).pow(2).mean()  # <- here


def atanh_at_one(output, target):
    r = torch.tanh(output[:, 0])
    return (torch.atanh(r) - target).pow(2).mean()  # <- here


def log_of_difference(output, target):
    a = torch.sigmoid(output[:, 0] + 1.0)
    b = torch.sigmoid(output[:, 0] - 1.0)
    return -torch.log(a - b).mean() + 0 * target.mean()  # <- here
