"""Losses of public repositories as people complained of them: geometry, detection, contrast, spectra, policies."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, classes, fill, fixed, given, normal, positive, put, same, simplex

LIMIT = "limit defect"
_G = torch.Generator().manual_seed(7)
UNIT_Q = F.normalize(torch.randn(12, 4, generator=_G), dim=-1)
WAVE = torch.randn(8, 16, generator=_G)
NOISY = WAVE + 0.5 * torch.randn(8, 16, generator=_G)
IMAGE = torch.rand(8, 25, generator=_G)
DENOISED = (IMAGE + 0.05 * torch.randn(8, 25, generator=_G)).clamp(0, 1)


def frame_correlation(estimate, clean):
    x, y = estimate - estimate.mean(-1, keepdim=True), clean - clean.mean(-1, keepdim=True)
    size_x = torch.sqrt((x**2).sum(-1)) + 1e-8  # <- here
    size_y = torch.sqrt((y**2).sum(-1)) + 1e-8
    return -((x * y).sum(-1) / (size_x * size_y)).mean()


def edge_lengths(vertices, wanted):
    start, end = vertices[:, :-1], vertices[:, 1:]
    lengths = torch.sqrt(((start - end) ** 2).sum(-1))  # <- here
    return ((lengths - wanted) ** 2).mean()


def grey_world(image):
    red, green, blue = image.mean(-1).unbind(1)
    rg, rb, gb = (red - green) ** 2, (red - blue) ** 2, (green - blue) ** 2
    return torch.pow(rg**2 + rb**2 + gb**2, 0.5).mean()  # <- here


def additive_angle_head(feature, centre, label):
    cosine = F.normalize(feature) @ F.normalize(centre).T
    sine = torch.sqrt((1.0 - cosine**2).clamp(0, 1))  # <- here
    shifted = cosine * math.cos(0.5) - sine * math.sin(0.5)
    hot = F.one_hot(label, cosine.shape[1]).float()
    return F.cross_entropy(16.0 * (hot * shifted + (1 - hot) * cosine), label)


def _aligned(state):
    state["feature"][0] = torch.tensor([2.0, 0.0, 0.0])
    state["centre"][int(state["label"][0])] = torch.tensor([1.0, 0.0, 0.0])


def quaternion_angle(q, truth):
    cosine = (F.normalize(q, dim=-1) * truth).sum(-1).abs()
    return (2 * torch.acos(cosine.clamp(-1.0, 1.0))).mean()  # <- here


def _turned_right(state):
    state["q"][0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    state["truth"][0] = torch.tensor([1.0, 0.0, 0.0, 0.0])


def double_angle(q, truth):
    q = q / q.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    half = (q * truth).sum(-1)
    return torch.acos(2 * half * half - 1).mean()  # <- here


def box_shape_penalty(raw, box):
    w, h = torch.exp(raw[:, 0]), torch.exp(raw[:, 1])
    inner = torch.minimum(w, box[:, 0]) * torch.minimum(h, box[:, 1])
    iou = inner / (w * h + box[:, 0] * box[:, 1] - inner + 1e-16)
    skew = torch.atan(box[:, 0] / box[:, 1]) - torch.atan(w / h)  # <- here
    return (1 - iou + 4 / math.pi**2 * skew**2).mean()


def border_distances(raw, sides):
    left, top, right, bottom = torch.relu(raw).unbind(-1)
    tl, tt, tr, tb = sides.unbind(-1)
    inner = (torch.minimum(left, tl) + torch.minimum(right, tr)) * (torch.minimum(top, tt) + torch.minimum(bottom, tb))
    whole = (left + right) * (top + bottom) + (tl + tr) * (tt + tb) - inner
    return -torch.log(inner / whole).mean()  # <- here


def same_class_pull(embedding, label):
    z = F.normalize(embedding, dim=-1)
    score = z @ z.T / 0.1
    other = 1 - torch.eye(len(z))
    positive_pairs = (label[:, None] == label[None]).float() * other
    log_p = score - torch.log((torch.exp(score) * other).sum(1, keepdim=True))
    return -((positive_pairs * log_p).sum(1) / positive_pairs.sum(1)).mean()  # <- here


def _all_different(state):
    state["label"].copy_(torch.arange(len(state["label"])))


def unscaled_contrast(embedding, label):
    score = embedding @ embedding.T / 0.07
    score = score - score.max(dim=1, keepdim=True).values.detach()
    other = 1 - torch.eye(len(score))
    log_p = score - torch.log((torch.exp(score) * other).sum(1, keepdim=True))  # <- here
    pairs = (label[:, None] == label[None]).float() * other
    return -((pairs * log_p).sum(1) / pairs.sum(1).clamp(min=1)).mean()


def pair_contrast(first, second):
    both = torch.cat([first, second])
    close = torch.exp((first * second).sum(-1) / 0.5)  # <- here
    close = torch.cat([close, close])
    table = torch.exp(both @ both.T / 0.5)  # <- here
    apart = (table * (1 - torch.eye(len(both)))).sum(-1)
    return -torch.log(close / (apart + close)).mean()  # <- here


def scaled_squash(mean, log_std, noise):
    raw = mean + torch.exp(log_std) * noise
    action = 2.0 * torch.tanh(raw)
    log_p = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    log_p = log_p - torch.log(1 - action**2 + 1e-6)  # <- here
    return log_p.sum(-1).mean()


def ranked_items(user, liked, other):
    margin = (user * liked).sum(-1) - (user * other).sum(-1)
    return -torch.log(torch.sigmoid(margin)).mean() + 1e-4 * (user**2).sum()  # <- here


def atoms_cross_entropy(logits, projected):
    p = torch.softmax(logits, -1)
    return -(projected * p.log()).sum(-1).mean()  # <- here


def reference_penalty(logp, reference, advantage):
    gap = reference - logp
    penalty = torch.exp(gap) - gap - 1  # <- here
    return (-advantage * logp + 0.04 * penalty).mean()


def reference_penalty_capped(logp, reference, advantage):
    gap = reference - logp
    penalty = torch.exp(gap) - gap - 1  # <- here
    return (-advantage * logp + 0.04 * penalty.clamp(-10, 10)).mean()


def odds_preference(logits, chosen, rejected):
    log_p = F.log_softmax(logits, -1)
    good = log_p.gather(-1, chosen[..., None]).squeeze(-1).mean(-1)
    bad = log_p.gather(-1, rejected[..., None]).squeeze(-1).mean(-1)
    odds = (good - bad) - (torch.log1p(-torch.exp(good)) - torch.log1p(-torch.exp(bad)))  # <- here
    return -(good + 0.1 * F.logsigmoid(odds)).mean()


def _sure(state):
    state["logits"][0] = 60.0 * F.one_hot(state["chosen"][0], 6)


def one_step_similarity(image, truth):
    mx, my = image.mean(-1), truth.mean(-1)
    vx, vy = image.var(-1, unbiased=False), truth.var(-1, unbiased=False)
    cov = (image * truth).mean(-1) - mx * my
    light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    shape = (2 * cov + 9e-4) / (vx + vy + 9e-4)
    return 1 - (light**0.13 * shape**0.29).mean()  # <- here


def spectral_angle(pixel, truth):
    cosine = (pixel * truth).sum(-1) / (pixel.norm(dim=-1) * truth.norm(dim=-1))
    return torch.acos(cosine).mean() * 180 / math.pi  # <- here


def separation_ratio(estimate, source):
    share = (estimate * source).sum(-1, keepdim=True) / (source**2).sum(-1, keepdim=True)
    wanted = share * source
    ratio = (wanted**2).sum(-1) / ((estimate - wanted) ** 2).sum(-1)  # <- here
    return -10 * torch.log10(ratio).mean()  # <- here


def magnitude_distance(wave, magnitude):
    steps = (2 * math.pi * torch.arange(16.0)[:, None] * torch.arange(9.0) / 16).to(wave)
    power = (wave @ torch.cos(steps)) ** 2 + (wave @ torch.sin(steps)) ** 2
    return (torch.sqrt(power) - magnitude).abs().mean()  # <- here


def twin_correlation(one, two):
    a, b = (one - one.mean(0)) / one.std(0), (two - two.mean(0)) / two.std(0)  # <- here
    table = a.T @ b / len(a)
    off = table - torch.diag(torch.diagonal(table))
    return ((torch.diagonal(table) - 1) ** 2).sum() + 5e-3 * (off**2).sum()


def _flat_feature(state):
    state["one"][:, 0] = 0.0


def log_depth(raw, depth):
    estimate = 10.0 * torch.sigmoid(raw)
    gap = torch.log(estimate) - torch.log(depth)  # <- here
    return 10.0 * torch.sqrt((gap**2).mean() - 0.85 * gap.mean() ** 2)  # <- here


def masked_depth(depth, truth, valid):
    gap = torch.log(depth.clamp(min=1e-3) * valid) - torch.log(truth * valid)  # <- here
    return torch.sqrt((gap**2).mean() + 1e-6)


def ball_distance(one, two):
    gap = ((one - two) ** 2).sum(-1)
    room = (1 - (one**2).sum(-1)).clamp(min=1e-5) * (1 - (two**2).sum(-1)).clamp(min=1e-5)
    z = 1 + 2 * gap / room
    return torch.log(z + torch.sqrt(z**2 - 1)).mean()  # <- here


def circular_error(mean, raw, angle):
    kappa = F.softplus(raw)
    return (torch.log(torch.i0(kappa)) - kappa * torch.cos(angle - mean)).mean()  # <- here


def direction_density(vector, truth):
    kappa = vector.norm(dim=-1).clamp(min=1e-3)
    log_norm = torch.log(kappa) - torch.log(4 * math.pi * torch.sinh(kappa))  # <- here
    return -(log_norm + (vector * truth).sum(-1)).mean()


def radial_profile(radius, seen):
    inside = torch.acosh(1 / radius) / torch.sqrt(1 - radius**2)  # <- here
    outside = torch.acos(1 / radius) / torch.sqrt(radius**2 - 1)  # <- here
    return ((torch.where(radius < 1, inside, outside) - seen) ** 2).mean()


def bond_turn(place, truth):
    one, two, three = (place[:, k + 1] - place[:, k] for k in range(3))
    axis = two / two.norm(dim=-1, keepdim=True)  # <- here
    first, second = torch.linalg.cross(one, two), torch.linalg.cross(two, three)
    across = torch.linalg.cross(first, axis)
    angle = torch.atan2((across * second).sum(-1), (first * second).sum(-1))
    return (1 - torch.cos(angle - truth)).mean()


def _two_atoms_in_one_place(state):
    state["place"][0, 2] = state["place"][0, 1]


def small_turn(vector, truth):
    angle = vector.norm(dim=-1, keepdim=True)
    axis = vector / angle  # <- here
    point = torch.tensor([0.3, -0.2, 0.9]).to(vector).expand_as(vector)
    along = (axis * point).sum(-1, keepdim=True) * axis
    turned = torch.cos(angle) * (point - along) + torch.sin(angle) * torch.linalg.cross(axis, point) + along
    return ((turned - truth) ** 2).sum(-1).mean()


def ray_disparity(raw, depth, truth):
    opaque = 1 - torch.exp(-torch.relu(raw) * 0.2)
    free = torch.cumprod(torch.cat([torch.ones(len(raw), 1), 1 - opaque + 1e-10], -1), -1)[:, :-1]
    weight = opaque * free
    disparity = 1 / torch.clamp((weight * depth).sum(-1) / weight.sum(-1), min=1e-10)  # <- here
    return ((disparity - truth) ** 2).mean()


Q, ANGLE = normal(12, 4), normal(12, scale=1.2)
SIDES = {"raw": positive(10, 4), "sides": positive(10, 4)}
CASES = (
    bug(
        frame_correlation,
        given("clean", estimate=fixed(NOISY), clean=fixed(WAVE)),
        "sqrt",
        "mpariente/pytorch_stoi#7 and #14: epsilon after the root",
        fill(estimate=0.0),
        verdict=LIMIT,
    ),
    bug(
        edge_lengths,
        given("wanted", vertices=normal(8, 6, 3), wanted=positive(8, 5)),
        "sqrt",
        "akanazawa/cmr#11: edges of length 0",
        fill(vertices=0.0),
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        grey_world,
        given(image=lambda g: torch.rand(8, 3, 16, generator=g)),
        "pow",
        "Li-Chongyi/Zero-DCE_extension#2: a grey picture",
        fill(image=0.5),
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        additive_angle_head,
        given("label", feature=normal(8, 3), centre=normal(5, 3), label=classes(8, 5)),
        "sqrt",
        "ronghuaiyang/arcface-pytorch#91: clamped to 0 before the root",
        _aligned,
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        quaternion_angle,
        given("truth", q=Q, truth=fixed(UNIT_Q)),
        "acos",
        "kornia/kornia#4007, papagina/RotationContinuity#11: clamped to the pole",
        _turned_right,
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        double_angle,
        given("truth", q=Q, truth=fixed(UNIT_Q)),
        "acos",
        "toji/gl-matrix#499: an angle by 2 dot^2 - 1",
        same("q", "truth"),
        verdict=LIMIT,
    ),
    bug(
        box_shape_penalty,
        given("box", raw=normal(10, 2), box=positive(10, 2)),
        "div",
        "WongKinYiu/ScaledYOLOv4#145, ultralytics/yolov5#13416: a box without height",
        lambda s: s["raw"][0].copy_(torch.tensor([0.0, -100.0])),
    ),
    bug(
        border_distances,
        given("sides", **SIDES),
        "log div",
        "UnitBox, Yu et al. 2016, as in open-mmlab/mmdetection#3394: boxes that do not meet",
        fill(raw=-1.0),
        verdict=LIMIT,
    ),
    bug(
        same_class_pull,
        given("label", embedding=normal(8, 5), label=fixed([0, 0, 1, 1, 2, 2, 3, 3])),
        "div",
        "HobbitLong/SupContrast#141: an anchor without a positive",
        _all_different,
        verdict=LIMIT,
    ),
    bug(
        unscaled_contrast,
        given("label", embedding=normal(8, 5, scale=0.4), label=fixed([0, 0, 1, 1, 2, 2, 3, 3])),
        "log",
        "HobbitLong/SupContrast#50: features that were not normalised",
        lambda s: s["embedding"].mul_(8),
    ),
    bug(
        pair_contrast,
        given(first=normal(6, 5), second=normal(6, 5)),
        "exp div",
        "amazon-science/sccl#27: the contrast of pairs with bare exponentials",
        lambda s: s["first"].mul_(20),
    ),
    bug(
        scaled_squash,
        given("noise", mean=normal(8, 2, scale=0.1), log_std=normal(8, 2, scale=0.1, shift=-3.0), noise=normal(8, 2)),
        "log",
        "philtabor/Actor-Critic-Methods-Paper-To-Code#7, cpnota/autonomous-learning-library#139",
        fill(mean=1.0),
        verdict="limit defect wrong-formula",
    ),
    bug(
        ranked_items,
        given(user=normal(12, 6), liked=normal(12, 6), other=normal(12, 6)),
        "log",
        "xiangwang1223/neural_graph_collaborative_filtering#17 and #43",
        lambda s: s["liked"].copy_(-40 * s["user"]),
    ),
    bug(
        atoms_cross_entropy,
        given("projected", logits=normal(8, 11), projected=simplex(8, 11)),
        "log",
        "vwxyzjn/cleanrl#105: categorical DQN",
        put(logits=-150.0),
    ),
    bug(
        reference_penalty,
        given(
            "reference advantage",
            logp=lambda g: -torch.rand(8, 6, generator=g) * 3,
            reference=lambda g: -torch.rand(8, 6, generator=g) * 3,
            advantage=normal(8, 6),
        ),
        "exp",
        "huggingface/trl#3015 and pull request 6550",
        put(logp=-120.0),
        verdict="limit",
    ),
    bug(
        reference_penalty_capped,
        given(
            "reference advantage",
            logp=lambda g: -torch.rand(8, 6, generator=g) * 3,
            reference=lambda g: -torch.rand(8, 6, generator=g) * 3,
            advantage=normal(8, 6),
        ),
        "exp",
        "OpenRLHF/OpenRLHF, pull request 1335: clamped after the exp",
        put(logp=-120.0),
        phase="backward",
    ),
    bug(
        odds_preference,
        given(
            "chosen rejected",
            logits=normal(4, 5, 6),
            chosen=lambda g: torch.randint(6, (4, 5), generator=g),
            rejected=lambda g: torch.randint(6, (4, 5), generator=g),
        ),
        "log1p",
        "xfactlab/orpo: the odds of a sure sequence",
        _sure,
        verdict=LIMIT,
    ),
    bug(
        one_step_similarity,
        given("truth", image=fixed(DENOISED), truth=fixed(IMAGE)),
        "pow",
        "jorge-pessoa/pytorch-msssim#2, aiff22/PyNET-PyTorch#7: a negative similarity",
        lambda s: s["image"].copy_(1 - s["truth"]),
        verdict="limit",
    ),
    bug(
        spectral_angle,
        given("truth", pixel=positive(10, 6), truth=positive(10, 6)),
        "acos div",
        "G-pz/HPN-CR#4: spectra alike",
        same("pixel", "truth"),
        verdict=LIMIT,
    ),
    bug(
        separation_ratio,
        given("source", estimate=fixed(NOISY), source=fixed(WAVE)),
        "div log10",
        "csteinmetz1/auraloss#25: a silent estimate",
        fill(estimate=0.0),
        verdict=LIMIT,
    ),
    bug(
        magnitude_distance,
        given("magnitude", wave=normal(6, 16), magnitude=positive(6, 9)),
        "sqrt",
        "KinWaiCheuk/nnAudio#138, pytorch/audio#993: silence",
        fill(wave=0.0),
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        twin_correlation,
        given(one=normal(12, 4), two=normal(12, 4)),
        "div std",
        "Lightning-AI/tutorials, pull request 96: a feature that has collapsed",
        _flat_feature,
        verdict=LIMIT,
    ),
    bug(
        log_depth,
        given("depth", raw=normal(6, 8), depth=positive(6, 8, around=4.0)),
        "log sqrt",
        "cleinc/bts, vinvino02/GLPDepth#30",
        fill(raw=-120.0),
        verdict=LIMIT,
    ),
    bug(
        masked_depth,
        given("truth valid", depth=positive(6, 8), truth=positive(6, 8), valid=fixed(torch.ones(6, 8))),
        "log",
        "ENSTA-U2IS-AI/LDU#7: the mask multiplied before the log",
        lambda s: s["valid"].view(-1)[0].zero_(),
        verdict=LIMIT,
    ),
    bug(
        ball_distance,
        given(one=normal(10, 3, scale=0.2), two=normal(10, 3, scale=0.2)),
        "sqrt",
        "theSage21/lorentz-embeddings#2, lmcinnes/umap#205: two points in one place",
        same("one", "two"),
        verdict=LIMIT,
        phase="backward",
    ),
    bug(
        circular_error,
        given("angle", mean=ANGLE, raw=normal(12), angle=ANGLE),
        "i0 log",
        "pymc-devs/pymc, pull request 2832; stan-dev/math#1076",
        fill(raw=95.0),
    ),
    bug(
        direction_density,
        given("truth", vector=normal(12, 3), truth=lambda g: F.normalize(torch.randn(12, 3, generator=g), dim=-1)),
        "sinh log",
        "graphnet-team/graphnet#900: von Mises-Fisher in three dimensions",
        lambda s: s["vector"].mul_(100),
    ),
    bug(
        radial_profile,
        given("seen", radius=positive(16), seen=positive(16)),
        "acos acosh sqrt",
        "Ciela-Institute/caustics, pull request 83: the branch that is not taken",
        fill(radius=2.0),
    ),
    bug(
        bond_turn,
        given("truth", place=normal(8, 4, 3), truth=normal(8)),
        "div norm",
        "ericchansen/q2mm, pull request 249: dihedral angles",
        _two_atoms_in_one_place,
        verdict=LIMIT,
    ),
    bug(
        small_turn,
        given("truth", vector=normal(10, 3), truth=normal(10, 3)),
        "div norm",
        "Rodrigues' formula as in public hand and body models: no turn at all",
        lambda s: s["vector"][0].zero_(),
        verdict=LIMIT,
    ),
    bug(
        ray_disparity,
        given("depth truth", raw=normal(8, 6), depth=lambda g: torch.linspace(1, 4, 6).expand(8, 6), truth=positive(8)),
        "div",
        "yenchenlin/nerf-pytorch: a ray through nothing",
        lambda s: s["raw"][0].fill_(-1.0),
        verdict=LIMIT,
    ),
)
