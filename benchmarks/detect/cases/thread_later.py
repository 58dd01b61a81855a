"""A later round of the same kind, written after the tool had been mended on the first: defects beside their repair."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, fill, given, normal, positive, put, scale, simplex, sound, unit

VICREG = "Bardes et al. 2022, eq. 1; github.com/tensorflow/similarity pull 243"
NCE = "InfoNCE as in github.com/HobbitLong/SupContrast issue 50"
EIGEN = "github.com/pytorch/pytorch issue 49886: gradients of eigenvectors where eigenvalues meet"
SPREAD = "github.com/UCL-SML/Doubly-Stochastic-DGP issue 9: fewer independent rows than columns"
TASKS = "Kendall et al. 2018, eq. 7, with sigma itself as the parameter"
TURN = "github.com/facebookresearch/fairchem pull 1574: atan2 of two zeros"
HAZARD = "github.com/ragulpr/wtte-rnn issue 49, Gensheimer and Narasimhan 2019: survival by cumprod"
DISTIL = "github.com/pytorch/pytorch issue 5282: a divergence written out, of labels with a zero"
EMD = "Hou et al. 2016, squared EMD; Talebi and Milanfar 2018: its root"
FIELDS = "relative L2 error as in neural operators: Li et al. 2021"
INVERSE = "inverse sigmoid of Zhu et al. 2021 with an epsilon that float32 does not hold"
TVERSKY = "Abraham and Khan 2019: the focal exponent of a perfect overlap"
ENERGY = "github.com/Xilinx/brevitas pull 1496: a sum of squares in float16"
DEVIANCE = "Poisson deviance; github.com/pytorch/pytorch pull 3336"
RATIO = "github.com/ludwig-ai/ludwig pull 2139: root mean square percentage error"


def hinge_on_spread(z):
    return F.relu(1 - torch.sqrt(z.var(0))).mean()  # <- here


def hinge_on_spread_floored(z):
    return F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()


def pairs_by_plain_exp(anchor, positive_, negative):
    near = torch.exp((anchor * positive_).sum(1) / 0.07)  # <- here
    far = torch.exp(anchor @ negative.T / 0.07).sum(1)  # <- here
    return -torch.log(near / (near + far)).mean()  # <- here


def pairs_by_cross_entropy(anchor, positive_, negative):
    near = (anchor * positive_).sum(1, keepdim=True) / 0.07
    scores = torch.cat([near, anchor @ negative.T / 0.07], 1)
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))


def whitened(features, goal):
    cov = features.T @ features / len(features)
    value, vector = torch.linalg.eigh(cov)  # <- here
    root = vector @ torch.diag((value.clamp(min=1e-3)) ** -0.5) @ vector.T
    return F.mse_loss(features @ root, goal)


def whitened_by_cholesky(features, goal):
    cov = features.T @ features / len(features) + 1e-2 * torch.eye(features.shape[1])
    factor = torch.linalg.cholesky(cov)
    return F.mse_loss(torch.linalg.solve_triangular(factor, features.T, upper=False).T, goal)


def volume_of_features(z):
    centred = z - z.mean(0)
    return -torch.logdet(centred.T @ centred / len(z))  # <- here


def volume_of_features_floored(z):
    centred = z - z.mean(0)
    return -torch.logdet(centred.T @ centred / len(z) + 1e-2 * torch.eye(z.shape[1]))


def tasks_by_sigma(sigma, depth, label, y, k):
    first = F.mse_loss(depth, y) / (2 * sigma[0] ** 2)  # <- here
    second = F.cross_entropy(label, k) / sigma[1] ** 2  # <- here
    return first + second + torch.log(sigma[0] * sigma[1])  # <- here


def tasks_by_log_variance(log_var, depth, label, y, k):
    log_var = log_var.clamp(-10, 10)
    first = F.mse_loss(depth, y) * 0.5 * torch.exp(-log_var[0])
    return first + F.cross_entropy(label, k) * torch.exp(-log_var[1]) + 0.5 * log_var.sum()


def heading(vector, angle):
    turned = torch.atan2(vector[:, 1], vector[:, 0])
    return (1 - torch.cos(turned - angle)).mean()


def heading_by_projection(vector, angle):
    along = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    return (1 - (vector * along).sum(1) / torch.sqrt((vector**2).sum(1) + 1e-4)).mean()


def survival_by_product(logits, last):
    alive = torch.cumprod(1 - torch.sigmoid(logits), 1)
    return -torch.log(alive.gather(1, last[:, None])).mean()  # <- here


def survival_by_sum(logits, last):
    alive = F.logsigmoid(-logits).cumsum(1)
    return -alive.gather(1, last[:, None]).mean()


def divergence_written_out(logits, teacher):
    return (teacher * torch.log(teacher / torch.softmax(logits, -1))).sum(-1).mean()  # <- here


def divergence_by_xlogy(logits, teacher):
    return (torch.xlogy(teacher, teacher) - teacher * F.log_softmax(logits, -1)).sum(-1).mean()


def ratings_by_root(logits, share):
    gap = torch.softmax(logits, -1).cumsum(-1) - share.cumsum(-1)
    return torch.sqrt((gap**2).mean(-1)).mean()  # <- here


def ratings_by_square(logits, share):
    gap = torch.softmax(logits, -1).cumsum(-1) - share.cumsum(-1)
    return (gap**2).mean(-1).mean()


def relative_field_error(predicted, field):
    return ((predicted - field).norm(dim=1) / field.norm(dim=1)).mean()  # <- here


def relative_field_error_floored(predicted, field):
    return ((predicted - field).norm(dim=1) / (field.norm(dim=1) + 1e-3)).mean()


def refined_boxes(raw, reference, goal):
    x = torch.sigmoid(reference).clamp(1e-8, 1 - 1e-8)
    return F.l1_loss(torch.sigmoid(raw + torch.log(x / (1 - x))), goal)  # <- here


def refined_boxes_floored(raw, reference, goal):
    x = torch.sigmoid(reference)
    before = torch.log(x.clamp(min=1e-5)) - torch.log((1 - x).clamp(min=1e-5))
    return F.l1_loss(torch.sigmoid(raw + before), goal)


def focal_overlap(logits, mask):
    p = torch.sigmoid(logits)
    hit, false, missed = (p * mask).sum(1), (p * (1 - mask)).sum(1), ((1 - p) * mask).sum(1)
    overlap = (hit + 1) / (hit + 0.3 * false + 0.7 * missed + 1)
    return ((1 - overlap) ** 0.75).mean()  # <- here


def focal_overlap_floored(logits, mask):
    p = torch.sigmoid(logits)
    hit, false, missed = (p * mask).sum(1), (p * (1 - mask)).sum(1), ((1 - p) * mask).sum(1)
    overlap = (hit + 1) / (hit + 0.3 * false + 0.7 * missed + 1)
    return ((1 - overlap).clamp(min=1e-4) ** 0.75).mean()


def energy_in_half(signal):
    return torch.log1p((signal.half() ** 2).sum(1).float()).mean()  # <- here


def energy_out_of_half(signal):
    return torch.log1p((signal.half().float() ** 2).sum(1)).mean()


def counts_against_a_rate(raw, y):
    rate = F.softplus(raw) + 1e-3
    return 2 * (y * torch.log(y / rate) - (y - rate)).mean()  # <- here


def counts_against_a_rate_by_xlogy(raw, y):
    rate = F.softplus(raw) + 1e-3
    return 2 * (torch.xlogy(y, y) - y * torch.log(rate) - (y - rate)).mean()


def percentage_root(predicted, y):
    return torch.sqrt((((y - predicted) / y) ** 2).mean())  # <- here


def percentage_root_floored(predicted, y):
    return torch.sqrt((((y - predicted) / (y.abs() + 1e-1)) ** 2).mean() + 1e-6)


def _dead(state):
    state["z"][:, 0] = 0.0


def _one_hot(state):
    state["teacher"].zero_()
    state["teacher"][:, 0] = 1.0


def _met(state):
    state["logits"].copy_(torch.log(state["share"]))


def _right(state):
    state["logits"].copy_(200 * state["mask"] - 100)


def _both_vanish(state):
    state["predicted"].zero_()
    state["y"].fill_(0.0)


SETS = {
    "pairs": given(anchor=normal(8, 4, scale=0.6), positive_=normal(8, 4, scale=0.6), negative=normal(8, 4, scale=0.6)),
    "last": given("last", logits=normal(8, 5), last=classes(8, 5)),
    "teacher": given("teacher", logits=normal(8, 4), teacher=simplex(8, 4)),
    "share": given("share", logits=normal(8, 5), share=simplex(8, 5)),
    "field": given("field", predicted=normal(6, 9), field=normal(6, 9)),
    "boxes": given("goal", raw=normal(8, 4), reference=normal(8, 4), goal=unit(8, 4)),
    "mask": given("mask", logits=normal(6, 9), mask=bits(6, 9)),
    "rate": given("y", raw=normal(12), y=lambda g: torch.poisson(torch.full((12,), 3.0), generator=g) + 1),
    "ratio": given("y", predicted=normal(12, shift=2.0), y=positive(12, around=2.0)),
}
SIGMA = given("y k", sigma=positive(2), depth=normal(8), label=normal(8, 3), y=normal(8), k=classes(8, 3))
LOG_VAR = given("y k", log_var=normal(2), depth=normal(8), label=normal(8, 3), y=normal(8), k=classes(8, 3))
HEADING = given("angle", vector=normal(8, 2), angle=normal(8))

CASES = (
    bug(hinge_on_spread, given(z=normal(16, 4)), "sqrt", VICREG, _dead, phase="backward", verdict="defect limit"),
    sound(hinge_on_spread_floored, given(z=normal(16, 4)), VICREG, _dead),
    bug(pairs_by_plain_exp, SETS["pairs"], "exp div", NCE, scale(anchor=20.0)),
    sound(pairs_by_cross_entropy, SETS["pairs"], NCE, scale(anchor=20.0)),
    bug(
        whitened,
        given("goal", features=normal(8, 3), goal=normal(8, 3)),
        "eigh",
        EIGEN,
        lambda s: s["features"].copy_(torch.eye(3).repeat(3, 1)[:8]),
        phase="backward",
        verdict="defect limit",
    ),
    sound(
        whitened_by_cholesky,
        given("goal", features=normal(8, 3), goal=normal(8, 3)),
        EIGEN,
        lambda s: s["features"].zero_(),
    ),
    bug(volume_of_features, given(z=normal(16, 3)), "logdet", SPREAD, _dead, verdict="limit defect"),
    sound(volume_of_features_floored, given(z=normal(16, 3)), SPREAD, _dead),
    bug(tasks_by_sigma, SIGMA, "div log pow", TASKS, put(sigma=1e-25), verdict="limit defect"),
    sound(tasks_by_log_variance, LOG_VAR, TASKS, fill(log_var=-60.0)),
    sound(heading, HEADING, TURN + ", which PyTorch answers with 0", fill(vector=0.0)),
    sound(heading_by_projection, HEADING, TURN, fill(vector=0.0)),
    bug(survival_by_product, SETS["last"], "log", HAZARD, scale(logits=60.0)),
    sound(survival_by_sum, SETS["last"], HAZARD, scale(logits=60.0)),
    bug(divergence_written_out, SETS["teacher"], "log mul", DISTIL, _one_hot, verdict="defect limit"),
    sound(divergence_by_xlogy, SETS["teacher"], DISTIL, _one_hot),
    bug(ratings_by_root, SETS["share"], "sqrt", EMD, _met, phase="backward", verdict="defect limit"),
    sound(ratings_by_square, SETS["share"], EMD, _met),
    bug(relative_field_error, SETS["field"], "div", FIELDS, fill(field=0.0), verdict="defect limit"),
    sound(relative_field_error_floored, SETS["field"], FIELDS, fill(field=0.0)),
    bug(refined_boxes, SETS["boxes"], "div log", INVERSE, put(reference=40.0)),
    sound(refined_boxes_floored, SETS["boxes"], INVERSE, put(reference=40.0)),
    bug(focal_overlap, SETS["mask"], "pow", TVERSKY, _right, phase="backward", verdict="defect limit"),
    sound(focal_overlap_floored, SETS["mask"], TVERSKY, _right),
    bug(energy_in_half, given(signal=normal(4, 16, scale=8.0)), "sum pow", ENERGY, scale(signal=30.0)),
    sound(energy_out_of_half, given(signal=normal(4, 16, scale=8.0)), ENERGY, scale(signal=30.0)),
    bug(counts_against_a_rate, SETS["rate"], "log mul", DEVIANCE, put(y=0.0)),
    sound(counts_against_a_rate_by_xlogy, SETS["rate"], DEVIANCE, put(y=0.0)),
    bug(percentage_root, SETS["ratio"], "div", RATIO, put(y=0.0), verdict="limit defect"),
    sound(percentage_root_floored, SETS["ratio"], RATIO, _both_vanish),
)
