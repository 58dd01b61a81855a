"""Held out, written before the tool was run on it: divergences, assignments, prototypes, rays."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, given, normal, put, scale, simplex, sound

GCE = "Zhang & Sabuncu, Generalized cross entropy loss, NeurIPS 2018"
HELLINGER = "Nguyen et al., Estimating divergence functionals, 2010: the Hellinger distance of two softmaxes"
BHATTACHARYYA = "Bhattacharyya 1943; Nielsen & Boltz, The Burbea-Rao and Bhattacharyya centroids, 2011"
RENYI = "Li & Turner, Renyi divergence variational inference, NeurIPS 2016"
SWAV = "Caron et al., SwAV, NeurIPS 2020: exp(scores / 0.05) before Sinkhorn"
DINO = "Caron et al., DINO, ICCV 2021"
CENTRE = "Wen et al., A discriminative feature learning approach, ECCV 2016: one is added to the counts"
PROTOTYPE = "Snell et al., Prototypical networks, NeurIPS 2017: a class without support"
RAY = "Kim et al., InfoNeRF, CVPR 2022: the entropy of an empty ray"
CORNER = "Law & Deng, CornerNet, ECCV 2018; github.com/maudzung/RTM3D issue 13"
ASYMMETRIC = "Ridnik et al., Asymmetric loss for multi-label classification, ICCV 2021"
SPARSEMAX = "Martins & Astudillo, From softmax to sparsemax, ICML 2016"
SYMMETRIC = "Wang et al., Symmetric cross entropy, ICCV 2019: the log of a one-hot label, cut at -4"
MINCUT = "Bianchi et al., Spectral clustering with graph neural networks, ICML 2020"
EARTH = "Hou et al., Squared earth mover's distance, arXiv:1611.05916"
NORMALISED = "Ma et al., Normalized loss functions for deep learning with noisy labels, ICML 2020"
BALANCED = "Menon et al., Long-tail learning via logit adjustment, ICLR 2021"
CENTERED = "Kornblith et al., Similarity of neural network representations revisited, ICML 2019: CKA"
DISCRIMINANT = "Dorfer et al., Deep linear discriminant analysis, ICLR 2016: the ratio of two scatters"


def generalised_cross_entropy(logits, y):
    p = torch.softmax(logits, -1).gather(1, y[:, None])
    return ((1 - p**0.7) / 0.7).mean()  # <- here


def generalised_cross_entropy_in_logs(logits, y):
    log_p = torch.log_softmax(logits, -1).gather(1, y[:, None])
    return (-torch.expm1(0.7 * log_p) / 0.7).mean()


def hellinger(logits, y):
    root = torch.sqrt(torch.softmax(logits, -1))  # <- here
    return ((root - torch.sqrt(y)) ** 2).sum(-1).mean()


def hellinger_by_half_logs(logits, y):
    root = torch.exp(0.5 * torch.log_softmax(logits, -1))
    return ((root - torch.sqrt(y)) ** 2).sum(-1).mean()


def overlap_of_softmaxes(a, b):
    p, q = torch.softmax(a, -1), torch.softmax(b, -1)
    return -torch.log(torch.sqrt(p * q).sum(-1)).mean()  # <- here


def overlap_in_logs(a, b):
    both = 0.5 * (torch.log_softmax(a, -1) + torch.log_softmax(b, -1))
    return -torch.logsumexp(both, -1).mean()


def renyi(a, b):
    p, q = torch.softmax(a, -1), torch.softmax(b, -1)
    return 2 * torch.log((p**1.5 * q**-0.5).sum(-1)).mean()  # <- here


def renyi_in_logs(a, b):
    p, q = torch.log_softmax(a, -1), torch.log_softmax(b, -1)
    return 2 * torch.logsumexp(1.5 * p - 0.5 * q, -1).mean()


def _balanced(q):
    for _ in range(3):
        q = q / q.sum(0, keepdim=True)
        q = q / q.sum(1, keepdim=True)
    return q.detach()


def swapped_assignment(a, b):
    target = _balanced(torch.exp(a / 0.05))  # <- here
    return -(target * torch.log_softmax(b / 0.1, -1)).sum(-1).mean()


def swapped_assignment_shifted(a, b):
    s = a.detach() / 0.05
    for _ in range(3):
        s = s - torch.logsumexp(s, 0, keepdim=True)
        s = s - torch.logsumexp(s, 1, keepdim=True)
    return -(torch.exp(s) * torch.log_softmax(b / 0.1, -1)).sum(-1).mean()


def self_distillation_by_log(student, teacher, centre):
    t = torch.softmax((teacher - centre) / 0.04, -1).detach()
    return -(t * torch.log(torch.softmax(student / 0.1, -1))).sum(-1).mean()  # <- here


def self_distillation(student, teacher, centre):
    t = torch.softmax((teacher - centre) / 0.04, -1).detach()
    return -(t * torch.log_softmax(student / 0.1, -1)).sum(-1).mean()


def to_the_class_mean(a, y):
    member = F.one_hot(y, 3).to(a)
    mean = member.t() @ a / member.sum(0)[:, None]  # <- here
    return F.cross_entropy(-torch.cdist(a, mean), y)


def to_the_class_mean_bounded(a, y):
    member = F.one_hot(y, 3).to(a)
    mean = member.t() @ a / (member.sum(0)[:, None] + 1)
    return ((a - mean[y]) ** 2).sum(-1).mean()


def ray_entropy(density):
    weight = 1 - torch.exp(-F.relu(density))
    p = weight / weight.sum(-1, keepdim=True)  # <- here
    return -(p * torch.log(p + 1e-10)).sum(-1).mean()


def ray_entropy_eps(density):
    weight = -torch.expm1(-F.softplus(density))
    p = weight / (weight.sum(-1, keepdim=True) + 1e-6)
    return -(p * torch.log(p + 1e-10)).sum(-1).mean()


def composited_colour(density, colour, y):
    alpha = 1 - torch.exp(-F.softplus(density))
    clear = torch.cumprod(torch.cat([torch.ones(len(alpha), 1), 1 - alpha + 1e-7], 1), 1)[:, :-1]
    return F.mse_loss((alpha * clear * torch.sigmoid(colour)).sum(1), y)


def corner_heatmap(logits, y):
    p = torch.sigmoid(logits)
    hit = (1 - p) ** 2 * torch.log(p) * (y == 1)  # <- here
    miss = p**2 * torch.log(1 - p) * (1 - y) ** 4  # <- here
    return -(hit + miss).sum() / (y == 1).sum().clamp(min=1)


def corner_heatmap_clamped(logits, y):
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    hit = (1 - p) ** 2 * torch.log(p) * (y == 1)
    miss = p**2 * torch.log(1 - p) * (1 - y) ** 4
    return -(hit + miss).sum() / (y == 1).sum().clamp(min=1)


def asymmetric(logits, y):
    p = torch.sigmoid(logits)
    miss = (1 - p + 0.05).clamp(max=1.0)
    return -(y * F.logsigmoid(logits) + (1 - y) * torch.log(miss) * (1 - miss) ** 4).mean()


def sparsemax_loss(logits, y):
    z = torch.sort(logits, -1, descending=True).values
    k = torch.arange(1, logits.shape[1] + 1)
    support = (1 + k * z > z.cumsum(-1)).sum(-1, keepdim=True)
    tau = (z.cumsum(-1).gather(1, support - 1) - 1) / support
    p = F.relu(logits - tau)
    hit = logits.gather(1, y[:, None]).squeeze(1)
    return ((p * (logits - 0.5 * p)).sum(-1) - hit + 0.5).mean()


def symmetric(logits, y):
    p = torch.softmax(logits, -1)
    reverse = -(p * F.one_hot(y, logits.shape[1]).to(p).clamp(min=1e-4).log()).sum(-1).mean()
    return F.cross_entropy(logits, y) + 0.1 * reverse


def normalised_cross_entropy(logits, y):
    log_p = torch.log_softmax(logits, -1)
    return (log_p.gather(1, y[:, None]).squeeze(1) / log_p.sum(-1)).mean()


def earth_movers(logits, y):
    return ((torch.softmax(logits, -1) - y).cumsum(-1) ** 2).sum(-1).mean()


def adjusted_logits(logits, prior, y):
    return F.cross_entropy(logits + torch.log(prior + 1e-9), y)


def cut_and_balance(logits, adjacency):
    s = torch.softmax(logits, -1)
    degree = adjacency.sum(1)
    cut = -torch.trace(s.t() @ adjacency @ s) / (torch.trace(s.t() @ (degree[:, None] * s)) + 1e-6)
    gram = s.t() @ s
    return cut + torch.norm(gram / torch.norm(gram) - torch.eye(3) / 3**0.5)


def aligned_kernels(a, b):
    x, y = a - a.mean(0), b - b.mean(0)
    return 1 - (x.t() @ y).pow(2).sum() / ((x.t() @ x).norm() * (y.t() @ y).norm())  # <- here


def aligned_kernels_eps(a, b):
    x, y = a - a.mean(0), b - b.mean(0)
    return 1 - (x.t() @ y).pow(2).sum() / ((x.t() @ x).norm() * (y.t() @ y).norm() + 1e-6)


def scatter_ratio(a, y):
    member = F.one_hot(y, 3).to(a)
    mean = member.t() @ a / member.sum(0).clamp(min=1)[:, None]
    return ((a - mean[y]) ** 2).sum() / ((mean - mean.mean(0)) ** 2).sum()  # <- here


LABELLED = given(logits=normal(8, 5), y=classes(8, 5), target="y")
SOFT = given(logits=normal(8, 5), y=simplex(8, 5), target="y")
TWO = given(a=normal(6, 5), b=normal(6, 5))
VIEWS = given(a=normal(6, 4, scale=0.5), b=normal(6, 4, scale=0.5))
SCHOOL = given(student=normal(6, 5), teacher=normal(6, 5), centre=normal(5), target="teacher centre")
GROUPS = given(a=normal(9, 4), y=lambda g: torch.tensor([0, 1, 2] * 3)[torch.randperm(9, generator=g)], target="y")
HEAT = given(logits=normal(10), y=bits(10), target="y")
RAYS = given(density=normal(4, 6, shift=1.5))
RING = lambda g: torch.roll(torch.eye(6), 1, 0) + torch.roll(torch.eye(6), -1, 0)  # noqa: E731


def _one_class(state):
    state["y"].zero_()


def _same_rows(state):
    state["a"].fill_(1.0)


CASES = (
    bug(generalised_cross_entropy, LABELLED, "pow", GCE, scale(logits=200.0), phase="backward"),
    sound(generalised_cross_entropy_in_logs, LABELLED, GCE, scale(logits=200.0)),
    bug(hellinger, SOFT, "sqrt", HELLINGER, scale(logits=200.0), phase="backward"),
    sound(hellinger_by_half_logs, SOFT, HELLINGER, scale(logits=200.0)),
    bug(overlap_of_softmaxes, TWO, "log sqrt mul", BHATTACHARYYA, scale(a=300.0, b=-300.0)),
    sound(overlap_in_logs, TWO, BHATTACHARYYA, scale(a=300.0, b=-300.0)),
    bug(renyi, TWO, "pow mul log", RENYI, scale(b=200.0)),
    sound(renyi_in_logs, TWO, RENYI, scale(b=200.0)),
    bug(swapped_assignment, VIEWS, "exp", SWAV, put(a=6.0)),
    sound(swapped_assignment_shifted, VIEWS, SWAV, put(a=6.0)),
    bug(self_distillation_by_log, SCHOOL, "log mul", DINO, scale(student=30.0)),
    sound(self_distillation, SCHOOL, DINO, scale(student=30.0)),
    bug(to_the_class_mean, GROUPS, "div", PROTOTYPE, _one_class, verdict="limit defect"),
    sound(to_the_class_mean_bounded, GROUPS, CENTRE, _one_class),
    bug(ray_entropy, RAYS, "div", RAY, lambda s: s["density"][0].fill_(-1.0), verdict="limit defect"),
    sound(ray_entropy_eps, RAYS, RAY, lambda s: s["density"][0].fill_(-12.0)),
    sound(composited_colour, given(density=normal(4, 6), colour=normal(4, 6), y=simplex(4), target="y"),
          "Mildenhall et al., NeRF, ECCV 2020", put(density=200.0)),
    bug(corner_heatmap, HEAT, "log mul", CORNER, scale(logits=200.0)),
    sound(corner_heatmap_clamped, HEAT, CORNER, scale(logits=3.0)),
    sound(asymmetric, HEAT, ASYMMETRIC, scale(logits=30.0)),
    sound(sparsemax_loss, LABELLED, SPARSEMAX, scale(logits=100.0)),
    sound(symmetric, LABELLED, SYMMETRIC, scale(logits=100.0)),
    sound(normalised_cross_entropy, LABELLED, NORMALISED, scale(logits=100.0)),
    sound(earth_movers, SOFT, EARTH, scale(logits=100.0)),
    sound(adjusted_logits, given(logits=normal(8, 5), prior=simplex(5), y=classes(8, 5), target="prior y"), BALANCED,
          scale(logits=100.0)),
    sound(cut_and_balance, given(logits=normal(6, 3), adjacency=RING, target="adjacency"), MINCUT,
          scale(logits=20.0)),
    bug(aligned_kernels, TWO, "div", CENTERED, _same_rows, verdict="limit defect"),
    sound(aligned_kernels_eps, TWO, CENTERED, _same_rows),
    bug(scatter_ratio, GROUPS, "div", DISCRIMINANT, _same_rows, verdict="limit defect"),
)  # fmt: skip
