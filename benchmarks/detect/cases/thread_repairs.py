"""Losses as they stand after somebody mended them, and sound ones of the same fields that look as if they needed it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bits,
    classes,
    counts,
    fill,
    fixed,
    given,
    normal,
    positive,
    put,
    same,
    scale,
    sound,
    unit,
)
from benchmarks.detect.cases.thread_defects import IMAGES, ORDER, SPEED, TAGS, aligned, boxes, graded, rotations

# ---- angles and norms --------------------------------------------------------------------------------------------


def additive_angular_margin_floored(embedding, weight, y):
    cosine = F.normalize(embedding) @ F.normalize(weight).T
    sine = torch.sqrt((1.0 - cosine**2).clamp(1e-6, 1))
    turned = cosine * math.cos(0.5) - sine * math.sin(0.5)
    return F.cross_entropy(30 * torch.where(F.one_hot(y, 3).bool(), turned, cosine), y)


def angle_by_two_sides(predicted, truth):
    product = predicted @ truth.transpose(1, 2)
    twist = product - product.transpose(1, 2)
    sine = torch.stack([twist[:, 2, 1], twist[:, 0, 2], twist[:, 1, 0]], 1).norm(dim=1)
    return torch.atan2(sine, product.diagonal(dim1=1, dim2=2).sum(-1) - 1).mean()


def log_of_a_quaternion_by_two_sides(quaternion, goal):
    w, v = quaternion[:, :1], quaternion[:, 1:]
    square = (v**2).sum(1, keepdim=True)
    small = square < 1e-8
    length = torch.sqrt(torch.where(small, torch.ones_like(square), square))
    w_safe = torch.where(small, torch.ones_like(w), w)
    factor = torch.where(small, torch.ones_like(length), torch.atan2(length, w_safe) / length)
    return F.mse_loss(factor * v, goal)


def turned_by_axis_angle_twice_chosen(axis_angle, goal):
    square = (axis_angle**2).sum(1, keepdim=True)
    turned = square > 1e-12
    theta = torch.sqrt(torch.where(turned, square, torch.ones_like(square)))
    ratio = torch.where(turned, torch.sin(theta / 2) / theta, 0.5 - square / 48)
    real = torch.where(turned, torch.cos(theta / 2), 1 - square / 8)
    return F.mse_loss(torch.cat([real, ratio * axis_angle], 1), goal)


def hyperbolic_neighbours_floored(points, near, far):
    def distance(a, b):
        gap = ((a - b) ** 2).sum(-1)
        delta = 2 * gap / ((1 - (a**2).sum(-1)) * (1 - (b**2).sum(-1)))
        return torch.log1p(delta + torch.sqrt((delta * (delta + 2)).clamp(min=1e-6)))

    a, b, c = (0.9 * torch.tanh(t.norm(dim=-1, keepdim=True)) * F.normalize(t, dim=-1) for t in (points, near, far))
    return F.relu(distance(a, b) - distance(a, c) + 1.0).mean()


def grey_world_floored(image):
    red, green, blue = image.mean((2, 3)).unbind(1)
    spread = (red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4
    return torch.pow(spread + 1e-5, 0.5).mean()


def gaussian_box_distance_floored(predicted, truth):
    size, goal = F.softplus(predicted[:, 2:]), truth[:, 2:]
    centre = ((predicted[:, :2] - truth[:, :2]) ** 2).sum(-1)
    shape = ((size - goal) ** 2).sum(-1) / 4
    return (1 - 1 / (1 + torch.sqrt((centre + shape).clamp(1e-7)))).mean()


def farthest_of_the_nearest(cloud, surface):
    gap = torch.cdist(cloud, surface)
    return gap.min(1).values.max() + gap.min(0).values.mean()


# ---- masks, selections, empty groups -----------------------------------------------------------------------------


def masked_video_error_floored(predicted, truth, mask):
    error = (predicted - truth) ** 2 * mask
    return (error.sum((1, 2)) / (mask.sum((1, 2)) + 1e-6)).mean()


def contrast_of_anchors_with_company(features, labels):
    z = F.normalize(features, dim=1)
    alone = torch.eye(len(z), dtype=torch.bool)
    log_p = F.log_softmax((z @ z.T / 0.1).masked_fill(alone, float("-inf")), 1).masked_fill(alone, 0.0)
    positives = ((labels[:, None] == labels[None, :]) & ~alone).float()
    count = positives.sum(1)
    each = -(positives * log_p).sum(1) / torch.where(count < 1, torch.ones_like(count), count)
    return each.sum() / (count > 0).sum().clamp(min=1)


def edges_by_weight(logits, truth, edges):
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return loss.mean() + (loss * edges).sum() / edges.sum().clamp(min=1.0)


def group_relative_advantage_floored(new, old, reward):
    grouped = reward.view(-1, 4)
    advantage = ((grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)).reshape(-1)
    ratio = torch.exp((new - old).clamp(-10, 10))
    return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def traffic_percentage_of_what_moves(predicted, speed):
    observed = speed.abs() > 1e-3
    relative = torch.abs(predicted - speed) / torch.where(observed, speed.abs(), torch.ones_like(speed))
    return (relative * observed).sum() / observed.sum().clamp(min=1)


def soft_ndcg_floored(scores, grades):
    gain = 2.0**grades - 1
    wins = torch.sigmoid(scores[:, None, :] - scores[:, :, None]).sum(-1) + 0.5
    dcg = (gain / torch.log2(1 + wins)).sum(1)
    ideal = (gain.sort(1, descending=True).values / torch.log2(torch.arange(2.0, grades.shape[1] + 2))).sum(1)
    return (1 - dcg / ideal.clamp(min=1e-10)).mean()


def talking_to_silence_floored(estimate, source):
    gain = (estimate * source).sum(-1, keepdim=True) / ((source**2).sum(-1, keepdim=True) + 1e-6)
    kept, noise = gain * source, estimate - gain * source
    return -10 * torch.log10(((kept**2).sum(-1) + 1e-6) / ((noise**2).sum(-1) + 1e-6)).mean()


def correlated_tracks_floored(predicted, truth):
    p = predicted - predicted.mean(1, keepdim=True)
    t = truth - truth.mean(1, keepdim=True)
    return 1 - ((p * t).sum(1) / torch.sqrt((p**2).sum(1) * (t**2).sum(1) + 1e-4)).mean()


def redundancy_of_normed_views(one, other):
    a, b = F.batch_norm(one, None, None, training=True), F.batch_norm(other, None, None, training=True)
    c = a.T @ b / len(one)
    diagonal = torch.eye(c.shape[0])
    return ((c - diagonal) ** 2 * (diagonal + 0.005 * (1 - diagonal))).sum()


def readings_with_gaps(predicted, reading):
    seen = ~torch.isnan(reading)
    gap = predicted - torch.nan_to_num(reading)
    return (gap**2 * seen).sum() / seen.sum().clamp(min=1)


def tokens_that_count(logits, y):
    loss = F.cross_entropy(logits, y, ignore_index=-100, label_smoothing=0.1, reduction="sum")
    return loss / (y != -100).sum().clamp(min=1)


# ---- exp, log and their ends -------------------------------------------------------------------------------------


def surrogate_with_a_bound(new, old, advantage):
    ratio = torch.exp((new - old).clamp(-20, 20))
    return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def odds_of_two_answers_bounded(chosen, rejected):
    better = F.log_softmax(chosen, -1)[..., 0].mean(1)
    worse = F.log_softmax(rejected, -1)[..., 0].mean(1)
    sure, unsure = better.clamp(max=-1e-4), worse.clamp(max=-1e-4)
    log_odds = (sure - unsure) - (torch.log(-torch.expm1(sure)) - torch.log(-torch.expm1(unsure)))
    return -(better + 0.1 * F.logsigmoid(log_odds)).mean()


def preferred_answer_by_logsigmoid(chosen, rejected, chosen_reference, rejected_reference):
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)
    loss = -F.logsigmoid(0.5 * margin).mean()
    return {"loss": loss, "margin": margin.mean().detach()}


def tags_in_log_space(emission, transition, tags):
    alpha, gold = emission[:, 0], emission[:, 0].gather(1, tags[:, :1])[:, 0]
    for t in range(1, emission.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + transition, 1) + emission[:, t]
        step = emission[:, t].gather(1, tags[:, t : t + 1])[:, 0]
        gold = gold + step + transition[tags[:, t - 1], tags[:, t]]
    return (torch.logsumexp(alpha, 1) - gold).mean()


def states_that_never_go_back(emission, stay):
    none = torch.full((), float("-inf"))
    moves = torch.stack(
        [
            torch.stack([F.logsigmoid(stay[0]), F.logsigmoid(-stay[0]), none]),
            torch.stack([none, F.logsigmoid(stay[1]), F.logsigmoid(-stay[1])]),
            torch.stack([none, none, torch.zeros(())]),
        ]
    )
    log_p = F.log_softmax(emission, -1)
    alpha = log_p[:, 0]
    for t in range(1, emission.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + moves, 1) + log_p[:, t]
    return -torch.logsumexp(alpha, 1).mean()


def transport_in_log_space(source, sink):
    cost = ((source[:, None] - sink[None]) ** 2).sum(-1)
    kernel = -cost / 0.1
    f = g = torch.zeros(len(source))
    for _ in range(3):
        f = -math.log(8) - torch.logsumexp(kernel + g, 1)
        g = -math.log(8) - torch.logsumexp(kernel + f[:, None], 0)
    return (torch.exp(f[:, None] + kernel + g) * cost).sum()


def swapped_assignments_of_unit_rows(scores, other):
    with torch.no_grad():
        q = torch.exp(F.normalize(other) / 0.05)
        q = q / q.sum()
        for _ in range(2):
            q = q / q.sum(0, keepdim=True) / q.shape[1]
            q = q / q.sum(1, keepdim=True) / q.shape[0]
        q = q * q.shape[0]
    return -(q * F.log_softmax(F.normalize(scores) / 0.1, 1)).sum(1).mean()


def list_by_logcumsumexp(scores, order):
    ranked = scores.gather(1, order)
    return (ranked.flip(1).logcumsumexp(1).flip(1) - ranked).sum(1).mean()


def risk_of_those_still_there(risk, time, event):
    order = time.argsort(descending=True)
    log_risk = risk[order]
    gap = (torch.logcumsumexp(log_risk, 0) - log_risk) * event[order]
    return gap.sum() / event.sum().clamp(min=1)


def weeks_until_event_by_expm1(shape, size, weeks, seen):
    alpha, beta = F.softplus(size) + 1e-1, 0.1 + 2 * torch.sigmoid(shape)
    before = ((weeks + 1e-6) / alpha) ** beta
    width = (((weeks + 1) / alpha) ** beta - before).clamp(min=1e-6)
    return -(seen * (width + torch.log(-torch.expm1(-width))) - before - width).mean()


def evidence_of_a_number_floored(raw, y):
    mean, rest = raw[:, 0], F.softplus(raw[:, 1:]) + 1e-3
    v, a, b = rest[:, 0], rest[:, 1] + 1, rest[:, 2]
    two = 2 * b * (1 + v)
    likely = 0.5 * torch.log(math.pi / v) - a * torch.log(two) + (a + 0.5) * torch.log(v * (y - mean) ** 2 + two)
    return (likely + torch.lgamma(a) - torch.lgamma(a + 0.5)).mean()


def rate_with_a_floor(raw, y):
    return F.poisson_nll_loss(F.softplus(raw), y, log_input=False, eps=1e-6)


def log_error_behind_a_gate(predicted, y):
    return F.mse_loss(torch.log1p(torch.relu(predicted)), torch.log1p(y))


def mean_and_power_deviance(raw, y):
    mean = torch.exp(raw.clamp(-10, 10))
    return (mean**0.5 / 0.5 + y * mean**-0.5 / 0.5).mean()


class ThriftyLogSigmoid(torch.autograd.Function):
    """Keeps the sigmoid only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(torch.sigmoid(-x))
        return F.logsigmoid(x)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


def pairs_by_an_own_function(better, worse):
    return -ThriftyLogSigmoid.apply(better - worse).mean()


# ---- powers ------------------------------------------------------------------------------------------------------


def focus_below_one_floored(logits, y):
    p = torch.sigmoid(logits)
    hit = (1 - p).clamp(min=1e-4) ** 0.5 * y * F.logsigmoid(logits)
    miss = p.clamp(min=1e-4) ** 0.5 * (1 - y) * F.logsigmoid(-logits)
    return -(0.25 * hit + 0.75 * miss).mean()


def structure_cut_above_zero(image, truth):
    mx, my = F.avg_pool2d(image, 3), F.avg_pool2d(truth, 3)
    cov = F.avg_pool2d(image * truth, 3) - mx * my
    power = F.avg_pool2d(image**2, 3) - mx**2 + F.avg_pool2d(truth**2, 3) - my**2
    contrast = ((2 * cov + 9e-3) / (power + 9e-3)).mean((1, 2, 3))
    return (1 - contrast.clamp(min=1e-3) ** 0.3).mean()


def perceived_band_gains_floored(output, gain):
    predicted = torch.sigmoid(output).clamp(min=1e-4)
    gap = predicted**0.5 - gain**0.5
    return (gap**2 + 10 * gap**4).mean()


def diffusivity_of_a_positive_field(field, flux):
    diffusion = 1.1 * F.softplus(field) ** 1.2
    return ((diffusion[:, 1:] - diffusion[:, :-1] - flux) ** 2).mean()


def wings_that_adapt(heat, truth):
    gap = torch.abs(truth - heat)
    power = 2.1 - truth
    slope = 14.0 / (1 + 0.5**power) * power * 0.5 ** (power - 1)
    offset = 0.5 * slope - 14.0 * torch.log1p(0.5**power)
    return torch.where(gap < 0.5, 14.0 * torch.log1p(gap**power), slope * gap - offset).mean()


# ---- boxes -------------------------------------------------------------------------------------------------------


def aspect_with_a_floor(predicted, truth):
    shape = F.softplus(predicted[:, 2:]) + 1e-2
    angle = torch.atan2(truth[:, 2], truth[:, 3] + 1e-6) - torch.atan(shape[:, 0] / shape[:, 1])
    centre = ((predicted[:, :2] - truth[:, :2]) ** 2).sum(1)
    return (centre + 4 / math.pi**2 * angle**2).mean()


def confidence_from_an_overlap(confidence, overlap, penalty):
    truth = (overlap - penalty).detach().clamp(0, 1)
    return F.binary_cross_entropy_with_logits(confidence, truth)


# ---- small numbers in float16 ------------------------------------------------------------------------------------


def survival_out_of_half(logits, group):
    survival = F.logsigmoid(-logits.half().to(logits.dtype))
    return F.mse_loss(-torch.expm1(survival.view(-1, 2).sum(1)), group)


def unit_rows_out_of_half(embedding, goal):
    row = F.normalize(embedding.half().float(), dim=-1, eps=1e-4)
    return (1 - (row * goal).sum(-1)).mean()


# ---- libraries ---------------------------------------------------------------------------------------------------


def letters_that_fit(logits, letters, frames):
    lengths = torch.full((letters.shape[0],), letters.shape[1], dtype=torch.long)
    return F.ctc_loss(F.log_softmax(logits, -1), letters, frames, lengths, zero_infinity=True)


def kernel_with_jitter(inputs, log_noise, y):
    gap = ((inputs[:, None] - inputs[None]) ** 2).sum(-1)
    kernel = torch.exp(-0.5 * gap) + (F.softplus(log_noise) + 1e-2) * torch.eye(len(y))
    factor = torch.linalg.cholesky(kernel)
    white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
    return 0.5 * (white**2).sum() + factor.diagonal().log().sum()


# ---- formulas ----------------------------------------------------------------------------------------------------


def mixture_of_logistics(logits, mean, log_scale, y):
    log_scale = log_scale.clamp(min=-7.0, max=7.0)
    z = (y[:, None] - mean) * torch.exp(-log_scale)
    log_p = -z - log_scale - 2 * F.softplus(-z) + F.log_softmax(logits, -1)
    return -torch.logsumexp(log_p, -1).mean()


def parts_and_a_square_map(logits, warp, y):
    left = torch.eye(3) - warp @ warp.transpose(1, 2)
    return F.nll_loss(F.log_softmax(logits, -1), y) + 0.001 * torch.norm(left, dim=(1, 2)).mean()


def likelihood_negated(mean, raw, y):
    sigma = F.softplus(raw) + 1e-2
    return (0.5 * ((y - mean) / sigma) ** 2 + torch.log(sigma)).mean()


def spread_squared(mean, log_std, noise, weight, y):
    log_std = log_std.clamp(max=10)
    z = mean + noise * torch.exp(log_std)
    edges = F.binary_cross_entropy_with_logits(z @ weight, y)
    prior = 0.5 * (1 + 2 * log_std - mean**2 - torch.exp(2 * log_std)).sum(1).mean()
    return edges - prior


def counts_of_a_gene(log_mean, log_theta, y):
    log_theta = log_theta.clamp(-5, 5)
    theta = log_theta.exp()
    log_both = torch.logaddexp(log_theta, log_mean)
    likely = theta * (log_theta - log_both) + y * (log_mean - log_both)
    return -(likely + torch.lgamma(y + theta) - torch.lgamma(theta) - torch.lgamma(y + 1)).mean()


def spline_inside_its_box(x, slope):
    left, right = F.softplus(slope[:, 0]) + 0.1, F.softplus(slope[:, 1]) + 0.1
    inside = (x >= -3) & (x <= 3)
    y = (torch.where(inside, x, torch.zeros_like(x)) + 3) / 6
    bend = left + right - 2
    a, b = 1 - left + y * bend, left - y * bend
    xi = 2 * y / (b + torch.sqrt((b**2 + 4 * a * y).clamp(min=1e-4)))
    log_slope = torch.log(right * xi**2 + 2 * xi * (1 - xi) + left * (1 - xi) ** 2)
    log_slope = log_slope - 2 * torch.log(1 + bend * xi * (1 - xi))
    z = torch.where(inside, 6 * xi - 3, x)
    return (0.5 * z**2 + torch.where(inside, log_slope, torch.zeros_like(x))).mean()


def soft_alignment(one, other):
    cost = (one[:, :, None] - other[:, None, :]) ** 2
    far = torch.full_like(one[:, 0], 1e6)
    above = [torch.zeros_like(far), far, far, far]
    for i in range(3):
        row = [far]
        for j in range(3):
            best = torch.stack([above[j], above[j + 1], row[j]], -1)
            row.append(cost[:, i, j] - 0.5 * torch.logsumexp(-best / 0.5, -1))
        above = row
    return above[-1].mean()


def filtered_track(raw_process, raw_sensor, track):
    process, sensor = F.softplus(raw_process) + 1e-3, F.softplus(raw_sensor) + 1e-2
    state, spread = track[:, 0], sensor.expand(track.shape[0])
    total = torch.zeros(())
    for t in range(1, track.shape[1]):
        spread = spread + process
        innovation, power = track[:, t] - state, spread + sensor
        total = total + 0.5 * (innovation**2 / power + torch.log(power)).mean()
        gain = spread / power
        state, spread = state + gain * innovation, (1 - gain) * spread
    return total


def variational_step(noise, raw, clean, noisy, drawn):
    beta, alpha_bar, before = 0.02, 0.5, 0.51
    posterior = math.log(beta * (1 - before) / (1 - alpha_bar))
    share = (torch.tanh(raw) + 1) / 2
    log_var = share * math.log(beta) + (1 - share) * posterior
    guess = (noisy - math.sqrt(1 - alpha_bar) * noise) / math.sqrt(alpha_bar)
    gap = math.sqrt(before) * beta / (1 - alpha_bar) * (guess - clean)
    kl = 0.5 * (log_var - posterior - 1 + torch.exp(posterior - log_var) + gap**2 * torch.exp(-log_var))
    return kl.mean() / math.log(2) + F.mse_loss(noise, drawn)


def edited_in_place(logits, y, weight):
    log_p = F.log_softmax(logits, -1).clone()
    log_p[y == 0] *= 0.5
    loss = -log_p.gather(1, y[:, None])[:, 0]
    loss.mul_(weight).div_(weight.sum().clamp_(min=1e-3))
    return loss.sum()


@torch.jit.script
def scripted_log_cosh(predicted: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    gap = torch.abs(predicted - y)
    return (gap + torch.nn.functional.softplus(-2.0 * gap) - 0.6931471805599453).mean()


def log_cosh_by_script(predicted, y):
    return scripted_log_cosh(predicted, y)


REPAIR = "as it was mended in "
VIEWS = given(one=normal(16, 4), other=normal(16, 4))
LABELS = fixed([0, 0, 1, 1, 2, 2, 1, 0])
FIELD = given("flux", field=normal(4, 6), flux=normal(4, 5))
ANSWERS = given(
    "chosen_reference rejected_reference",
    chosen=normal(8, scale=10.0, shift=-60.0),
    rejected=normal(8, scale=10.0, shift=-60.0),
    chosen_reference=normal(8, scale=10.0, shift=-60.0),
    rejected_reference=normal(8, scale=10.0, shift=-60.0),
)


def identical(state):
    for name in ("predicted", "truth"):
        state[name].copy_(torch.eye(3))


CASES = (
    sound(
        additive_angular_margin_floored,
        given("y", embedding=normal(8, 4), weight=normal(3, 4), y=classes(8, 3)),
        REPAIR + "github.com/ronghuaiyang/arcface-pytorch issue 91",
        aligned,
    ),
    sound(
        angle_by_two_sides,
        given("truth", predicted=rotations(8), truth=rotations(8)),
        "the usual answer to github.com/papagina/RotationContinuity issue 11",
        identical,
    ),
    sound(
        log_of_a_quaternion_by_two_sides,
        given("goal", quaternion=lambda g: F.normalize(torch.randn(8, 4, generator=g)), goal=normal(8, 3)),
        REPAIR + "github.com/kornia/kornia pull 4228",
        lambda s: s["quaternion"][0].copy_(torch.tensor([1.0, 0, 0, 0])),
    ),
    sound(
        turned_by_axis_angle_twice_chosen,
        given("goal", axis_angle=normal(8, 3), goal=normal(8, 4)),
        REPAIR + "github.com/kornia/kornia pull 3980",
        fill(axis_angle=0.0),
    ),
    sound(
        hyperbolic_neighbours_floored,
        given(points=normal(8, 3), near=normal(8, 3), far=normal(8, 3)),
        "the floor that github.com/geoopt/geoopt pull 79 asks for, after geomstats pull 273",
        same("near", "points"),
    ),
    sound(
        grey_world_floored,
        given(image=unit(4, 3, 4, 4)),
        REPAIR + "github.com/Li-Chongyi/Zero-DCE_extension issue 2",
        fill(image=0.5),
    ),
    sound(
        gaussian_box_distance_floored,
        given("truth", predicted=normal(8, 4, scale=0.3), truth=boxes(8)),
        REPAIR + "github.com/open-mmlab/mmrotate issue 205",
        fill(predicted=-30.0),
    ),
    sound(
        farthest_of_the_nearest,
        given("surface", cloud=normal(8, 3), surface=normal(8, 3)),
        "Hausdorff and Chamfer distances by cdist, whose slope at 0 is 0 (PyTorch documentation)",
        same("cloud", "surface"),
    ),
    sound(
        masked_video_error_floored,
        given("truth mask", predicted=normal(4, 3, 5), truth=normal(4, 3, 5), mask=bits(4, 3, 5)),
        REPAIR + "github.com/Zhen-Dong/Magic-Me issue 14",
        fill(mask=0.0),
    ),
    sound(
        contrast_of_anchors_with_company,
        given("labels", features=normal(8, 4), labels=LABELS),
        REPAIR + "github.com/HobbitLong/SupContrast issue 141",
        lambda s: s["labels"].copy_(torch.arange(8)),
    ),
    sound(
        edges_by_weight,
        given("truth edges", logits=normal(4, 6), truth=bits(4, 6), edges=bits(4, 6)),
        REPAIR + "github.com/Deci-AI/super-gradients pull 982",
        fill(edges=0.0),
    ),
    sound(
        group_relative_advantage_floored,
        given("reward", new=normal(16), old=normal(16), reward=fixed([0.0, 1, 1, 0] * 4)),
        "GRPO as in github.com/huggingface/trl",
        fill(reward=1.0),
    ),
    sound(
        traffic_percentage_of_what_moves,
        SPEED,
        "what users of github.com/VincLee8188/GMAN-PyTorch issue 7 need",
        put(speed=0.0),
    ),
    sound(
        soft_ndcg_floored,
        given("grades", scores=normal(8, 5), grades=graded(8, 5)),
        "approxNDCG as in github.com/allegro/allRank, ideal gain clamped",
        fill(grades=0.0),
    ),
    sound(
        talking_to_silence_floored,
        given("source", estimate=normal(4, 16), source=normal(4, 16)),
        REPAIR + "github.com/csteinmetz1/auraloss pull 26",
        fill(source=0.0),
    ),
    sound(
        correlated_tracks_floored,
        given("truth", predicted=normal(6, 8), truth=normal(6, 8)),
        REPAIR + "github.com/NVIDIA-Genomics-Research/AtacWorks pull 104",
        fill(predicted=1.0),
    ),
    sound(
        redundancy_of_normed_views,
        VIEWS,
        "what github.com/IgorSusmelj/barlowtwins issue 10 asks for: batch norm's own eps",
        lambda s: s["one"][:, 0].fill_(0.0),
    ),
    sound(
        readings_with_gaps,
        given("reading", predicted=normal(8, 3), reading=normal(8, 3)),
        "nan_to_num before the subtraction, as forum answers advise",
        put(reading=1.0),
    ),
    sound(
        tokens_that_count,
        given("y", logits=normal(8, 5), y=fixed([0, 1, -100, 3, -100, 2, 4, 1])),
        REPAIR + "github.com/NVIDIA-NeMo/Automodel issue 3796",
        fill(y=-100),
    ),
    sound(
        surrogate_with_a_bound,
        given("advantage", new=normal(16, shift=-2.0), old=normal(16, shift=-2.0), advantage=normal(16)),
        REPAIR + "github.com/radixark/miles pull 1363",
        put(new=90.0),
    ),
    sound(
        odds_of_two_answers_bounded,
        given(chosen=normal(8, 3, 5), rejected=normal(8, 3, 5)),
        REPAIR + "github.com/hpcaitech/ColossalAI pull 6407",
        lambda s: s["chosen"][..., 0].fill_(60.0),
    ),
    sound(
        preferred_answer_by_logsigmoid,
        ANSWERS,
        REPAIR + "github.com/thinking-machines-lab/tinker-cookbook pull 188",
        put(chosen=-400.0),
    ),
    sound(
        tags_in_log_space,
        TAGS,
        "the answer in github.com/allanj/pytorch_neural_crf issue 4",
        lambda s: s["emission"].mul_(60.0),
    ),
    sound(
        states_that_never_go_back,
        given(emission=normal(8, 4, 3), stay=normal(2)),
        "forbidden moves of a left-to-right model; github.com/jax-ml/jax issue 6811 is where it goes wrong",
        scale(emission=60.0),
    ),
    sound(
        transport_in_log_space,
        given(source=normal(8, 2, scale=0.3), sink=normal(8, 2, scale=0.3)),
        REPAIR + "github.com/bobxwu/FASTopic pull 12",
        lambda s: s["source"].add_(6.0),
    ),
    sound(
        swapped_assignments_of_unit_rows,
        given(scores=normal(8, 4, scale=0.5), other=normal(8, 4, scale=0.5)),
        "the answer in github.com/facebookresearch/swav issue 67",
        put(other=5.0),
    ),
    sound(
        list_by_logcumsumexp,
        given("order", scores=normal(8, 5), order=ORDER),
        REPAIR + "github.com/wildltr/ptranking issue 4, by logcumsumexp",
        scale(scores=100.0),
    ),
    sound(
        risk_of_those_still_there,
        given("time event", risk=normal(12), time=positive(12), event=bits(12)),
        "github.com/havakv/pycox issue 144, events counted at least once",
        lambda s: (s["risk"].mul_(100.0), s["event"].fill_(0.0)),
    ),
    sound(
        weeks_until_event_by_expm1,
        given(
            "weeks seen",
            shape=normal(8),
            size=normal(8, shift=2.0),
            weeks=lambda g: torch.randint(1, 9, (8,), generator=g).float(),
            seen=bits(8),
        ),
        REPAIR + "github.com/ragulpr/wtte-rnn issues 39 and 73",
        fill(shape=-20.0),
    ),
    sound(
        evidence_of_a_number_floored,
        given("y", raw=normal(8, 4), y=normal(8)),
        "the constants of github.com/deebuls/deep_evidential_regression_loss_pytorch issue 2",
        fill(raw=-110.0),
    ),
    sound(
        rate_with_a_floor,
        given("y", raw=normal(8), y=counts(8)),
        REPAIR + "github.com/pytorch/pytorch pull 3336",
        put(raw=-90.0),
    ),
    sound(
        log_error_behind_a_gate,
        given("y", predicted=positive(8), y=positive(8)),
        "what github.com/timeseriesAI/tsai issue 150 needs",
        put(predicted=-1.5),
    ),
    sound(
        mean_and_power_deviance,
        given("y", raw=normal(8), y=positive(8)),
        "Tweedie deviance of power 1.5, log mean clamped",
        put(raw=-90.0),
    ),
    sound(
        pairs_by_an_own_function,
        given(better=normal(8), worse=normal(8)),
        "a memory-lean autograd.Function, PyTorch documentation on extending autograd",
        put(better=-200.0),
    ),
    sound(
        focus_below_one_floored,
        given("y", logits=normal(16), y=bits(16)),
        REPAIR + "github.com/kornia/kornia issue 918, github.com/fizyr/keras-retinanet issue 706",
        fill(logits=40.0),
    ),
    sound(
        structure_cut_above_zero,
        IMAGES,
        REPAIR + "github.com/One-sixth/ms_ssim_pytorch issue 3",
        lambda s: s["image"].copy_(1 - s["truth"]),
    ),
    sound(
        perceived_band_gains_floored,
        given("gain", output=normal(8, 4), gain=unit(8, 4)),
        REPAIR + "github.com/jzi040941/PercepNet issue 37",
        put(output=-90.0),
    ),
    sound(
        diffusivity_of_a_positive_field,
        FIELD,
        "the answer in github.com/prateekbhustali/Physics-Informed-Neural-Networks issue 1",
        put(field=-60.0),
    ),
    sound(
        wings_that_adapt,
        given("truth", heat=normal(4, 1, 5, 5, scale=0.3), truth=unit(4, 1, 5, 5)),
        "adaptive wing loss, Wang et al. 2019, eq. 5",
        same("heat", "truth"),
    ),
    sound(
        aspect_with_a_floor,
        given("truth", predicted=normal(8, 4, scale=0.3), truth=boxes(8)),
        REPAIR + "github.com/pythonlessons/TensorFlow-2.x-YOLOv3 issue 144",
        fill(truth=0.0),
    ),
    sound(
        confidence_from_an_overlap,
        given(confidence=normal(8), overlap=unit(8), penalty=unit(8)),
        REPAIR + "github.com/ultralytics/yolov3 issue 901",
        fill(overlap=0.0),
    ),
    sound(
        survival_out_of_half,
        given("group", logits=normal(8), group=unit(4)),
        REPAIR + "github.com/fastino-ai/GLiNER2 pull 155",
        put(logits=12.0),
    ),
    sound(
        unit_rows_out_of_half,
        given("goal", embedding=normal(6, 4), goal=lambda g: F.normalize(torch.randn(6, 4, generator=g))),
        "what github.com/pytorch/pytorch pull 33596 settles on: an eps of one's own",
        fill(embedding=0.0),
    ),
    sound(
        letters_that_fit,
        given(
            "letters frames",
            logits=normal(8, 4, 5),
            letters=lambda g: torch.randint(1, 5, (4, 3), generator=g),
            frames=fixed([8, 7, 8, 6]),
        ),
        REPAIR + "github.com/wenet-e2e/wenet pull 2299",
        lambda s: s["frames"].fill_(2),
    ),
    sound(
        kernel_with_jitter,
        given("y", inputs=normal(8, 2), log_noise=fixed([-2.0]), y=normal(8)),
        "the jitter of github.com/tensorflow/probability issue 1291",
        lambda s: (s["inputs"].fill_(0.3), s["log_noise"].fill_(-20.0)),
    ),
    sound(
        mixture_of_logistics,
        given("y", logits=normal(8, 3), mean=normal(8, 3), log_scale=normal(8, 3, scale=0.3), y=normal(8)),
        REPAIR + "github.com/r9y9/wavenet_vocoder issue 34",
        fill(log_scale=-50.0),
    ),
    sound(
        parts_and_a_square_map,
        given("y", logits=normal(8, 4), warp=normal(8, 3, 3), y=classes(8, 4)),
        REPAIR + "github.com/yanx27/Pointnet_Pointnet2_pytorch issue 30",
        lambda s: s["warp"].copy_(torch.eye(3)),
    ),
    sound(
        likelihood_negated,
        given("y", mean=normal(8), raw=normal(8), y=normal(8)),
        REPAIR + "github.com/crhea93/LUCI pull 87",
        put(raw=-90.0),
    ),
    sound(
        spread_squared,
        given(
            "y",
            mean=normal(8, 3),
            log_std=normal(8, 3, scale=0.5),
            noise=normal(8, 3),
            weight=normal(3, 4),
            y=bits(8, 4),
        ),
        REPAIR + "github.com/DaehanKim/vgae_pytorch issue 2",
        put(log_std=-60.0),
    ),
    sound(
        counts_of_a_gene,
        given("y", log_mean=normal(8, shift=1.0), log_theta=normal(8, shift=1.0), y=counts(8)),
        "the answer in github.com/scverse/scvi-tools issue 2965: a bounded inverse dispersion",
        fill(log_theta=14.0),
    ),
    sound(
        spline_inside_its_box,
        given("x", x=normal(16, scale=0.8), slope=normal(16, 2)),
        REPAIR + "github.com/bayesflow-org/bayesflow issue 721",
        lambda s: (s["x"].fill_(9.0), s["slope"].fill_(-3.0)),
    ),
    sound(
        soft_alignment,
        given("other", one=normal(6, 3), other=normal(6, 3)),
        "github.com/mblondel/soft-dtw issue 5: a negative value is expected",
        same("one", "other"),
    ),
    sound(
        filtered_track,
        given("track", raw_process=fixed([0.0]), raw_sensor=fixed([0.0]), track=normal(6, 4)),
        "Kalman filter's likelihood with floors, Roweis and Ghahramani 1999",
        lambda s: (s["raw_process"].fill_(-90.0), s["raw_sensor"].fill_(-90.0)),
    ),
    sound(
        variational_step,
        given(
            "clean noisy drawn",
            noise=normal(8, 3),
            raw=normal(8, 3),
            clean=normal(8, 3),
            noisy=normal(8, 3),
            drawn=normal(8, 3),
        ),
        "learnt variance of Nichol and Dhariwal 2021, eq. 15",
        fill(raw=-40.0),
    ),
    sound(
        edited_in_place,
        given("y weight", logits=normal(8, 4), y=classes(8, 4), weight=unit(8)),
        "in-place edits of an own copy, PyTorch forum",
        scale(logits=100.0),
    ),
    sound(
        log_cosh_by_script,
        given("y", predicted=normal(8), y=normal(8)),
        "log cosh without overflow, scripted",
        scale(predicted=1000.0),
    ),
)
