"""Fourth set, sound: losses of public repositories from fields that the other sets hardly touch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, classes, given, modelled, normal, positive, same, scale, sound, unit
from benchmarks.detect.cases.blind_classifiers import small


def kling_gupta(output, target):
    dp, dt = output - output.mean(), target - target.mean()
    r = (dp * dt).sum() / torch.sqrt((dp**2).sum() * (dt**2).sum() + 1e-6)
    alpha = torch.sqrt((dp**2).mean() + 1e-8) / (target.std() + 1e-6)
    beta = (output.mean() - target.mean()) / (target.std() + 1e-6)
    return torch.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + beta**2 + 1e-8)


def catchments(output, flow, deviation):
    weight = 1 / (deviation + 0.1) ** 2
    return (weight * (output - flow) ** 2).mean()


def frames_aligned(output, truth):
    gap = (output[:, :, None] - output[:, None]) - (truth[:, :, None] - truth[:, None])
    size = torch.sqrt((gap**2).sum(-1) + 1e-4).clamp(max=10.0)
    return size.mean() / 10.0


def sinkhorn(x, y):
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    f, g = torch.zeros(len(x), dtype=x.dtype), torch.zeros(len(y), dtype=x.dtype)
    for _ in range(4):
        f = -0.5 * torch.logsumexp((g[None] - cost) / 0.5 - math.log(len(y)), 1)
        g = -0.5 * torch.logsumexp((f[:, None] - cost) / 0.5 - math.log(len(x)), 0)
    return f.mean() + g.mean()


def soft_warp(output, truth):
    d = (output[:, :, None] - truth[:, None]) ** 2
    n, m = d.shape[1:]
    far = torch.full_like(d[:, 0, 0], 1e6)
    rows = [[far] * (m + 1) for _ in range(n + 1)]
    rows[0][0] = torch.zeros_like(far)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            three = torch.stack([rows[i - 1][j - 1], rows[i - 1][j], rows[i][j - 1]])
            rows[i][j] = d[:, i - 1, j - 1] - 0.1 * torch.logsumexp(-three / 0.1, 0)
    return rows[n][m].mean()


def energy_score(output, truth):
    to_truth = torch.sqrt(((output - truth[:, None]) ** 2).sum(-1) + 1e-12).mean(1)
    apart = torch.sqrt(((output[:, :, None] - output[:, None]) ** 2).sum(-1) + 1e-12).mean((1, 2))
    return (to_truth - 0.5 * apart).mean()


def interval_score(output, target):
    low, high = output[:, :1], output[:, :1] + F.softplus(output[:, 1:])
    outside = torch.relu(low - target) + torch.relu(target - high)
    return (high - low + 2 / 0.1 * outside).mean()


def bell_crps(output, target):
    mean, sigma = output[:, :1], F.softplus(output[:, 1:]) + 1e-3
    z = (target - mean) / sigma
    cdf = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
    pdf = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return (sigma * (z * (2 * cdf - 1) + 2 * pdf - 1 / math.sqrt(math.pi))).mean()


def hawkes(model, batch):
    gaps = batch[0]
    base, jump, decay = (F.softplus(p) + 1e-4 for p in (model.base, model.jump, model.decay))
    past, total = torch.zeros_like(gaps[:, 0]), 0.0
    for k in range(gaps.shape[1]):
        past = torch.exp(-decay * gaps[:, k]) * past
        total = total + torch.log(base + jump * past)
        past = past + 1
    time = gaps.sum(1)
    left = time[:, None] - gaps.cumsum(1)
    area = base * time + jump / decay * (1 - torch.exp(-decay * left)).sum(1)
    return (area - total).mean()


class Self(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base, self.jump, self.decay = (nn.Parameter(torch.zeros(1)) for _ in range(3))

    def forward(self, x):
        return self.base + self.jump + self.decay


def preference(chosen, rejected, ref_chosen, ref_rejected):
    margin = (chosen - rejected) - (ref_chosen - ref_rejected)
    return -(0.9 * F.logsigmoid(0.1 * margin) + 0.1 * F.logsigmoid(-0.1 * margin)).mean()


def preference_identity(chosen, rejected, ref_chosen, ref_rejected):
    margin = (chosen - rejected) - (ref_chosen - ref_rejected)
    return ((margin - 1 / (2 * 0.1)) ** 2).mean()


def kahneman(chosen, rejected, ref_chosen, ref_rejected):
    good, bad = chosen - ref_chosen, rejected - ref_rejected
    centre = torch.cat([good, bad]).mean().clamp(min=0).detach()
    return (2 - torch.sigmoid(0.1 * (good - centre)) - torch.sigmoid(0.1 * (centre - bad))).mean()


def router(output, target):
    p = torch.softmax(output, 1)
    picked = F.one_hot(output.argmax(1), output.shape[1]).to(p.dtype)
    balance = output.shape[1] * (p.mean(0) * picked.mean(0)).sum()
    z = torch.logsumexp(output, 1)
    return F.cross_entropy(output, target) + 0.01 * balance + 1e-3 * (z**2).mean()


def group_policy(output, target):
    new = torch.log_softmax(output, -1).gather(1, target[:, :1].long())[:, 0]
    old, reward = target[:, 1], target[:, 2]
    gain = (reward - reward.mean()) / (reward.std() + 1e-4)
    ratio = torch.exp((new - old).clamp(-20, 20))
    kept = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
    gap = (old - new).clamp(-20, 20)
    return -(kept - 0.04 * (torch.exp(gap) - gap - 1)).mean()


def quantile_huber(output, target):
    tau = (torch.arange(output.shape[1], dtype=output.dtype) + 0.5) / output.shape[1]
    gap = target[:, None] - output
    size = torch.where(gap.abs() <= 1, 0.5 * gap**2, gap.abs() - 0.5)
    return ((tau - (gap.detach() < 0).to(gap.dtype)).abs() * size).mean()


def projected(output, target):
    """Fifty-one atoms would do the same: the target shares are projected already."""
    return -(target * torch.log_softmax(output, 1)).sum(1).mean()


def whole_angles(output, target):
    unit_vector = output / torch.sqrt((output**2).sum(1, keepdim=True) + 1e-8)
    off = 1 - (unit_vector * torch.stack([torch.cos(target), torch.sin(target)], 1)).sum(1)
    return off.mean() + 0.02 * (torch.sqrt((output**2).sum(1) + 1e-8) - 1).abs().mean()


def quaternions(output, truth):
    q = F.normalize(output, dim=1, eps=1e-6)
    return (1 - (q * F.normalize(truth, dim=1)).sum(1) ** 2).mean()


def six_numbers(output, truth):
    a, b = output[:, :3], output[:, 3:]
    first = F.normalize(a, dim=1, eps=1e-6)
    second = F.normalize(b - (first * b).sum(1, keepdim=True) * first, dim=1, eps=1e-6)
    r = torch.stack([first, second, torch.linalg.cross(first, second)], 2)
    return ((r - truth) ** 2).sum((1, 2)).mean()


def geodesic_bounded(output, truth):
    cos = ((output.transpose(1, 2) @ truth).diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return torch.acos(cos.clamp(-1 + 1e-4, 1 - 1e-4)).mean()


def census(output, truth):
    def code(x):
        gap = x[:, 1:] - x[:, :-1]
        return gap / torch.sqrt(0.81 + gap**2)

    d = (code(output) - code(truth)) ** 2
    return (d / (0.1 + d)).mean()


def charbonnier(output, truth):
    return (((output - truth) ** 2 + 1e-6) ** 0.45).mean()


def distortion(output, target):
    w = torch.softmax(output, 1)
    mid = (torch.arange(output.shape[1], dtype=output.dtype) + 0.5) / output.shape[1]
    pairs = (w[:, :, None] * w[:, None] * (mid[:, None] - mid).abs()).sum((1, 2))
    return ((w * mid).sum(1) - target).abs().mean() + 0.01 * (pairs + (w**2).sum(1) / 3 / output.shape[1]).mean()


def rays(output, target):
    density = F.softplus(output - 1)
    alpha = 1 - torch.exp(-density * 0.2)
    clear = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], 1), 1)[:, :-1]
    seen = (alpha * clear * torch.linspace(0, 1, output.shape[1], dtype=output.dtype)).sum(1)
    return ((seen - target) ** 2).mean()


def edm(model, batch):
    x, noise = batch
    sigma = torch.exp(noise[:, :1] * 1.2 - 1.2)
    weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    skip, out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / torch.sqrt(sigma**2 + 0.25)
    noisy = x + noise[:, 1:] * sigma
    denoised = skip * noisy + out * model(noisy / torch.sqrt(0.25 + sigma**2))
    return (weight * (denoised - x) ** 2).mean()


def velocity(model, batch):
    x, noise = batch
    t = torch.sigmoid(noise[:, :1])
    moving = (1 - t) * x + t * noise[:, 1:]
    return ((model(moving) - (noise[:, 1:] - x)) ** 2).mean()


def redundancy(one, two):
    a = (one - one.mean(0)) / torch.sqrt(one.var(0) + 1e-5)
    b = (two - two.mean(0)) / torch.sqrt(two.var(0) + 1e-5)
    c = a.T @ b / len(a)
    on = ((c.diagonal() - 1) ** 2).sum()
    return on + 0.005 * ((c**2).sum() - (c.diagonal() ** 2).sum())


def hinge_of_spread(one, two):
    spread = [torch.relu(1 - torch.sqrt(x.var(0) + 1e-4)).mean() for x in (one, two)]
    return 25 * ((one - two) ** 2).mean() + 12.5 * sum(spread)


def alike_and_even(one, two):
    a, b = F.normalize(one, dim=1), F.normalize(two, dim=1)
    apart = torch.pdist(a).pow(2).mul(-2).exp().mean().log()
    return ((a - b) ** 2).sum(1).mean() + apart


def discrepancy(one, two):
    both = torch.cat([one, two])
    d2 = ((both[:, None] - both[None]) ** 2).sum(-1)
    width = d2.detach().mean() + 1e-6
    k = sum(torch.exp(-d2 / (width * 2.0**i)) for i in range(-2, 3))
    n = len(one)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def ball_distance(one, two):
    """Points are pulled into the ball first."""

    def inside(x):
        size = torch.sqrt((x**2).sum(1, keepdim=True) + 1e-9)
        return x / size * torch.tanh(size) * 0.99

    a, b = inside(one), inside(two)
    gap = 2 * ((a - b) ** 2).sum(1) / ((1 - (a**2).sum(1)) * (1 - (b**2).sum(1)))
    return torch.log1p(gap + torch.sqrt(gap * (gap + 2) + 1e-9)).mean()


def plackett(output, truth):
    ordered = output.gather(1, truth.argsort(1, descending=True))
    after = torch.logcumsumexp(ordered.flip(1), 1).flip(1)
    return (after - ordered).sum(1).mean()


def ordered_logits(output, target):
    levels = (target[:, None] > torch.arange(output.shape[1])).to(output.dtype)
    terms = F.logsigmoid(output) * levels + (F.logsigmoid(output) - output) * (1 - levels)
    return -terms.sum(1).mean()


def item_response(output, target):
    skill, easy = output[:, :1], output[:, 1:]
    p = 0.2 + 0.8 * torch.sigmoid(skill - easy)
    return -(target * torch.log(p) + (1 - target) * (math.log(0.8) + F.logsigmoid(easy - skill))).mean()


def wide_steps(output, target):
    """Forward and back of a flipped sign cancel: straight-through rounding."""
    rounded = output + (torch.round(output * 8) / 8 - output).detach()
    return ((rounded - target) ** 2).mean()


def skeletons(output, target):
    p = torch.sigmoid(output)

    def thin(x):
        eroded = -F.max_pool1d(-x, 3, 1, 1)
        return torch.relu(x - F.max_pool1d(eroded, 3, 1, 1))

    sp, st = thin(p), thin(target)
    precise = ((sp * target).sum((1, 2)) + 1) / (sp.sum((1, 2)) + 1)
    sensitive = ((st * p).sum((1, 2)) + 1) / (st.sum((1, 2)) + 1)
    return 1 - (2 * precise * sensitive / (precise + sensitive)).mean()


def spectrum_bounded(output, truth):
    a, b = torch.fft.rfft(output), torch.fft.rfft(truth)
    power = [torch.clamp(torch.view_as_real(z).pow(2).sum(-1), min=1e-7).sqrt() for z in (a, b)]
    gap = torch.linalg.norm(power[0] - power[1]) / (torch.linalg.norm(power[1]) + 1e-6)
    return gap + F.l1_loss(torch.log(power[0]), torch.log(power[1]))


def source_ratio(output, truth):
    e, s = output - output.mean(1, keepdim=True), truth - truth.mean(1, keepdim=True)
    scaled = (e * s).sum(1, keepdim=True) / ((s**2).sum(1, keepdim=True) + 1e-8) * s
    ratio = ((scaled**2).sum(1) + 1e-8) / (((e - scaled) ** 2).sum(1) + 1e-8)
    return -10 * torch.log10(ratio).mean()


def residual_of_heat(model, batch):
    x = batch[0].detach().requires_grad_()
    u = model(x)
    first = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)[0][:, :1]
    return ((first[:, 1:2] - 0.1 * second) ** 2).mean() + ((u - batch[1]) ** 2).mean()


def dirichlet_evidence(output, target):
    alpha = F.softplus(output) + 1
    total = alpha.sum(1, keepdim=True)
    p = alpha / total
    y = F.one_hot(target, output.shape[1]).to(output.dtype)
    fit = ((y - p) ** 2 + p * (1 - p) / (total + 1)).sum(1)
    rest = y + (1 - y) * alpha
    t = rest.sum(1, keepdim=True)
    kl = (torch.lgamma(t.squeeze(1)) - math.lgamma(output.shape[1]) - torch.lgamma(rest).sum(1)
          + ((rest - 1) * (torch.digamma(rest) - torch.digamma(t))).sum(1))  # fmt: skip
    return (fit + 0.1 * kl).mean()


def remaining_life(output, target):
    a, b = (F.softplus(output) + 1e-2).chunk(2, 1)
    y, died = target[:, :1], target[:, 1:]
    ratio = torch.log(y + 1e-6) - torch.log(a)
    hazard = torch.exp((b * ratio).clamp(max=40.0))
    return (hazard - died * (torch.log(b) + b * ratio)).mean()


def rotations(count: int):
    return lambda g: torch.linalg.qr(torch.randn(count, 3, 3, generator=g))[0]


def steps_of_policy(rows: int, actions: int):
    def draw(g):
        a = torch.randint(actions, (rows, 1), generator=g).float()
        return torch.cat([a, -torch.rand(rows, 1, generator=g) - 0.8, torch.randn(rows, 1, generator=g)], 1)

    return draw


def lives(rows: int):
    def draw(g):
        return torch.cat(
            [torch.rand(rows, 1, generator=g) * 5 + 0.1, (torch.rand(rows, 1, generator=g) > 0.3).float()], 1
        )

    return draw


X, LOUD = normal(32, 6), scale({"2.weight": 60.0})
TWO = given(one=normal(32, 4), two=normal(32, 4))
LOGS = given("ref_chosen ref_rejected", chosen=normal(16, scale=8.0, shift=-40.0), rejected=normal(16, scale=8.0,
             shift=-42.0), ref_chosen=normal(16, scale=8.0, shift=-40.0), ref_rejected=normal(16, scale=8.0,
             shift=-41.0))  # fmt: skip
FARTHER = scale(chosen=60.0)

CASES = (
    sound(kling_gupta, modelled(small(1), X, positive(32, 1)), "torchhydro, neuralhydrology: Kling-Gupta", LOUD),
    sound(catchments, given("flow deviation", output=normal(32), flow=normal(32), deviation=positive(32)),
          "kratzert/ealstm_regional_modeling: nseloss"),
    sound(frames_aligned, given("truth", output=normal(16, 6, 3), truth=normal(16, 6, 3)),
          "ogchen/nanofold: frame aligned error"),
    sound(sinkhorn, given("y", x=normal(16, 3), y=normal(20, 3)), "gpeyre/SinkhornAutoDiff, in logs", scale(x=20.0)),
    sound(soft_warp, given("truth", output=normal(8, 5), truth=normal(8, 6)), "vincent-leguen/DILATE: soft DTW"),
    sound(energy_score, given("truth", output=normal(16, 7, 3), truth=normal(16, 3)), "cbuelt/prob-losses"),
    sound(interval_score, modelled(small(2), X, normal(32, 1)), "cbuelt/prob-losses: interval score", LOUD),
    sound(bell_crps, modelled(small(2), X, normal(32, 1)), "cbuelt/prob-losses: normal CRPS", LOUD),
    sound(hawkes, modelled(Self, positive(16, 6), normal(16)), "ant-research/EasyTemporalPointProcess: Hawkes"),
    sound(preference, LOGS, "eric-mitchell/direct-preference-optimization, smoothed", FARTHER),
    sound(preference_identity, LOGS, "eric-mitchell/direct-preference-optimization: IPO", FARTHER),
    sound(kahneman, LOGS, "ContextualAI/HALOs: KTO", FARTHER),
    sound(router, modelled(small(4), X, classes(32, 4)), "lucidrains/st-moe-pytorch: balance and z loss", LOUD),
    sound(group_policy, modelled(small(3), X, steps_of_policy(32, 3)), "huggingface/trl: GRPO", LOUD),
    sound(quantile_huber, modelled(small(8), X, normal(32)), "BY571/QR-DQN", LOUD),
    sound(projected, modelled(small(11), X, lambda g: torch.softmax(torch.randn(32, 11, generator=g), 1)),
          "Kaixhin/Rainbow", LOUD),
    sound(whole_angles, modelled(small(2), X, normal(32)), "google/alphafold: torsion angles",
          scale({"2.weight": 0.0})),
    sound(quaternions, given("truth", output=normal(16, 4), truth=normal(16, 4)), "PoseNet reimplementations",
          same("output", "truth")),
    sound(six_numbers, given("truth", output=normal(16, 6), truth=rotations(16)), "papagina/RotationContinuity"),
    sound(geodesic_bounded, given("truth", output=rotations(16), truth=rotations(16)),
          "papagina/RotationContinuity#11, bounded"),
    sound(census, given("truth", output=normal(16, 12), truth=normal(16, 12)), "lliuz/ARFlow: ternary census"),
    sound(charbonnier, given("truth", output=normal(16, 3), truth=normal(16, 3)), "NVlabs/PWC-Net: robust loss",
          same("output", "truth")),
    sound(distortion, modelled(small(9), X, unit(32)), "google-research/multinerf: distortion", LOUD),
    sound(rays, modelled(small(9), X, unit(32)), "yenchenlin/nerf-pytorch", LOUD),
    sound(edm, modelled(lambda: nn.Linear(4, 4), normal(32, 4), normal(32, 5)), "NVlabs/edm: EDMLoss"),
    sound(velocity, modelled(lambda: nn.Linear(4, 4), normal(32, 4), normal(32, 5)), "gnobitab/RectifiedFlow"),
    sound(redundancy, TWO, "facebookresearch/barlowtwins", scale(one=0.0)),
    sound(hinge_of_spread, TWO, "facebookresearch/vicreg", scale(one=0.0)),
    sound(alike_and_even, TWO, "SsnL/align_uniform"),
    sound(discrepancy, TWO, "easezyc/deep-transfer-learning: MK-MMD", same("one", "two")),
    sound(ball_distance, TWO, "facebookresearch/poincare-embeddings, bounded", same("one", "two")),
    sound(plackett, given("truth", output=normal(16, 6), truth=normal(16, 6)), "allegro/allRank: ListMLE",
          scale(output=60.0)),
    sound(ordered_logits, modelled(small(4), X, classes(32, 5)), "Raschka-research-group/coral-pytorch", LOUD),
    sound(item_response, modelled(small(7), X, bits(32, 6)), "nd-ball/py-irt: guessing", LOUD),
    sound(wide_steps, modelled(small(3), X, normal(32, 3)), "straight-through rounding, as in Brevitas", LOUD),
    sound(skeletons, modelled(lambda: nn.Conv1d(3, 1, 3, padding=1), normal(16, 3, 12), bits(16, 1, 12)),
          "jocpae/clDice", scale({"weight": 60.0})),
    sound(spectrum_bounded, given("truth", output=normal(16, 32), truth=normal(16, 32)), "csteinmetz1/auraloss"),
    sound(source_ratio, given("truth", output=normal(16, 32), truth=normal(16, 32)),
          "csteinmetz1/auraloss#26: SI-SDR", scale(output=0.0)),
    sound(residual_of_heat, modelled(lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), normal(32, 2),
          normal(32, 1)), "maziarraissi/PINNs"),
    sound(dirichlet_evidence, modelled(small(3), X, classes(32, 3)), "dougbrion/pytorch-classification-uncertainty",
          LOUD),
    sound(remaining_life, modelled(small(2), X, lives(32)), "ragulpr/wtte-rnn, bounded", LOUD),
)  # fmt: skip
