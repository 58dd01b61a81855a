"""Distances and angles: contrastive, triplet, cosine, hyperbolic."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, given, normal, same, scale, sound

PAIRS = given(a=normal(8, 4), b=normal(8, 4), y=bits(8), target="y")
TRIPLET = given(anchor=normal(8, 4), positive=normal(8, 4), negative=normal(8, 4))
VIEWS = given(a=normal(8, 4), b=normal(8, 4))
SUBGRADIENT = "github.com/pytorch/pytorch issue 2421 and pull request 2775: sqrt of a sum against norm at 0"
HADSELL = "Hadsell et al., Dimensionality reduction by learning an invariant mapping, CVPR 2006"
COINCIDE = same("anchor", "positive")
GRIST_DIV = "Yan et al., GRIST, ESEC/FSE 2021: division by a spread or norm"


def contrastive_sqrt(a, b, y):
    distance = torch.sqrt(((a - b) ** 2).sum(1))  # <- here
    return (y * distance**2 + (1 - y) * F.relu(1.0 - distance) ** 2).mean()


def contrastive_sqrt_eps(a, b, y):
    distance = torch.sqrt(((a - b) ** 2).sum(1) + 1e-9)
    return (y * distance**2 + (1 - y) * F.relu(1.0 - distance) ** 2).mean()


def contrastive_norm(a, b, y):
    distance = torch.linalg.vector_norm(a - b, dim=1)
    return (y * distance**2 + (1 - y) * F.relu(1.0 - distance) ** 2).mean()


def contrastive_library(a, b, y):
    return (y * F.pairwise_distance(a, b)).mean() + ((1 - y) * F.relu(1 - F.pairwise_distance(a, b))).mean()


def triplet_sqrt(anchor, positive, negative):
    near = (anchor - positive).pow(2).sum(1).sqrt()  # <- here
    far = (anchor - negative).pow(2).sum(1).sqrt()  # <- here
    return F.relu(near - far + 0.5).mean()


def triplet_squared(anchor, positive, negative):
    near, far = (anchor - positive).pow(2).sum(1), (anchor - negative).pow(2).sum(1)
    return F.relu(near - far + 0.5).mean()


def triplet_library(anchor, positive, negative):
    return F.triplet_margin_loss(anchor, positive, negative)


def gram_distance_sqrt(a, b):
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.t()
    distance = torch.sqrt(squared.clamp(min=0))  # <- here
    return distance.mean()


def gram_distance_guarded(a, b):
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.t()
    return torch.sqrt(squared.clamp(min=1e-12)).mean()


def cosine_by_hand(a, b):
    dot = (a * b).sum(1)
    cosine = dot / (a.pow(2).sum(1).sqrt() * b.pow(2).sum(1).sqrt())  # <- here
    return (1 - cosine).mean()


def cosine_library(a, b):
    return (1 - F.cosine_similarity(a, b)).mean()


def cosine_embedding(a, b, y):
    return F.cosine_embedding_loss(a, b, 2 * y - 1)


def normalise_by_norm(a, b):
    unit = a / a.norm(dim=1, keepdim=True)  # <- here
    return (unit * b).sum(1).mean()


def normalise_by_library(a, b):
    return (F.normalize(a, dim=1) * b).sum(1).mean()


def geodesic_acos(a, b):
    cosine = F.cosine_similarity(a, b)
    return torch.acos(cosine).mean()  # <- here


def geodesic_acos_clamped(a, b):
    cosine = F.cosine_similarity(a, b).clamp(-1 + 1e-6, 1 - 1e-6)
    return torch.acos(cosine).mean()


def rotation_angle(rotation):
    trace = rotation.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.acos((trace - 1) / 2).mean()  # <- here


def info_nce_by_hand(a, b):
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).t() / 0.005
    e = torch.exp(similarity)  # <- here
    return -torch.log(e.diagonal() / e.sum(1)).mean()  # <- here


def info_nce(a, b):
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).t() / 0.005
    return F.cross_entropy(similarity, torch.arange(len(a)))


def supervised_contrastive(a, labels):
    z = F.normalize(a, dim=1)
    logits = z @ z.t() / 0.1
    self_mask = torch.eye(len(a), dtype=torch.bool)
    log_p = logits - torch.logsumexp(logits.masked_fill(self_mask, float("-inf")), 1, keepdim=True)
    same_class = (labels[:, None] == labels[None, :]) & ~self_mask
    return -(log_p * same_class).sum() / same_class.sum().clamp(min=1)


def circle_margin(a, labels, weight):
    cosine = F.normalize(a, dim=1) @ F.normalize(weight, dim=1).t()
    sine = torch.sqrt(1 - cosine**2)  # <- here
    shifted = cosine * math.cos(0.5) - sine * math.sin(0.5)
    target = F.one_hot(labels, weight.shape[0]).float()
    return F.cross_entropy(16 * (target * shifted + (1 - target) * cosine), labels)


def circle_margin_guarded(a, labels, weight):
    cosine = F.normalize(a, dim=1) @ F.normalize(weight, dim=1).t()
    sine = torch.sqrt((1 - cosine**2).clamp(min=1e-7))
    shifted = cosine * math.cos(0.5) - sine * math.sin(0.5)
    target = F.one_hot(labels, weight.shape[0]).float()
    return F.cross_entropy(16 * (target * shifted + (1 - target) * cosine), labels)


def poincare(a, b):
    u, v = 0.5 * torch.tanh(a) / 2, 0.5 * torch.tanh(b) / 2
    delta = ((u - v) ** 2).sum(1)
    x = 1 + 2 * delta / ((1 - (u**2).sum(1)) * (1 - (v**2).sum(1)))
    return torch.log(x + torch.sqrt(x**2 - 1)).mean()  # <- here


def variance_hinge(a):
    std = torch.sqrt(a.var(dim=0) + 1e-4)
    return F.relu(1 - std).mean()


def batch_std(a):
    return F.relu(1 - a.std(dim=0)).mean()


def standardised_targets(a, b):
    z = (b - b.mean(0)) / b.std(0)  # <- here
    return F.mse_loss(a, z)


def correlation_by_hand(a, b):
    x, y = a - a.mean(), b - b.mean()
    r = (x * y).sum() / (torch.sqrt((x**2).sum()) * torch.sqrt((y**2).sum()))  # <- here
    return 1 - r


def student_kernel(a, b):
    q = 1 / (1 + ((a - b) ** 2).sum(1))
    return -torch.log(q / q.sum()).mean()


def maximum_mean_discrepancy(a, b):
    return torch.exp(-(torch.cdist(a, b) ** 2) / 4).mean().neg() + 1.0


def uniformity(a):
    z = F.normalize(a, dim=1)
    return torch.pdist(z).pow(2).mul(-2).exp().mean().log()


def _constant_columns(state):
    state["a"].copy_(state["a"][:1].expand_as(state["a"]))


def _rotations(generator):
    w = torch.randn(6, 3, 3, generator=generator)
    return torch.linalg.matrix_exp(0.5 * (w - w.transpose(1, 2)))


LABELLED = given(a=normal(8, 4), labels=classes(8, 3), weight=normal(3, 4), target="labels")
CASES = (
    bug(contrastive_sqrt, PAIRS, "sqrt", HADSELL + "; " + SUBGRADIENT, same("a", "b"), phase="backward",
        verdict="defect limit"),
    sound(contrastive_sqrt_eps, PAIRS, HADSELL, same("a", "b")),
    sound(contrastive_norm, PAIRS, SUBGRADIENT, same("a", "b")),
    sound(contrastive_library, PAIRS, "PyTorch documentation, torch.nn.PairwiseDistance adds 1e-6", same("a", "b")),
    bug(triplet_sqrt, TRIPLET, "sqrt", "github.com/tensorflow/tensorflow issue 30199", COINCIDE, phase="backward",
        verdict="defect limit"),
    sound(triplet_squared, TRIPLET, "Schroff et al., FaceNet, CVPR 2015; github.com/davidsandberg/facenet issue 547",
          COINCIDE),
    sound(triplet_library, TRIPLET, "PyTorch documentation, torch.nn.TripletMarginLoss", COINCIDE),
    bug(gram_distance_sqrt, VIEWS, "sqrt clamp", "Hermans et al., In defense of the triplet loss, arXiv:1703.07737",
        lambda s: (s["a"].fill_(1.0), s["b"].fill_(1.0)), phase="backward", verdict="defect limit"),
    sound(gram_distance_guarded, VIEWS, "github.com/AsuradaYuci/understand_videobased_reid issue 6", same("a", "b")),
    bug(cosine_by_hand, VIEWS, "div sqrt", GRIST_DIV,
        lambda s: s["a"].zero_(), verdict="defect limit"),
    sound(cosine_library, VIEWS, "PyTorch documentation, torch.nn.CosineSimilarity", lambda s: s["a"][0].zero_()),
    sound(cosine_embedding, PAIRS, "PyTorch documentation, torch.nn.CosineEmbeddingLoss", lambda s: s["a"][0].zero_()),
    bug(normalise_by_norm, VIEWS, "div norm", GRIST_DIV, lambda s: s["a"][0].zero_(), verdict="defect limit"),
    sound(normalise_by_library, VIEWS, "PyTorch documentation, torch.nn.functional.normalize"),
    bug(geodesic_acos, VIEWS, "acos", "github.com/facebookresearch/fairchem pull request 1574: acos at its ends",
        lambda s: (s["a"].fill_(1.0), s["b"].fill_(1.0)), verdict="defect limit"),
    sound(geodesic_acos_clamped, VIEWS, "PyTorch3D documentation, so3_rotation_angle clamps", same("a", "b")),
    bug(rotation_angle, given(rotation=_rotations), "acos",
        "Huynh, Metrics for 3D rotations, J. Math. Imaging Vis. 2009", lambda s: s["rotation"].copy_(torch.eye(3)),
        verdict="defect limit"),
    bug(info_nce_by_hand, VIEWS, "exp log div", "van den Oord et al., Contrastive predictive coding, "
        "arXiv:1807.03748, at temperature 0.005", same("a", "b")),
    sound(info_nce, VIEWS, "Chen et al., SimCLR, ICML 2020", same("a", "b")),
    sound(supervised_contrastive, given(a=normal(8, 4), labels=classes(8, 3), target="labels"),
          "Khosla et al., Supervised contrastive learning, NeurIPS 2020", scale(a=100.0)),
    bug(circle_margin, LABELLED, "sqrt", "Deng et al., ArcFace, CVPR 2019: sine from cosine",
        lambda s: (s["a"].fill_(1.0), s["weight"].fill_(1.0)), phase="forward backward", verdict="defect limit"),
    sound(circle_margin_guarded, LABELLED, "Deng et al., ArcFace, CVPR 2019, bounded", lambda s: (
        s["a"].fill_(1.0), s["weight"].fill_(1.0))),
    bug(poincare, VIEWS, "sqrt", "Nickel & Kiela, Poincare embeddings, NeurIPS 2017", same("a", "b"),
        phase="forward backward", verdict="defect limit"),
    sound(variance_hinge, given(a=normal(8, 4)), "Bardes et al., VICReg, ICLR 2022", _constant_columns),
    sound(batch_std, given(a=normal(8, 4)), "github.com/pytorch/pytorch issue 4320, mended: the slope of std at 0 is 0",
          _constant_columns),
    bug(standardised_targets, VIEWS, "div std", GRIST_DIV, lambda s: s["b"].copy_(s["b"][:1].expand_as(s["b"])),
        verdict="defect limit"),
    bug(correlation_by_hand, VIEWS, "div sqrt", GRIST_DIV, lambda s: s["a"].fill_(1.0), verdict="defect limit"),
    sound(student_kernel, VIEWS, "van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 2008", scale(a=100.0)),
    sound(maximum_mean_discrepancy, VIEWS, "Gretton et al., A kernel two-sample test, JMLR 2012", same("a", "b")),
    sound(uniformity, given(a=normal(8, 4)), "Wang & Isola, Understanding contrastive representation learning, ICML "
          "2020", scale(a=100.0)),
)  # fmt: skip
