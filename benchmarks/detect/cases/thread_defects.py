"""Losses as they stood when somebody opened an issue about them: detection, pose, audio, policies, counts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    Spec,
    bits,
    bug,
    classes,
    counts,
    fill,
    fixed,
    given,
    modelled,
    normal,
    positive,
    put,
    same,
    scale,
    unit,
)


def rotations(rows: int) -> Spec:
    """Random rotation matrices (rows, 3, 3)."""

    def draw(g: torch.Generator) -> torch.Tensor:
        q, r = torch.linalg.qr(torch.randn(rows, 3, 3, generator=g))
        q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))[:, None, :]
        return q * torch.linalg.det(q)[:, None, None]

    return draw


def boxes(rows: int) -> Spec:
    """Centre, width and height (rows, 4), all boxes of some size."""
    return lambda g: torch.cat([torch.rand(rows, 2, generator=g), 0.2 + torch.rand(rows, 2, generator=g)], 1)


def graded(rows: int, items: int) -> Spec:
    """Relevance grades 0 to 2."""
    return lambda g: torch.randint(3, (rows, items), generator=g).float()


class Head(nn.Linear):
    """One raw number a row, which a fresh network gives around 4."""

    def __init__(self) -> None:
        super().__init__(3, 1)
        nn.init.constant_(self.bias, 4.0)


def textures(share: float) -> Spec:
    """Pictures (4, 1, 9, 9) that have a pattern in common."""

    def draw(g: torch.Generator) -> torch.Tensor:
        pattern = torch.rand(4, 1, 9, 9, generator=torch.Generator().manual_seed(1))
        return (1 - share) * pattern + share * torch.rand(4, 1, 9, 9, generator=g)

    return draw


def aligned(state):
    """The first embedding points where its class weight points."""
    state["weight"][0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    state["embedding"][0] = torch.tensor([2.0, 0.0, 0.0, 0.0])
    state["y"][0] = 0


# ---- angles and norms --------------------------------------------------------------------------------------------


def additive_angular_margin(embedding, weight, y):
    cosine = F.normalize(embedding) @ F.normalize(weight).T
    sine = torch.sqrt((1.0 - cosine**2).clamp(0, 1))  # <- here
    turned = cosine * math.cos(0.5) - sine * math.sin(0.5)
    chosen = F.one_hot(y, 3).bool()
    return F.cross_entropy(30 * torch.where(chosen, turned, cosine), y)


def angle_between_rotations(predicted, truth):
    product = predicted @ truth.transpose(1, 2)
    cosine = (product.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2
    return torch.acos(cosine.clamp(-1.0, 1.0)).mean()  # <- here


def log_of_a_unit_quaternion(quaternion, goal):
    w, v = quaternion[:, :1], quaternion[:, 1:]
    length = v.norm(dim=1, keepdim=True).clamp(min=1e-8)
    log_map = v * torch.acos(w.clamp(-1.0, 1.0)) / length  # <- here
    return F.mse_loss(log_map, goal)


def turned_by_axis_angle(axis_angle, goal):
    theta = torch.sqrt((axis_angle**2).sum(1, keepdim=True))  # <- here
    ratio = torch.where(theta > 0, torch.sin(theta / 2) / theta, torch.full_like(theta, 0.5))  # <- here
    quaternion = torch.cat([torch.cos(theta / 2), ratio * axis_angle], 1)
    return F.mse_loss(quaternion, goal)


def scalar_part_of_a_rotation(matrix, goal):
    trace = matrix.diagonal(dim1=1, dim2=2).sum(-1)
    twice = 2 * torch.sqrt(trace + 1.0)  # <- here
    x = (matrix[:, 2, 1] - matrix[:, 1, 2]) / twice.clamp(min=1e-6)
    return F.mse_loss(torch.stack([0.25 * twice, x], 1), goal)


def hyperbolic_neighbours(points, near, far):
    def distance(a, b):
        gap = ((a - b) ** 2).sum(-1)
        c = 1 + 2 * gap / ((1 - (a**2).sum(-1)) * (1 - (b**2).sum(-1)))
        return torch.log(c + torch.sqrt(c**2 - 1))  # <- here

    a, b, c = (0.9 * torch.tanh(t.norm(dim=-1, keepdim=True)) * F.normalize(t, dim=-1) for t in (points, near, far))
    return F.relu(distance(a, b) - distance(a, c) + 1.0).mean()


def grey_world(image):
    mean = image.mean((2, 3))
    red, green, blue = mean.unbind(1)
    spread = (red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4
    return torch.pow(spread, 0.5).mean()  # <- here


def gaussian_box_distance(predicted, truth):
    size, goal = predicted[:, 2:].exp(), truth[:, 2:]
    centre = ((predicted[:, :2] - truth[:, :2]) ** 2).sum(-1)
    shape = ((size - goal) ** 2).sum(-1) / 4
    return (1 - 1 / (1 + torch.sqrt((centre + shape).clamp(0)))).mean()  # <- here


# ---- masks, selections, empty groups -----------------------------------------------------------------------------


def masked_video_error(predicted, truth, mask):
    error = (predicted - truth) ** 2 * mask
    return (error.sum((1, 2)) / mask.sum((1, 2))).mean()  # <- here


def contrast_of_a_lonely_class(features, labels):
    z = F.normalize(features, dim=1)
    logits = z @ z.T / 0.2
    others = 1 - torch.eye(len(z))
    positives = (labels[:, None] == labels[None, :]).float() * others
    log_p = logits - torch.logsumexp(logits.masked_fill(others == 0, -1e9), 1, keepdim=True)
    return -((positives * log_p).sum(1) / positives.sum(1)).mean()  # <- here


def contrast_without_normalising(features, labels):
    logits = features @ features.T / 0.1
    logits = logits - logits.max(1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(features))
    positives = (labels[:, None] == labels[None, :]).float() * others
    log_p = logits - torch.log((torch.exp(logits) * others).sum(1, keepdim=True))  # <- here
    return -((positives * log_p).sum(1) / positives.sum(1).clamp(min=1)).mean()


def edges_only(logits, truth, edges):
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return loss.mean() + loss[edges > 0.5].mean()  # <- here


def group_relative_advantage(new, old, reward):
    grouped = reward.view(-1, 4)
    advantage = (grouped - grouped.mean(1, keepdim=True)) / grouped.std(1, keepdim=True)  # <- here
    advantage = advantage.reshape(-1)
    ratio = torch.exp((new - old).clamp(-10, 10))
    return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def traffic_percentage(predicted, speed):
    observed = (speed != 0).float()
    observed = observed / observed.mean()
    loss = torch.abs((predicted - speed) / speed) * observed  # <- here
    return torch.where(torch.isnan(loss), torch.zeros_like(loss), loss).mean()


def soft_ndcg(scores, grades):
    gain = 2.0**grades - 1
    wins = torch.sigmoid(scores[:, None, :] - scores[:, :, None]).sum(-1) + 0.5
    dcg = (gain / torch.log2(1 + wins)).sum(1)
    place = torch.arange(1, grades.shape[1] + 1)
    ideal = (gain.sort(1, descending=True).values / torch.log2(1.0 + place)).sum(1)
    return (1 - dcg / ideal).mean()  # <- here


def talking_to_silence(estimate, source):
    gain = (estimate * source).sum(-1, keepdim=True) / (source**2).sum(-1, keepdim=True)  # <- here
    kept, noise = gain * source, estimate - gain * source
    return -10 * torch.log10((kept**2).sum(-1) / ((noise**2).sum(-1) + 1e-8) + 1e-8).mean()


def correlated_tracks(predicted, truth):
    p = predicted - predicted.mean(1, keepdim=True)
    t = truth - truth.mean(1, keepdim=True)
    return 1 - ((p * t).sum(1) / (p.norm(dim=1) * t.norm(dim=1))).mean()  # <- here


def redundancy_between_views(one, other):
    a = (one - one.mean(0)) / one.std(0)  # <- here
    b = (other - other.mean(0)) / other.std(0)  # <- here
    c = a.T @ b / len(one)
    diagonal = torch.eye(c.shape[0])
    return ((c - diagonal) ** 2 * (diagonal + 0.005 * (1 - diagonal))).sum()


# ---- exp, log and their ends -------------------------------------------------------------------------------------


def surrogate_without_a_bound(new, old, advantage):
    ratio = torch.exp(new - old)  # <- here
    clipped = ratio.clamp(0.8, 1.2)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean()


def odds_of_two_answers(chosen, rejected):
    better = F.log_softmax(chosen, -1)[..., 0].mean(1)
    worse = F.log_softmax(rejected, -1)[..., 0].mean(1)
    log_odds = (better - worse) - (torch.log1p(-torch.exp(better)) - torch.log1p(-torch.exp(worse)))  # <- here
    return -(better + 0.1 * F.logsigmoid(log_odds)).mean()


def preferred_answer(chosen, rejected, chosen_reference, rejected_reference):
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -torch.log(torch.sigmoid(0.5 * margin)).mean()  # <- here


def tags_through_a_probability(emission, transition, tags):
    alpha, gold = emission[:, 0], emission[:, 0].gather(1, tags[:, :1])[:, 0]
    for t in range(1, emission.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + transition, 1) + emission[:, t]
        step = emission[:, t].gather(1, tags[:, t : t + 1])[:, 0]
        gold = gold + step + transition[tags[:, t - 1], tags[:, t]]
    probability = torch.exp(gold - torch.logsumexp(alpha, 1))
    return -torch.log(probability).mean()  # <- here


def chunks_by_plain_sums(emission, transition, tags):
    alpha, gold = emission[:, 0], emission[:, 0].gather(1, tags[:, :1])[:, 0]
    for t in range(1, emission.shape[1]):
        alpha = torch.log(torch.exp(alpha[:, :, None] + transition).sum(1)) + emission[:, t]  # <- here
        step = emission[:, t].gather(1, tags[:, t : t + 1])[:, 0]
        gold = gold + step + transition[tags[:, t - 1], tags[:, t]]
    return (torch.logsumexp(alpha, 1) - gold).mean()


def transport_by_scaling(source, sink):
    cost = ((source[:, None] - sink[None]) ** 2).sum(-1)
    kernel = torch.exp(-cost / 0.1)
    u = v = torch.full((len(source),), 1.0 / len(source))
    for _ in range(3):
        u = 0.125 / (kernel @ v)  # <- here
        v = 0.125 / (kernel.T @ u)  # <- here
    return (u[:, None] * kernel * v * cost).sum()


def swapped_assignments(scores, other):
    with torch.no_grad():
        q = torch.exp(other / 0.05)  # <- here
        q = q / q.sum()  # <- here
        for _ in range(2):
            q = q / q.sum(0, keepdim=True) / q.shape[1]
            q = q / q.sum(1, keepdim=True) / q.shape[0]
        q = q * q.shape[0]
    return -(q * F.log_softmax(scores / 0.1, 1)).sum(1).mean()


def list_by_plain_sums(scores, order):
    ranked = scores.gather(1, order)
    rest = torch.exp(ranked).flip(1).cumsum(1).flip(1)  # <- here
    return (torch.log(rest) - ranked).sum(1).mean()  # <- here


def weeks_until_event(shape, size, weeks, seen):
    alpha, beta = F.softplus(size) + 1e-3, F.softplus(shape)
    before = ((weeks + 1e-6) / alpha) ** beta
    after = ((weeks + 1) / alpha) ** beta
    return -(seen * torch.log(torch.exp(after - before) - 1.0) - after).mean()  # <- here


def evidence_of_a_number(raw, y):
    mean = raw[:, 0]
    v, a, b = F.softplus(raw[:, 1]), F.softplus(raw[:, 2]) + 1, F.softplus(raw[:, 3])
    two = 2 * b * (1 + v)
    log_scale = 0.5 * torch.log(math.pi / v) - a * torch.log(two)  # <- here
    rest = (a + 0.5) * torch.log(v * (y - mean) ** 2 + two)  # <- here
    return (log_scale + rest + torch.lgamma(a) - torch.lgamma(a + 0.5)).mean()


def rate_behind_a_gate(raw, y):
    rate = torch.relu(raw)
    return (rate - y * torch.log(rate)).mean()  # <- here


def log_error_of_a_raw_output(predicted, y):
    return F.mse_loss(torch.log(predicted + 1), torch.log(y + 1))  # <- here


# ---- powers ------------------------------------------------------------------------------------------------------


def focus_below_one(logits, y):
    p = torch.sigmoid(logits)
    hit = torch.pow(1 - p, 0.5) * y * torch.log(p + 1e-8)  # <- here
    miss = torch.pow(p, 0.5) * (1 - y) * torch.log(1 - p + 1e-8)
    return -(0.25 * hit + 0.75 * miss).mean()


def structure_at_many_scales(image, truth):
    total = 1.0
    for weight in (0.3, 0.7):
        mx, my = F.avg_pool2d(image, 3), F.avg_pool2d(truth, 3)
        cov = F.avg_pool2d(image * truth, 3) - mx * my
        power = F.avg_pool2d(image**2, 3) - mx**2 + F.avg_pool2d(truth**2, 3) - my**2
        contrast = ((2 * cov + 9e-4) / (power + 9e-4)).mean((1, 2, 3))
        total = total * contrast**weight  # <- here
        image, truth = F.avg_pool2d(image, 2), F.avg_pool2d(truth, 2)
    return (1 - total).mean()


def perceived_band_gains(output, gain):
    predicted = torch.sigmoid(output)
    gap = predicted**0.5 - gain**0.5  # <- here
    return (gap**2 + 10 * gap**4).mean()


def diffusivity_of_a_field(field, flux):
    diffusion = 1.1 * field**1.2  # <- here
    return ((diffusion[1:] - diffusion[:-1] - flux) ** 2).mean()


# ---- boxes -------------------------------------------------------------------------------------------------------


def aspect_of_padding_boxes(predicted, truth):
    shape = predicted[:, 2:].exp()
    angle = torch.atan(truth[:, 2] / truth[:, 3]) - torch.atan(shape[:, 0] / shape[:, 1])  # <- here
    centre = ((predicted[:, :2] - truth[:, :2]) ** 2).sum(1)
    return (centre + 4 / math.pi**2 * angle**2).mean()


# ---- small numbers in float16 ------------------------------------------------------------------------------------


def survival_in_half(logits, group):
    p = torch.sigmoid(logits.half()).clamp(max=1.0 - 1e-6)
    survival = torch.log1p(-p)  # <- here
    together = torch.exp(survival.float().view(-1, 2).sum(1))
    return F.mse_loss(1 - together, group)


def unit_rows_in_half(embedding, goal):
    row = F.normalize(embedding.half(), dim=-1)  # <- here
    return (1 - (row.float() * goal).sum(-1)).mean()


# ---- what a library refuses --------------------------------------------------------------------------------------


def letters_in_too_few_frames(logits, letters, frames):
    log_p = F.log_softmax(logits, -1)
    lengths = torch.full((letters.shape[0],), letters.shape[1], dtype=torch.long)
    return F.ctc_loss(log_p, letters, frames, lengths)  # <- here


def kernel_with_learnt_noise(inputs, log_noise, y):
    gap = ((inputs[:, None] - inputs[None]) ** 2).sum(-1)
    kernel = torch.exp(-0.5 * gap) + log_noise.exp() * torch.eye(len(y))
    factor = torch.linalg.cholesky(kernel)  # <- here
    white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
    return 0.5 * (white**2).sum() + factor.diagonal().log().sum()


# ---- formulas ----------------------------------------------------------------------------------------------------


def mixture_summed_too_early(logits, mean, log_scale, y):
    z = (y[:, None] - mean) * torch.exp(-log_scale)
    log_p = -z - log_scale - 2 * F.softplus(-z)
    log_p = log_p.sum(-1, keepdim=True) + F.log_softmax(logits, -1)  # <- here
    return -torch.logsumexp(log_p, -1).mean()


def parts_without_log_softmax(logits, y):
    return F.nll_loss(logits, y)  # <- here


def likelihood_not_negated(mean, raw, y):
    sigma = F.softplus(raw) + 1e-3
    z = (y - mean) / sigma
    return (-0.5 * z**2 - torch.log(sigma)).mean()  # <- here


def spread_not_squared(mean, log_std, noise, weight, y):
    z = mean + noise * torch.exp(log_std)
    edges = F.binary_cross_entropy_with_logits(z @ weight, y)
    prior = 0.5 * (1 + 2 * log_std - mean**2 - torch.exp(log_std)).sum(1).mean()  # <- here
    return edges - prior


def confidence_from_a_signed_overlap(confidence, overlap, penalty):
    truth = (overlap - penalty).detach()
    return F.binary_cross_entropy_with_logits(confidence, truth)  # <- here


def counts_of_a_tight_gene(log_mean, log_theta, y):
    mean, theta = log_mean.exp(), log_theta.exp()
    log_both = torch.log(theta + mean)
    return -(
        theta * (log_theta - log_both)  # <- here
        + y * (log_mean - log_both)
        + torch.lgamma(y + theta)  # <- here
        - torch.lgamma(theta)  # <- here
        - torch.lgamma(y + 1)
    ).mean()


def spline_outside_its_box(x, slope):
    left, right = F.softplus(slope[:, 0]) + 0.1, F.softplus(slope[:, 1]) + 0.1
    inside, y = (x >= -3) & (x <= 3), (x + 3) / 6
    bend = left + right - 2
    a, b = 1 - left + y * bend, left - y * bend
    xi = 2 * y / (b + torch.sqrt(b**2 + 4 * a * y))  # <- here
    log_slope = torch.log(right * xi**2 + 2 * xi * (1 - xi) + left * (1 - xi) ** 2)
    log_slope = log_slope - 2 * torch.log(1 + bend * xi * (1 - xi))
    z = torch.where(inside, 6 * xi - 3, x)
    return (0.5 * z**2 + torch.where(inside, log_slope, torch.zeros_like(x))).mean()


IMAGES = given("truth", image=textures(0.3), truth=textures(0.0))
TAGS = given(
    "tags", emission=normal(8, 4, 3), transition=normal(3, 3), tags=lambda g: torch.randint(3, (8, 4), generator=g)
)
ORDER = lambda g: torch.rand(8, 5, generator=g).argsort(1)  # noqa: E731
SPEED = given("speed", predicted=normal(8, 6, shift=3.0), speed=positive(8, 6, around=3.0))

CASES = (
    bug(
        additive_angular_margin,
        given("y", embedding=normal(8, 4), weight=normal(3, 4), y=classes(8, 3)),
        "sqrt",
        "github.com/ronghuaiyang/arcface-pytorch issue 91: sqrt of 1 - cosine^2 reaches 0",
        aligned,
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        angle_between_rotations,
        given("truth", predicted=rotations(8), truth=rotations(8)),
        "acos",
        "github.com/papagina/RotationContinuity issue 11: acos clamped to exactly 1",
        same("predicted", "truth"),
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        log_of_a_unit_quaternion,
        given("goal", quaternion=lambda g: F.normalize(torch.randn(8, 4, generator=g)), goal=normal(8, 3)),
        "acos",
        "github.com/kornia/kornia issue 4007: logarithm of the identity quaternion",
        lambda s: s["quaternion"][0].copy_(torch.tensor([1.0, 0, 0, 0])),
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        turned_by_axis_angle,
        given("goal", axis_angle=normal(8, 3), goal=normal(8, 4)),
        "sqrt div",
        "github.com/kornia/kornia issue 3949: sqrt(0) behind a where",
        fill(axis_angle=0.0),
        phase="backward",
    ),
    bug(
        scalar_part_of_a_rotation,
        given("goal", matrix=rotations(8), goal=normal(8, 2)),
        "sqrt",
        "github.com/kornia/kornia issue 1653: trace + 1 is 0 or just below",
        lambda s: s["matrix"].copy_(torch.diag(torch.tensor([1.0, -1.0, -1.0]))),
        verdict="limit defect",
    ),
    bug(
        hyperbolic_neighbours,
        given(points=normal(8, 3), near=normal(8, 3), far=normal(8, 3)),
        "sqrt",
        "github.com/geomstats/geomstats pull 273: arcosh by log and sqrt at distance 0",
        same("near", "points"),
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        grey_world,
        given(image=unit(4, 3, 4, 4)),
        "pow sqrt",
        "github.com/Li-Chongyi/Zero-DCE_extension issue 2: root of a sum that a grey image makes 0",
        fill(image=0.5),
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        gaussian_box_distance,
        given("truth", predicted=normal(8, 4, scale=0.3), truth=boxes(8)),
        "sqrt",
        "github.com/open-mmlab/mmrotate issue 205: the clamp ends at 0, where the root has no slope",
        lambda s: (
            s["predicted"].copy_(torch.zeros(8, 4)),
            s["truth"].copy_(torch.tensor([0.0, 0, 1, 1]).expand(8, 4)),
        ),
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        masked_video_error,
        given("truth mask", predicted=normal(4, 3, 5), truth=normal(4, 3, 5), mask=bits(4, 3, 5)),
        "div",
        "github.com/Zhen-Dong/Magic-Me issue 14: a clip without a face",
        fill(mask=0.0),
        verdict="defect limit",
    ),
    bug(
        contrast_of_a_lonely_class,
        given("labels", features=normal(8, 4), labels=fixed([0, 0, 1, 1, 2, 2, 1, 0])),
        "div",
        "github.com/HobbitLong/SupContrast issue 141: no positive pair for an anchor",
        lambda s: s["labels"].copy_(torch.arange(8)),
        verdict="defect limit",
    ),
    bug(
        contrast_without_normalising,
        given("labels", features=normal(8, 4), labels=fixed([0, 0, 1, 1, 2, 2, 1, 0])),
        "log",
        "github.com/HobbitLong/SupContrast issue 50: features that are not normalised",
        scale(features=30.0),
    ),
    bug(
        edges_only,
        given("truth edges", logits=normal(4, 6), truth=bits(4, 6), edges=bits(4, 6)),
        "mean",
        "github.com/Deci-AI/super-gradients issue 912: an image without edges",
        fill(edges=0.0),
        verdict="defect limit",
    ),
    bug(
        group_relative_advantage,
        given("reward", new=normal(16), old=normal(16), reward=fixed([0.0, 1, 1, 0] * 4)),
        "div",
        "github.com/bojieli/ai-agent-book pull 498: all answers of a group get the same reward",
        fill(reward=1.0),
        verdict="defect limit",
    ),
    bug(
        traffic_percentage,
        SPEED,
        "div mul",
        "github.com/VincLee8188/GMAN-PyTorch issue 7 and its kin: a masked percentage error at a speed of 0",
        put(speed=0.0),
        phase="backward",
        verdict="defect limit",
    ),
    bug(
        soft_ndcg,
        given("grades", scores=normal(8, 5), grades=graded(8, 5)),
        "div",
        "github.com/tensorflow/ranking issue 207, github.com/allegro/allRank: a query without a relevant document",
        fill(grades=0.0),
        verdict="defect limit",
    ),
    bug(
        talking_to_silence,
        given("source", estimate=normal(4, 16), source=normal(4, 16)),
        "div",
        "github.com/csteinmetz1/auraloss issue 25: the target is silent",
        fill(source=0.0),
        verdict="defect limit",
    ),
    bug(
        correlated_tracks,
        given("truth", predicted=normal(6, 8), truth=normal(6, 8)),
        "div",
        "github.com/NVIDIA-Genomics-Research/AtacWorks pull 104: a constant prediction",
        fill(predicted=1.0),
        verdict="defect limit",
    ),
    bug(
        redundancy_between_views,
        given(one=normal(16, 4), other=normal(16, 4)),
        "div std",
        "github.com/IgorSusmelj/barlowtwins issue 10: a feature that is constant over the batch",
        lambda s: s["one"][:, 0].fill_(0.0),
        verdict="defect limit",
    ),
    bug(
        surrogate_without_a_bound,
        given("advantage", new=normal(16, shift=-2.0), old=normal(16, shift=-2.0), advantage=normal(16)),
        "exp",
        "github.com/radixark/miles pull 1363: a log ratio above 88",
        put(new=90.0),
        verdict="defect limit",
    ),
    bug(
        odds_of_two_answers,
        given(chosen=normal(8, 3, 5), rejected=normal(8, 3, 5)),
        "log1p",
        "github.com/axolotl-ai-cloud/axolotl pull 3910: log(1 - p) of an answer that is certain",
        lambda s: s["chosen"][..., 0].fill_(60.0),
    ),
    bug(
        preferred_answer,
        given(
            "chosen_reference rejected_reference",
            chosen=normal(8, scale=10.0, shift=-60.0),
            rejected=normal(8, scale=10.0, shift=-60.0),
            chosen_reference=normal(8, scale=10.0, shift=-60.0),
            rejected_reference=normal(8, scale=10.0, shift=-60.0),
        ),
        "log",
        "github.com/thinking-machines-lab/tinker-cookbook pull 188: log of sigmoid",
        put(chosen=-400.0),
    ),
    bug(
        tags_through_a_probability,
        TAGS,
        "log",
        "github.com/allanj/pytorch_neural_crf issue 4: log of exp of a score",
        lambda s: s["emission"].mul_(60.0),
    ),
    bug(
        chunks_by_plain_sums,
        TAGS,
        "exp log",
        "github.com/candle-org/MindAct issue 171: the partition function without log-sum-exp",
        lambda s: s["emission"].mul_(60.0),
    ),
    bug(
        transport_by_scaling,
        given(source=normal(8, 2, scale=0.3), sink=normal(8, 2, scale=0.3)),
        "div",
        "github.com/PythonOT/POT issue 54: a kernel that underflows",
        lambda s: s["source"].add_(6.0),
    ),
    bug(
        swapped_assignments,
        given(scores=normal(8, 4, scale=0.5), other=normal(8, 4, scale=0.5)),
        "exp div",
        "github.com/facebookresearch/swav issue 67: scores that are not normalised",
        put(other=5.0),
    ),
    bug(
        list_by_plain_sums,
        given("order", scores=normal(8, 5), order=ORDER),
        "exp log",
        "github.com/zycdev/L2R2 issue 1, huggingface/sentence-transformers pull 3827: ListMLE by exp and cumsum",
        scale(scores=100.0),
    ),
    bug(
        weeks_until_event,
        given(
            "weeks seen",
            shape=normal(8),
            size=normal(8, shift=2.0),
            weeks=lambda g: torch.randint(1, 9, (8,), generator=g).float(),
            seen=bits(8),
        ),
        "log",
        "github.com/ragulpr/wtte-rnn issue 39: the two hazards become equal",
        lambda s: (s["shape"].fill_(-20.0), s["seen"].fill_(1.0)),
    ),
    bug(
        evidence_of_a_number,
        given("y", raw=normal(8, 4), y=normal(8)),
        "log div softplus",
        "github.com/aamini/evidential-deep-learning issue 5: the loss goes to NaN",
        fill(raw=-110.0),
    ),
    bug(
        rate_behind_a_gate,
        given("y", raw=positive(8), y=counts(8)),
        "log",
        "github.com/deepchem/deepchem pull 5125: log of a rate that is exactly 0",
        put(raw=-1.0),
        verdict="limit defect",
    ),
    bug(
        log_error_of_a_raw_output,
        modelled(Head, normal(8, 3), positive(8, 1)),
        "log",
        "github.com/timeseriesAI/tsai issue 150: squared log error of a negative prediction",
        put({"bias": -9.0}),
        verdict="limit defect",
    ),
    bug(
        focus_below_one,
        given("y", logits=normal(16), y=bits(16)),
        "pow",
        "github.com/kornia/kornia issue 918: focal loss with gamma 0.5",
        lambda s: (s["logits"].fill_(40.0), s["y"].fill_(1.0)),
        phase="backward",
    ),
    bug(
        structure_at_many_scales,
        IMAGES,
        "pow",
        "github.com/jorge-pessoa/pytorch-msssim issue 2: a negative base to a fractional power",
        lambda s: s["image"].copy_(1 - s["truth"]),
        verdict="limit defect",
    ),
    bug(
        perceived_band_gains,
        given("gain", output=normal(8, 4), gain=unit(8, 4)),
        "pow sqrt",
        "github.com/jzi040941/PercepNet issue 37: root of a predicted gain of 0",
        put(output=-110.0),
        phase="backward",
    ),
    bug(
        diffusivity_of_a_field,
        modelled(Head, normal(8, 3), normal(7, 1)),
        "pow",
        "github.com/prateekbhustali/Physics-Informed-Neural-Networks issue 1: a negative field to the power 1.2",
        put({"bias": -9.0}),
        verdict="limit defect",
    ),
    bug(
        aspect_of_padding_boxes,
        given("truth", predicted=normal(8, 4, scale=0.3), truth=boxes(8)),
        "div",
        "github.com/pythonlessons/TensorFlow-2.x-YOLOv3 issue 144: rows of zeros among the true boxes",
        fill(truth=0.0),
        verdict="defect limit",
    ),
    bug(
        survival_in_half,
        given("group", logits=normal(8), group=unit(4)),
        "log1p",
        "github.com/fastino-ai/GLiNER2 pull 155: 1 - 1e-6 is 1 in float16",
        put(logits=12.0),
    ),
    bug(
        unit_rows_in_half,
        given("goal", embedding=normal(6, 4), goal=lambda g: F.normalize(torch.randn(6, 4, generator=g))),
        "div",
        "github.com/pytorch/pytorch pull 33596: the eps of normalize is 0 in float16",
        fill(embedding=0.0),
        verdict="defect limit",
    ),
    bug(
        letters_in_too_few_frames,
        given(
            "letters frames",
            logits=normal(8, 4, 5),
            letters=lambda g: torch.randint(1, 5, (4, 3), generator=g),
            frames=fixed([8, 7, 8, 6]),
        ),
        "ctc_loss",
        "github.com/wenet-e2e/wenet pull 2299: fewer frames than letters",
        lambda s: s["frames"].fill_(2),
        verdict="limit defect",
    ),
    bug(
        kernel_with_learnt_noise,
        given("y", inputs=normal(8, 2), log_noise=fixed([-2.0]), y=normal(8)),
        "cholesky",
        "github.com/meta-pytorch/botorch issue 337: inputs that coincide under little noise",
        lambda s: (s["inputs"].fill_(0.3), s["log_noise"].fill_(-20.0)),
        kind="nan inf raises",
        verdict="defect limit",
    ),
    bug(
        mixture_summed_too_early,
        given("y", logits=normal(8, 3), mean=normal(8, 3), log_scale=normal(8, 3, scale=0.3), y=normal(8)),
        "sum add logsumexp",
        "github.com/r9y9/wavenet_vocoder issue 34: components are summed before they are mixed",
        kind="wrong-density unbounded negative-nll",
        verdict="wrong-formula",
    ),
    bug(
        parts_without_log_softmax,
        given("y", logits=normal(8, 4), y=classes(8, 4)),
        "nll_loss",
        "github.com/yanx27/Pointnet_Pointnet2_pytorch issue 30: nll_loss of what is no log probability",
        kind="wrong-density unbounded negative-nll",
        verdict="wrong-formula",
    ),
    bug(
        likelihood_not_negated,
        given("y", mean=normal(8), raw=normal(8), y=normal(8)),
        "mul sub log mean neg pow",
        "github.com/crhea93/LUCI pull 87: the likelihood without its minus",
        kind="wrong-density unbounded negative-nll",
        verdict="wrong-formula",
    ),
    bug(
        spread_not_squared,
        given(
            "y",
            mean=normal(8, 3),
            log_std=normal(8, 3, scale=0.5),
            noise=normal(8, 3),
            weight=normal(3, 4),
            y=bits(8, 4),
        ),
        "exp sub add mul sum mean",
        "github.com/DaehanKim/vgae_pytorch issue 2: sigma where the divergence has sigma squared",
        kind="wrong-density unbounded",
        verdict="wrong-formula",
    ),
    bug(
        confidence_from_a_signed_overlap,
        given(confidence=normal(8), overlap=unit(8), penalty=unit(8)),
        "mul sub mean",
        "github.com/ultralytics/yolov3 issue 901: a cross-entropy whose target may be negative",
        lambda s: (s["overlap"].fill_(0.0), s["confidence"].fill_(-50.0)),
        kind="wrong-density unbounded negative-nll",
        verdict="wrong-formula",
    ),
    bug(
        counts_of_a_tight_gene,
        given("y", log_mean=normal(8, shift=1.0), log_theta=normal(8, scale=3.0, shift=3.0), y=counts(8)),
        "lgamma sub mul add",
        "github.com/scverse/scvi-tools issue 2965: lgamma of a large inverse dispersion",
        fill(log_theta=14.0),
        kind="precision",
        verdict="silent defect",
    ),
    bug(
        spline_outside_its_box,
        given("x", x=normal(16, scale=0.8), slope=normal(16, 2)),
        "sqrt",
        "github.com/bayesflow-org/bayesflow issue 721: a spline's tail is chosen after its inside was evaluated",
        lambda s: (s["x"].fill_(9.0), s["slope"].fill_(-3.0)),
        phase="backward",
    ),
)
