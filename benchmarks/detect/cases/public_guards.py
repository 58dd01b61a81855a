"""More losses of public repositories that are right: custom functions, in-place steps, dictionaries, flows, spectra."""

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
    sound,
    unit,
)

_G = torch.Generator().manual_seed(13)
BOXES = torch.rand(10, 4, generator=_G) * torch.tensor([4.0, 4.0, 2.0, 2.0]) + torch.tensor([0.0, 0.0, 0.5, 0.5])
WAVE = torch.randn(6, 16, generator=_G)


class ClippedExp(torch.autograd.Function):
    """exp forward; backward with the exponent held at 15, as in radiance fields."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.exp(x.clamp(max=15))

    @staticmethod
    def backward(ctx, grad):
        return grad * torch.exp(ctx.saved_tensors[0].clamp(max=15))


class StraightRound(torch.autograd.Function):
    """Rounds forward, lets the gradient pass."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


def field_density(raw, truth):
    opaque = 1 - torch.exp(-ClippedExp.apply(raw) * 0.1)
    free = torch.cumprod(torch.cat([torch.ones_like(raw[:, :1]), 1 - opaque + 1e-7], -1), -1)[:, :-1]
    return (((opaque * free).sum(-1) - truth) ** 2).mean()


def rounded_code(raw, truth):
    return ((StraightRound.apply(7 * torch.sigmoid(raw)) / 7 - truth) ** 2).mean()


def enclosing_box(output, box):
    one = torch.cat([output[:, :2], output[:, :2] + F.softplus(output[:, 2:])], 1)
    two = torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], 1)
    inner = (torch.minimum(one[:, 2:], two[:, 2:]) - torch.maximum(one[:, :2], two[:, :2])).clamp(min=0).prod(1)
    both = (one[:, 2:] - one[:, :2]).prod(1) + (two[:, 2:] - two[:, :2]).prod(1) - inner
    hull = (torch.maximum(one[:, 2:], two[:, 2:]) - torch.minimum(one[:, :2], two[:, :2])).prod(1)
    return (1 - inner / both.clamp(min=1e-6) + (hull - both) / hull.clamp(min=1e-6)).mean()


def soft_overlap(logits, label):
    p = torch.sigmoid(logits)
    return (1 - (2 * (p * label).sum(1) + 1) / (p.sum(1) + label.sum(1) + 1)).mean()


def sorted_hinge(logits, label):
    errors = 1 - logits * (2 * label - 1)
    errors, order = torch.sort(errors, descending=True)
    truth = label[order]
    left = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1 - truth).cumsum(0)
    overlap = 1 - left / union
    steps = torch.cat([overlap[:1], overlap[1:] - overlap[:-1]])
    return (torch.relu(errors) * steps).sum()


def asymmetric_labels(logits, label):
    p = torch.sigmoid(logits)
    miss = (1 - p + 0.05).clamp(max=1)
    loss = label * torch.log(p.clamp(min=1e-8)) + (1 - label) * torch.log(miss.clamp(min=1e-8))
    with torch.no_grad():
        weight = torch.pow(1 - p * label - miss * (1 - label), label + 4 * (1 - label))
    return -(loss * weight).sum(1).mean()


def smooth_edge(output, truth):
    return torch.sqrt((output - truth) ** 2 + 1e-6).mean()


def companded(wave, truth):
    def curve(x):
        return torch.sign(x) * torch.log1p(255 * x.abs()) / math.log(256)

    return ((curve(wave) - curve(truth)) ** 2).mean()


def spectra(wave, truth):
    steps = (2 * math.pi * torch.arange(16.0)[:, None] * torch.arange(9.0) / 16).to(wave)

    def size(x):
        return torch.sqrt(((x @ torch.cos(steps)) ** 2 + (x @ torch.sin(steps)) ** 2).clamp(min=1e-7))

    a, b = size(wave), size(truth)
    return torch.norm(b - a, p="fro") / torch.norm(b, p="fro") + F.l1_loss(torch.log(a), torch.log(b))


def phase_error(real, imaginary, phase):
    return (1 - torch.cos(torch.atan2(imaginary, real) - phase)).mean()


def softest_path(one, two):
    cost = (one[:, :, None] - two[:, None]) ** 2
    table = {(0, 0): torch.zeros_like(cost[:, 0, 0])}
    wall = torch.full_like(cost[:, 0, 0], 1e10)
    for i in range(1, 5):
        for j in range(1, 5):
            near = [table.get(k, wall) for k in ((i - 1, j - 1), (i - 1, j), (i, j - 1))]
            table[i, j] = cost[:, i - 1, j - 1] - 0.5 * torch.logsumexp(-torch.stack(near) / 0.5, 0)
    return table[4, 4].mean()


def self_exciting(raw, gaps):
    base, jump, decay = F.softplus(raw) + 1e-3
    memory, total = torch.zeros(()).to(raw), torch.zeros(()).to(raw)
    for gap in gaps:
        memory = (memory + 1) * torch.exp(-decay * gap)
        total = total + torch.log(base + jump * memory)
    last = torch.flip(torch.cumsum(torch.flip(gaps, (0,)), 0), (0,))
    return base * gaps.sum() + jump / decay * (1 - torch.exp(-decay * last)).sum() - total


def judge_of_pictures(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def slope_penalty(weight, point):
    x = point.detach().requires_grad_()
    score = torch.tanh(x @ weight).sum()
    (slope,) = torch.autograd.grad(score, x, create_graph=True)
    return ((torch.sqrt((slope**2).sum(1) + 1e-12) - 1) ** 2).mean()


def denoised_score(output, noise, sigma):
    return 0.5 * ((output + noise / sigma[:, None]) ** 2).sum(-1).mul(sigma**2).mean()


def both_views(one, ahead_one, two, ahead_two):
    def pull(p, z):
        return -F.cosine_similarity(p, z.detach(), dim=-1).mean()

    return 0.5 * pull(ahead_one, two) + 0.5 * pull(ahead_two, one)


def spread_and_apart(one, two):
    def spread(z):
        return torch.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()

    def apart(z):
        z = z - z.mean(0)
        table = z.T @ z / (len(z) - 1)
        return (table.pow(2).sum() - torch.diagonal(table).pow(2).sum()) / z.shape[1]

    return 25 * F.mse_loss(one, two) + 25 * (spread(one) + spread(two)) + apart(one) + apart(two)


def mixed_divergence(student, teacher):
    p, q = F.log_softmax(student, -1), F.log_softmax(teacher, -1)
    middle = torch.logsumexp(torch.stack([p, q]) - math.log(2), 0)
    return 0.5 * (F.kl_div(middle, p, reduction="batchmean", log_target=True)
                  + F.kl_div(middle, q, reduction="batchmean", log_target=True))  # fmt: skip


def hardened_labels(logits, label):
    log_p = F.log_softmax(logits, -1)
    own = log_p.gather(1, label[:, None]).squeeze(1)
    return (0.9 * -own - 0.1 * log_p.mean(-1) + 1 - own.exp()).mean()


def autoregressive_flow(output, x):
    shift, raw = output.chunk(2, -1)
    log_scale = 3 * torch.tanh(raw / 3)
    z = (x - shift) * torch.exp(-log_scale)
    return {"prior": 0.5 * (z**2).sum(-1).mean(), "log_det": log_scale.sum(-1).mean(),
            "loss": (0.5 * z**2 + log_scale).sum(-1).mean()}["loss"]  # fmt: skip


def planar_flow(w, u, b, z):
    inner = (w * u).sum()
    u = u + (F.softplus(inner) - 1 - inner) * w / ((w**2).sum() + 1e-6)
    h = torch.tanh(z @ w + b)
    slope = (1 - h**2) * (w * u).sum()
    moved = z + u * h[:, None]
    return (0.5 * (moved**2).sum(-1) - torch.log((1 + slope).abs() + 1e-6)).mean()


def full_normal(mean, raw, y):
    low = torch.tril(raw, -1) + torch.diag_embed(F.softplus(torch.diagonal(raw, dim1=-2, dim2=-1)) + 1e-2)
    z = torch.linalg.solve_triangular(low, (y - mean)[..., None], upper=False).squeeze(-1)
    return (0.5 * (z**2).sum(-1) + torch.log(torch.diagonal(low, dim1=-2, dim2=-1)).sum(-1)).mean()


def spoken_letters(logits, letters):
    log_p = F.log_softmax(logits, -1).transpose(0, 1)
    long = torch.full((logits.shape[0],), logits.shape[1], dtype=torch.long)
    short = torch.full((logits.shape[0],), letters.shape[1], dtype=torch.long)
    return F.ctc_loss(log_p, letters, long, short, zero_infinity=True)


def duration(log_length, length):
    return F.mse_loss(log_length, torch.log(length + 1))


def alike_or_missing(one, two, valid):
    gap = F.cosine_similarity(one, two, dim=-1)
    return ((1 - gap) * valid).sum() / valid.sum().clamp(min=1)


def in_place_margin(logits, label):
    moved = logits.clone()
    moved[torch.arange(len(label)), label] -= 0.35
    moved *= 20
    return F.cross_entropy(moved, label)


def tilted_errors(output, y):
    gap = y[:, None] - output
    tilt = torch.tensor([0.1, 0.5, 0.9]).to(output)
    return torch.maximum(tilt * gap, (tilt - 1) * gap).mean()


@torch.jit.script
def scripted_focal(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    plain = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    p = torch.sigmoid(logits)
    hit = p * label + (1 - p) * (1 - label)
    return (plain * (1 - hit) ** 2).mean()


def focal_of_script(logits, label):
    return scripted_focal(logits, label)


def weights_of_noise(mean, rho, noise, y):
    sigma = F.softplus(rho) + 1e-4
    kl = (math.log(0.5) - torch.log(sigma) + (sigma**2 + mean**2) / (2 * 0.25) - 0.5).sum()
    return ((mean + sigma * noise).sum(-1) - y).pow(2).mean() + 1e-2 * kl


CASES = (
    sound(
        field_density, given("truth", raw=normal(8, 5), truth=unit(8)), "ashawkey/torch-ngp: trunc_exp", fill(raw=60.0)
    ),
    sound(
        rounded_code,
        given("truth", raw=normal(8, 4), truth=unit(8, 4)),
        "itayhubara/BinaryNet.pytorch: rounding with a gradient that passes",
        fill(raw=50.0),
    ),
    sound(
        enclosing_box,
        given("box", output=normal(10, 4), box=fixed(BOXES)),
        "open-mmlab/mmdetection: giou_loss",
        fill(output=-30.0),
    ),
    sound(
        soft_overlap,
        given("label", logits=normal(6, 8), label=bits(6, 8)),
        "JunMa11/SegLoss: dice with smooth",
        fill(logits=-120.0),
    ),
    sound(
        sorted_hinge, given("label", logits=normal(12), label=bits(12)), "bermanmaxim/LovaszSoftmax", fill(logits=50.0)
    ),
    sound(
        asymmetric_labels,
        given("label", logits=normal(6, 5), label=bits(6, 5)),
        "Alibaba-MIIL/ASL",
        lambda s: s["logits"].mul_(5),
    ),
    sound(
        smooth_edge,
        given("truth", output=normal(12), truth=normal(12)),
        "cszn/KAIR: Charbonnier",
        same("output", "truth"),
    ),
    sound(
        companded, given("truth", wave=normal(6, 8), truth=normal(6, 8)), "r9y9/wavenet_vocoder: mu-law", fill(wave=3.0)
    ),
    sound(
        spectra,
        given("truth", wave=fixed(WAVE + 0.5 * torch.randn(6, 16, generator=_G)), truth=fixed(WAVE)),
        "kan-bayashi/ParallelWaveGAN: stft_loss.py",
        fill(wave=0.0),
    ),
    sound(
        phase_error,
        given("phase", real=normal(8, 5), imaginary=normal(8, 5), phase=normal(8, 5)),
        "yl4579/StyleTTS2, APNet: phase of a spectrum",
        put(real=0.0, imaginary=0.0),
    ),
    sound(
        softest_path, given("two", one=normal(4, 4), two=normal(4, 4)), "Maghoumi/pytorch-softdtw-cuda", fill(one=30.0)
    ),
    sound(
        self_exciting,
        given("gaps", raw=normal(3), gaps=positive(6)),
        "facebookresearch/neural_stpp#4: Hawkes",
        fill(raw=20.0),
    ),
    sound(
        judge_of_pictures,
        given(real=normal(10), fake=normal(10)),
        "rosinality/stylegan2-pytorch: logistic losses",
        fill(fake=500.0),
    ),
    sound(slope_penalty, given("point", weight=normal(3, 2), point=normal(8, 3)), "caogang/wgan-gp with 1e-12"),
    sound(
        denoised_score,
        given("noise sigma", output=normal(8, 3), noise=normal(8, 3), sigma=positive(8, around=0.3)),
        "ermongroup/ncsn: denoising score matching",
    ),
    sound(
        both_views,
        given(one=normal(8, 4), ahead_one=normal(8, 4), two=normal(8, 4), ahead_two=normal(8, 4)),
        "facebookresearch/simsiam",
    ),
    sound(
        spread_and_apart,
        given(one=normal(8, 4), two=normal(8, 4)),
        "facebookresearch/vicreg",
        lambda s: s["one"][:, 0].zero_(),
    ),
    sound(
        mixed_divergence,
        given("teacher", student=normal(8, 5), teacher=normal(8, 5)),
        "huggingface/trl: generalized_jsd_loss",
        lambda s: s["student"].mul_(100),
    ),
    sound(
        hardened_labels,
        given("label", logits=normal(8, 5), label=classes(8, 5)),
        "abhuse/polyloss-pytorch",
        lambda s: s["logits"].mul_(100),
    ),
    sound(
        autoregressive_flow,
        given("x", output=normal(8, 6), x=normal(8, 3)),
        "ikostrikov/pytorch-flows: a bounded scale",
        fill(output=20.0),
    ),
    sound(
        planar_flow,
        given("z", w=normal(3), u=normal(3), b=normal(1), z=normal(10, 3)),
        "kamenbliznashki/normalizing_flows: planar flows",
    ),
    sound(
        full_normal,
        given("y", mean=normal(6, 3), raw=normal(6, 3, 3), y=normal(6, 3)),
        "VincentStimper/normalizing-flows: a full covariance",
    ),
    sound(
        spoken_letters,
        given("letters", logits=normal(3, 7, 5), letters=lambda g: torch.randint(1, 5, (3, 3), generator=g)),
        "SeanNaren/deepspeech.pytorch: CTC with zero_infinity",
    ),
    sound(
        duration,
        given("length", log_length=normal(10), length=counts(10)),
        "ming024/FastSpeech2: log durations",
        fill(length=0.0),
    ),
    sound(
        alike_or_missing,
        given("valid", one=normal(8, 4), two=normal(8, 4), valid=bits(8)),
        "facebookresearch/mae style masks",
        fill(valid=0.0),
    ),
    sound(
        in_place_margin,
        given("label", logits=lambda g: torch.rand(8, 5, generator=g) * 2 - 1, label=classes(8, 5)),
        "deepinsight/insightface: the margin taken in place",
    ),
    sound(
        tilted_errors,
        given("y", output=normal(10, 3), y=normal(10)),
        "jdb78/pytorch-forecasting: QuantileLoss",
        same("output", "output"),
    ),
    sound(
        focal_of_script,
        given("label", logits=normal(10), label=bits(10)),
        "facebookresearch/fvcore: sigmoid_focal_loss_jit",
        fill(logits=200.0),
    ),
    sound(
        weights_of_noise,
        given("noise y", mean=normal(8, 3), rho=normal(8, 3), noise=normal(8, 3), y=normal(8)),
        "Harry24k/bayesian-neural-network-pytorch: KL of weights",
        fill(rho=-120.0),
    ),
)
