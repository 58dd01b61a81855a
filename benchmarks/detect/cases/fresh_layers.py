"""Third set, sound: detection, images, audio, graphs and normalised layers as public code has them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from benchmarks.detect.case import bits, classes, given, modelled, normal, sound, unit


def small(outputs: int, width: int = 8):
    """Four features, one hidden layer."""
    return lambda: nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))


def cross_entropy(output, target):
    return F.cross_entropy(output, target)


def binary_focus(output, target):
    p = torch.sigmoid(output)
    entropy = F.binary_cross_entropy_with_logits(output, target, reduction="none")
    right = p * target + (1 - p) * (1 - target)
    weight = 0.25 * target + 0.75 * (1 - target)
    return (weight * (1 - right) ** 2 * entropy).mean()


def class_focus(output, target):
    log_p = torch.log_softmax(output, -1).gather(1, target.unsqueeze(1))
    return -((1 - log_p.exp()) ** 2 * log_p).mean()


def corners(raw):
    size = F.softplus(raw)
    return -size[:, 0], -size[:, 1], size[:, 2], size[:, 3]


def enclosed_boxes(output, target):
    left, top, right, bottom = corners(output)
    a, b, c, d = corners(target)
    inner = (torch.minimum(right, c) - torch.maximum(left, a)).clamp(min=0)
    inner = inner * (torch.minimum(bottom, d) - torch.maximum(top, b)).clamp(min=0)
    union = (right - left) * (bottom - top) + (c - a) * (d - b) - inner + 1e-7
    hull = (torch.maximum(right, c) - torch.minimum(left, a)) * (torch.maximum(bottom, d) - torch.minimum(top, b))
    hull = hull + 1e-7
    return (1 - inner / union + (hull - union) / hull).mean()


def complete_boxes(output, target):
    centre, size = output[:, :2], (2 * torch.sigmoid(output[:, 2:])) ** 2
    aim, extent = target[:, :2], target[:, 2:]
    low, high = torch.maximum(centre - size / 2, aim - extent / 2), torch.minimum(centre + size / 2, aim + extent / 2)
    inner = (high - low).clamp(min=0).prod(-1)
    overlap = inner / (size.prod(-1) + extent.prod(-1) - inner + 1e-7)
    hull = torch.maximum(centre + size / 2, aim + extent / 2) - torch.minimum(centre - size / 2, aim - extent / 2)
    away = (centre - aim).square().sum(-1) / (hull.square().sum(-1) + 1e-7)
    shape = torch.atan(extent[:, 0] / (extent[:, 1] + 1e-7)) - torch.atan(size[:, 0] / (size[:, 1] + 1e-7))
    v = 4 / math.pi**2 * shape**2
    trade = (v / (v - overlap + 1 + 1e-7)).detach()
    return (1 - overlap + away + trade * v).mean()


def structure(output, truth):
    def local(image):
        return F.avg_pool2d(image, 3, 1)

    mu_x, mu_y = local(output), local(truth)
    var_x = local(output * output) - mu_x**2
    var_y = local(truth * truth) - mu_y**2
    cov = local(output * truth) - mu_x * mu_y
    top = (2 * mu_x * mu_y + 1e-4) * (2 * cov + 9e-4)
    return (1 - top / ((mu_x**2 + mu_y**2 + 1e-4) * (var_x + var_y + 9e-4))).clamp(0, 2).mean() / 2


def spectra(output, target):
    time = torch.arange(8.0).unsqueeze(1) * torch.arange(5.0) * (2 * math.pi / 8)
    time = time.to(output)

    def magnitude(wave):
        frames = wave.unfold(-1, 8, 4)
        power = (frames @ torch.cos(time)) ** 2 + (frames @ torch.sin(time)) ** 2
        return torch.sqrt(power.clamp(min=1e-7))

    x, y = magnitude(output), magnitude(target)
    return torch.norm(y - x) / (torch.norm(y) + 1e-7) + (x.log() - y.log()).abs().mean()


def two_passes(output, target):
    first, second = output.chunk(2, -1)
    p, q = torch.log_softmax(first, -1), torch.log_softmax(second, -1)
    both = F.kl_div(p, q, reduction="batchmean", log_target=True) + F.kl_div(
        q, p, reduction="batchmean", log_target=True
    )
    return F.cross_entropy(first, target) + F.cross_entropy(second, target) + 0.5 * both


def distilled(output, target):
    soft = torch.softmax(target / 4, -1)
    return 16 * F.kl_div(torch.log_softmax(output / 4, -1), soft, reduction="batchmean")


def smoothed_labels(output, target):
    log_p = torch.log_softmax(output, -1)
    right = -log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return (0.9 * right - 0.1 * log_p.mean(-1)).mean()


def middle_distribution(output, target):
    p, q = torch.log_softmax(output, -1), torch.log_softmax(target, -1)
    middle = torch.logaddexp(p, q) - math.log(2)
    return 0.5 * ((p.exp() * (p - middle)).sum(-1) + (q.exp() * (q - middle)).sum(-1)).mean()


def ranks(output, target):
    levels = (torch.arange(output.shape[1]) < target.unsqueeze(1)).float()
    sure = F.logsigmoid(output)
    return -(levels * sure + (1 - levels) * (sure - output)).sum(1).mean()


def conditional_ranks(output, target):
    loss, count = 0.0, 0.0
    for k in range(output.shape[1]):
        reached, above = (target > k - 1).float(), (target > k).float()
        sure = F.logsigmoid(output[:, k])
        loss = loss - (reached * (above * sure + (1 - above) * (sure - output[:, k]))).sum()
        count = count + reached.sum()
    return loss / count


def soft_overlap(output, truth):
    p = torch.sigmoid(output).flatten(1)
    y = truth.flatten(1)
    return (1 - (2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()


def focal_overlap(output, truth):
    p = torch.sigmoid(output)
    hit, extra, missed = (p * truth).sum(), (p * (1 - truth)).sum(), ((1 - p) * truth).sum()
    return (1 - (hit + 1) / (hit + 0.3 * extra + 0.7 * missed + 1)) ** (4 / 3)


def soft_absolute(output, target):
    gap = output - target
    return (gap + F.softplus(-2 * gap) - math.log(2)).mean()


def rooted(output, target):
    return torch.sqrt((output - target).square() + 1e-6).mean()


def pseudo_huber(output, target):
    return (torch.sqrt((output - target).square().sum(-1) + 0.03**2) - 0.03).mean()


def normed_logits(output, target):
    return F.cross_entropy(output / (output.norm(dim=-1, keepdim=True) + 1e-7) / 0.04, target)


def routed(output, target):
    logits, router = output[:, :3], output[:, 3:]
    share = torch.softmax(router, -1)
    load = F.one_hot(router.argmax(-1), share.shape[-1]).float().mean(0)
    balance = share.shape[-1] * (load * share.mean(0)).sum()
    return F.cross_entropy(logits, target) + 0.01 * balance + 1e-3 * torch.logsumexp(router, -1).square().mean()


def denoised(output, target):
    ratio = torch.exp(torch.linspace(4, -4, len(output)))
    return (torch.minimum(ratio, torch.tensor(5.0)) / ratio * (output - target).square().mean(-1)).mean()


def saturating_critic(output, target):
    return (target * F.softplus(-output) + (1 - target) * F.softplus(output)).mean()


def hinge_critic(output, target):
    return (target * F.relu(1 - output) + (1 - target) * F.relu(1 + output)).mean()


def smooth_critic(model, batch):
    x, y = batch
    x = x.detach().requires_grad_(True)
    score = model(x)
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    length = torch.sqrt(slope.square().sum(-1) + 1e-12)
    return (score * y).mean() + 10 * (length - 1).square().mean()


class Attention(nn.Module):
    """One causal self-attention layer over embedded tokens, pre-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(7, 8), nn.LayerNorm(8)
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 7)

    def forward(self, tokens):
        h = self.embed(tokens)
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        scores = q @ k.transpose(1, 2) / math.sqrt(8)
        later = torch.triu(torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool), 1)
        return self.head(h + torch.softmax(scores.masked_fill(later, -math.inf), -1) @ v)


def next_token(output, target):
    return F.cross_entropy(output.flatten(0, 1), target.flatten(), ignore_index=-100)


class Pooled(nn.Module):
    """Attention pooling in which a 0 as first feature marks padding."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.head = nn.Linear(4, 1), nn.Linear(4, 3)

    def forward(self, x):
        absent = (x[..., :1] < -1.5).float()
        weight = torch.softmax(self.score(x) - 1e9 * absent, 1)
        return self.head((weight * x).sum(1))


SOURCE = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 0, 5, 6, 7, 4])
SINK = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7])


class GraphLayer(nn.Module):
    """Attention over the edges of a small graph with self-loops, softmax by scatter."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.score, self.head = nn.Linear(4, 6), nn.Linear(12, 1), nn.Linear(6, 3)

    def forward(self, x):
        h = self.body(x)
        raw = F.leaky_relu(self.score(torch.cat([h[SINK], h[SOURCE]], -1)).squeeze(-1), 0.2)
        top = raw.new_full((8,), -math.inf).scatter_reduce(0, SINK, raw.detach(), "amax")
        e = torch.exp(raw - top[SINK])
        share = e / (raw.new_zeros(8).index_add(0, SINK, e)[SINK] + 1e-16)
        return self.head(F.elu(raw.new_zeros(8, 6).index_add(0, SINK, share.unsqueeze(-1) * h[SOURCE])))


class Convolved(nn.Module):
    """Symmetric normalisation of a fixed graph with self-loops."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        link = x.new_zeros(8, 8).index_put((SINK, SOURCE), x.new_ones(16))
        root = link.sum(1).pow(-0.5)
        root = root.masked_fill(torch.isinf(root), 0.0)
        return self.head(F.relu((root.unsqueeze(1) * link * root) @ self.body(x)))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        first = (nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.net = nn.Sequential(*first, nn.Linear(8, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3))

    def forward(self, x):
        return self.net(x)


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.AdaptiveAvgPool1d(1))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.net(x.unsqueeze(1)).squeeze(-1))


class RootMean(nn.Module):
    """RMSNorm and a SwiGLU unit."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.up, self.head = nn.Linear(4, 6), nn.Linear(6, 12), nn.Linear(6, 3)
        self.gain = nn.Parameter(torch.ones(6))

    def forward(self, x):
        h = self.body(x)
        h = self.gain * h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)
        a, b = self.up(h).chunk(2, -1)
        return self.head(F.silu(a) * b)


class Lengthened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = parametrizations.weight_norm(nn.Linear(4, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def tokens(*shape: int):
    return lambda g: torch.randint(7, shape, generator=g)


FEATURES, LABELS, GRAPH = normal(32, 4), classes(32, 3), normal(8, 4)

CASES = (
    sound(
        binary_focus,
        modelled(small(2), FEATURES, bits(32, 2)),
        "github.com/facebookresearch/fvcore, sigmoid_focal_loss",
    ),
    sound(class_focus, modelled(small(3), FEATURES, LABELS), "public multi-class focal losses on log_softmax"),
    sound(
        enclosed_boxes,
        modelled(small(4), FEATURES, normal(32, 4)),
        "fvcore giou_loss with eps 1e-7, boxes from FCOS distances",
    ),
    sound(
        complete_boxes, modelled(small(4), FEATURES, unit(32, 4)), "github.com/ultralytics/yolov5, bbox_iou(CIoU=True)"
    ),
    sound(
        structure,
        given("truth", output=unit(4, 1, 8, 8), truth=unit(4, 1, 8, 8)),
        "github.com/nianticlabs/monodepth2, layers.py SSIM",
    ),
    sound(
        spectra,
        modelled(small(24), normal(16, 4), normal(16, 24)),
        "github.com/kan-bayashi/ParallelWaveGAN, stft_loss.py",
    ),
    sound(
        two_passes, modelled(small(6), FEATURES, LABELS), "Liang et al. 2021, arXiv:2106.14448; R-Drop reference code"
    ),
    sound(
        distilled,
        modelled(small(3), FEATURES, normal(32, 3, scale=3.0)),
        "Hinton et al. 2015, arXiv:1503.02531; public distillation code",
    ),
    sound(smoothed_labels, modelled(small(3), FEATURES, LABELS), "timm LabelSmoothingCrossEntropy"),
    sound(
        middle_distribution,
        modelled(small(3), FEATURES, normal(32, 3)),
        "public Jensen-Shannon consistency code by logaddexp",
    ),
    sound(
        ranks,
        modelled(small(4), FEATURES, classes(32, 5)),
        "github.com/Raschka-research-group/coral-pytorch, coral_loss",
    ),
    sound(conditional_ranks, modelled(small(4), FEATURES, classes(32, 5)), "coral-pytorch, corn_loss"),
    sound(
        soft_overlap,
        given("truth", output=normal(8, 5, 5), truth=bits(8, 5, 5)),
        "github.com/MIC-DKFZ/nnUNet, SoftDiceLoss with smooth 1",
    ),
    sound(
        focal_overlap,
        given("truth", output=normal(8, 5, 5), truth=bits(8, 5, 5)),
        "Abraham & Khan 2018, arXiv:1810.07842, focal Tversky",
    ),
    sound(soft_absolute, modelled(small(2), FEATURES, normal(32, 2)), "Keras logcosh, PyTorch ports"),
    sound(rooted, modelled(small(2), FEATURES, normal(32, 2)), "Charbonnier loss of public restoration code"),
    sound(pseudo_huber, modelled(small(3), FEATURES, normal(32, 3)), "Song & Dhariwal 2023, arXiv:2310.14189"),
    sound(normed_logits, modelled(small(3), FEATURES, LABELS), "github.com/hongxin001/logitnorm_ood, LogitNormLoss"),
    sound(
        routed, modelled(small(7), FEATURES, LABELS), "Zoph et al. 2022, arXiv:2202.08906: balance and router z-loss"
    ),
    sound(denoised, modelled(small(3), FEATURES, normal(32, 3)), "Hang et al. 2023, arXiv:2303.09556, min-SNR weights"),
    sound(
        saturating_critic, modelled(small(1), FEATURES, bits(32, 1)), "github.com/NVlabs/stylegan2-ada-pytorch, loss.py"
    ),
    sound(
        hinge_critic,
        modelled(
            lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 6)), nn.ReLU(), nn.Linear(6, 1)),
            FEATURES,
            bits(32, 1),
        ),
        "Miyato et al. 2018, arXiv:1802.05957; torch's spectral_norm",
    ),
    sound(
        smooth_critic,
        modelled(small(1), FEATURES, lambda g: torch.randn(32, 1, generator=g).sign()),
        "public WGAN-GP code with 1e-12 under the root",
    ),
    sound(
        next_token, modelled(Attention, tokens(8, 6), tokens(8, 6)), "public GPT code: masked_fill(-inf) and softmax"
    ),
    sound(
        cross_entropy,
        modelled(Pooled, normal(16, 5, 4), classes(16, 3)),
        "public attention pooling with -1e9 on padding",
    ),
    sound(
        cross_entropy,
        modelled(GraphLayer, GRAPH, classes(8, 3)),
        "github.com/pyg-team/pytorch_geometric, utils softmax and GATConv",
    ),
    sound(cross_entropy, modelled(Convolved, GRAPH, classes(8, 3)), "pytorch_geometric gcn_norm with self-loops"),
    sound(cross_entropy, modelled(Normed, FEATURES, LABELS), "PyTorch documentation, BatchNorm1d and LayerNorm"),
    sound(cross_entropy, modelled(Grouped, normal(16, 12), classes(16, 3)), "PyTorch documentation, GroupNorm"),
    sound(cross_entropy, modelled(RootMean, FEATURES, LABELS), "Zhang & Sennrich 2019; LLaMA reference code"),
    sound(cross_entropy, modelled(Lengthened, FEATURES, LABELS), "torch.nn.utils.parametrizations.weight_norm"),
)
