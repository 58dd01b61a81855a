"""Third set, sound: embeddings, ranking, sequences, policies and survival as public code has them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import classes, given, modelled, normal, positive, sound


def small(outputs: int, width: int = 8):
    """Four features, one hidden layer."""
    return lambda: nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))


class Codebook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 3), nn.Linear(3, 4)
        self.codes = nn.Embedding(6, 3)


def quantised(model, batch):
    x, _ = batch
    z = model.encoder(x)
    codes = model.codes.weight
    gap = z.square().sum(-1, keepdim=True) + codes.square().sum(-1) - 2 * z @ codes.t()
    chosen = model.codes(gap.argmin(-1))
    commitment = F.mse_loss(chosen.detach(), z) * 0.25 + F.mse_loss(chosen, z.detach())
    passed = z + (chosen - z).detach()
    return F.mse_loss(model.decoder(passed), x) + commitment


def negative_sampling(centre, context, noise):
    near = F.logsigmoid((centre * context).sum(-1))
    far = F.logsigmoid(-(noise @ centre.unsqueeze(-1)).squeeze(-1)).sum(-1)
    return -(near + far).mean()


def image_and_text(image, text, log_scale):
    image, text = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
    logits = log_scale.exp().clamp(max=100) * image @ text.t()
    labels = torch.arange(len(image))
    return 0.5 * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels))


def pairwise_sigmoid(image, text, log_scale, bias):
    logits = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).t() * log_scale.clamp(max=4.6).exp() + bias
    signs = 2 * torch.eye(len(image)) - 1
    return -F.logsigmoid(signs * logits).sum(-1).mean()


def supervised_contrast(output, target):
    rows = F.normalize(output, dim=-1)
    logits = rows @ rows.t() / 0.1
    logits = logits - logits.max(1, keepdim=True).values.detach()
    other = 1 - torch.eye(len(rows))
    alike = (target.unsqueeze(0) == target.unsqueeze(1)).float() * other
    log_p = logits - torch.log((torch.exp(logits) * other).sum(1, keepdim=True) + 1e-12)
    count = alike.sum(1)
    return -((alike * log_p).sum(1) / torch.where(count < 1, torch.ones_like(count), count)).mean()


def redundancy(one, other):
    a = F.batch_norm(one, None, None, training=True)
    b = F.batch_norm(other, None, None, training=True)
    cross = a.t() @ b / len(a)
    on = (torch.diagonal(cross) - 1).square().sum()
    return on + 5e-3 * (cross.square().sum() - torch.diagonal(cross).square().sum())


def variance_kept(one, other):
    loss = 25 * F.mse_loss(one, other)
    for z in (one, other):
        z = z - z.mean(0)
        std = torch.sqrt(z.var(0) + 1e-4)
        cov = z.t() @ z / (len(z) - 1)
        loss = loss + 25 * F.relu(1 - std).mean() + (cov.square().sum() - torch.diagonal(cov).square().sum()) / 4
    return loss


def triplets(anchor, positive_, negative):
    near = torch.sqrt((anchor - positive_).square().sum(-1) + 1e-8)
    far = torch.sqrt((anchor - negative).square().sum(-1) + 1e-8)
    return F.relu(near - far + 0.5).mean()


def angular_margin(rows, weights, label):
    cosine = F.normalize(rows, dim=-1) @ F.normalize(weights, dim=-1).t()
    sine = torch.sqrt((1 - cosine.square()).clamp(1e-6, 1))
    moved = cosine * math.cos(0.3) - sine * math.sin(0.3)
    hot = F.one_hot(label, weights.shape[0]).float()
    return F.cross_entropy(16 * torch.where(hot > 0, moved, cosine), label)


def own_prediction(online, slow):
    return (2 - 2 * F.cosine_similarity(online, slow.detach(), dim=-1)).mean()


def centred_teacher(output, target):
    teacher = torch.softmax((target - target.mean(0)) / 0.04, -1)
    return -(teacher * torch.log_softmax(output / 0.1, -1)).sum(-1).mean()


def pair_order(output, target):
    gap = output - output.t()
    later = (target > target.t()).float()
    return (later * F.softplus(-gap)).sum() / later.sum().clamp(min=1)


def list_order(output, target):
    order = target.argsort(-1, descending=True)
    ranked = output.gather(-1, order)
    below = torch.logcumsumexp(ranked.flip(-1), -1).flip(-1)
    return (below - ranked).sum(-1).mean()


def kernel_two_sample(one, other):
    rows = torch.cat([one, other])
    gap = (rows.unsqueeze(0) - rows.unsqueeze(1)).square().sum(-1)
    width = gap.detach().mean() + 1e-6
    kernel = sum(torch.exp(-gap / (width * k)) for k in (0.25, 0.5, 1.0, 2.0, 4.0))
    n = len(one)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def transport(one, other):
    cost = (one.unsqueeze(1) - other.unsqueeze(0)).square().sum(-1)
    f, g = torch.zeros(len(one)), torch.zeros(len(other))
    log_a, log_b, eps = -math.log(len(one)), -math.log(len(other)), 0.5
    for _ in range(5):
        f = -eps * torch.logsumexp((g.unsqueeze(0) - cost) / eps + log_b, 1)
        g = -eps * torch.logsumexp((f.unsqueeze(1) - cost) / eps + log_a, 0)
    plan = torch.exp((f.unsqueeze(1) + g.unsqueeze(0) - cost) / eps + log_a + log_b)
    return (plan * cost).sum()


def chain_of_tags(scores, transitions, tags, mask):
    alpha = scores[:, 0]
    gold = scores[:, 0].gather(1, tags[:, :1]).squeeze(1)
    for step in range(1, scores.shape[1]):
        ahead = torch.logsumexp(alpha.unsqueeze(2) + transitions + scores[:, step].unsqueeze(1), 1)
        alpha = torch.where(mask[:, step : step + 1] > 0, ahead, alpha)
        here = scores[:, step].gather(1, tags[:, step : step + 1]).squeeze(1)
        gold = gold + mask[:, step] * (here + transitions[tags[:, step - 1], tags[:, step]])
    return (torch.logsumexp(alpha, -1) - gold).mean()


def hidden_states(start, moves, emissions, seen):
    log_move, log_emit = torch.log_softmax(moves, -1), torch.log_softmax(emissions, -1)
    alpha = torch.log_softmax(start, -1) + log_emit[:, seen[:, 0]].t()
    for step in range(1, seen.shape[1]):
        alpha = torch.logsumexp(alpha.unsqueeze(2) + log_move, 1) + log_emit[:, seen[:, step]].t()
    return -torch.logsumexp(alpha, -1).mean()


def alignment(output, target):
    log_p = torch.log_softmax(output.view(8, 10, 5), -1).transpose(0, 1)
    lengths = torch.full((8,), 10)
    return F.ctc_loss(log_p, target, lengths, torch.full((8,), 3), zero_infinity=True)


def clipped_policy(logits, value, action, old_log_p, advantage, returns):
    log_p = torch.log_softmax(logits, -1)
    chosen = log_p.gather(1, action.unsqueeze(1)).squeeze(1)
    ratio = torch.exp(chosen - old_log_p)
    gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return -gain.mean() + 0.5 * F.mse_loss(value, returns) - 0.01 * entropy.mean()


def squashed_policy(output, target):
    mean, log_std = output[:, :2], output[:, 2:].clamp(-5, 2)
    raw = mean + log_std.exp() * target
    log_p = (-0.5 * target**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
    log_p = log_p - (2 * (math.log(2) - raw - F.softplus(-2 * raw))).sum(-1)
    return (0.2 * log_p - torch.tanh(raw).sum(-1)).mean()


def weighted_imitation(output, target):
    advantage = (target[:, 2:] - output[:, 4:]).detach()
    weight = torch.exp(3 * advantage).clamp(max=100)
    log_std = output[:, 2:4].clamp(-5, 2)
    log_p = -0.5 * ((target[:, :2] - output[:, :2]) * torch.exp(-log_std)) ** 2 - log_std
    return -(weight * log_p.sum(-1, keepdim=True)).mean()


def preference(chosen, rejected, chosen_ref, rejected_ref):
    margin = 0.1 * ((chosen - rejected) - (chosen_ref - rejected_ref))
    return (-0.9 * F.logsigmoid(margin) - 0.1 * F.logsigmoid(-margin)).mean()


def return_quantiles(output, target):
    error = target.unsqueeze(1) - output.unsqueeze(2)
    tau = (torch.arange(output.shape[1]) + 0.5) / output.shape[1]
    huber = torch.where(error.abs() < 1, 0.5 * error**2, error.abs() - 0.5)
    return ((tau.view(1, -1, 1) - (error.detach() < 0).float()).abs() * huber).sum(1).mean()


def return_atoms(output, target):
    return -(torch.softmax(target, -1) * torch.log_softmax(output, -1)).sum(-1).mean()


def risk_sets(output, target):
    order = target[:, 0].argsort(descending=True)
    score, event = output[order, 0], target[order, 1]
    return -((score - torch.logcumsumexp(score, 0)) * event).sum() / (event.sum() + 1e-6)


def risk_sets_shifted(output, target):
    order = target[:, 0].argsort(descending=True)
    score, event = output[order, 0], target[order, 1]
    top = score.max()
    log_sum = (score - top).exp().cumsum(0).add(1e-7).log() + top
    return -((score - log_sum) * event).sum() / event.sum().clamp(min=1)


def interval_hazards(output, target):
    alive = (torch.arange(output.shape[1]) <= target[:, :1]).float()
    died = (torch.arange(output.shape[1]) == target[:, :1]).float() * target[:, 1:]
    return (alive * F.binary_cross_entropy_with_logits(output, died, reduction="none")).sum(1).mean()


def accelerated(output, target):
    shape, scale = F.softplus(output[:, 1]) + 1e-2, output[:, 0]
    z = torch.log(target[:, 0] + 1e-6) - scale
    event = (target[:, 1] > 1).float()
    return -(event * (torch.log(shape) + (shape - 1) * z - scale) - torch.exp((shape * z).clamp(max=20))).mean()


def timed_events(shape):
    """Columns: a time above 0, and 0 or 1."""

    def draw(g):
        return torch.stack(
            [torch.rand(shape, generator=g) * 5 + 0.1, (torch.rand(shape, generator=g) > 0.4).float()], 1
        )

    return draw


def grid_events(shape):
    def draw(g):
        return torch.stack(
            [torch.randint(5, (shape,), generator=g), torch.randint(2, (shape,), generator=g)], 1
        ).float()

    return draw


def prefix_mask(g):
    return (torch.arange(6) < torch.randint(2, 7, (16, 1), generator=g)).float()


PREFERENCES = {k: normal(32, scale=4.0, shift=-20.0) for k in ("chosen", "rejected", "chosen_ref", "rejected_ref")}
POLICY = {
    "logits": normal(32, 4),
    "value": normal(32),
    "action": classes(32, 4),
    "advantage": normal(32),
    "returns": normal(32),
    "old_log_p": normal(32, scale=0.2, shift=-1.4),
}

CASES = (
    sound(
        quantised,
        modelled(Codebook, normal(32, 4), normal(32, 1)),
        "van den Oord et al. 2017, arXiv:1711.00937; public VQ-VAE ports",
    ),
    sound(
        negative_sampling,
        given("", centre=normal(16, 4), context=normal(16, 4), noise=normal(16, 5, 4)),
        "Mikolov et al. 2013; public skip-gram code with logsigmoid",
    ),
    sound(
        image_and_text,
        given("", image=normal(16, 4), text=normal(16, 4), log_scale=normal(shift=2.6, scale=0.1)),
        "github.com/mlfoundations/open_clip, scale clamped at 100",
    ),
    sound(
        pairwise_sigmoid,
        given(
            "",
            image=normal(16, 4),
            text=normal(16, 4),
            log_scale=normal(shift=2.3, scale=0.1),
            bias=normal(shift=-10, scale=0.1),
        ),
        "Zhai et al. 2023, arXiv:2303.15343; open_clip SigLipLoss",
    ),
    sound(
        supervised_contrast,
        modelled(small(4), normal(24, 4), classes(24, 3)),
        "github.com/HobbitLong/SupContrast, losses.py",
    ),
    sound(
        redundancy,
        given("", one=normal(32, 4), other=normal(32, 4)),
        "github.com/facebookresearch/barlowtwins, main.py",
    ),
    sound(
        variance_kept,
        given("", one=normal(32, 4), other=normal(32, 4)),
        "github.com/facebookresearch/vicreg, main_vicreg.py",
    ),
    sound(
        triplets,
        given("", anchor=normal(32, 4), positive_=normal(32, 4), negative=normal(32, 4)),
        "public triplet losses with an epsilon under the root",
    ),
    sound(
        angular_margin,
        given("label", rows=normal(24, 4), weights=normal(5, 4), label=classes(24, 5)),
        "github.com/ronghuaiyang/arcface-pytorch, metrics.py, with the later clamp",
    ),
    sound(
        own_prediction,
        given("slow", online=normal(32, 4), slow=normal(32, 4)),
        "Grill et al. 2020, arXiv:2006.07733; public BYOL ports",
    ),
    sound(
        centred_teacher,
        modelled(small(6), normal(32, 4), normal(32, 6, scale=0.2)),
        "github.com/facebookresearch/dino, DINOLoss",
    ),
    sound(pair_order, modelled(small(1), normal(24, 4), normal(24, 1)), "Burges et al. 2005; public RankNet ports"),
    sound(
        list_order, modelled(small(6), normal(32, 4), normal(32, 6)), "Xia et al. 2008; allRank listMLE in log space"
    ),
    sound(
        kernel_two_sample,
        given("", one=normal(16, 3), other=normal(16, 3, shift=0.5)),
        "github.com/jindongwang/transferlearning, mmd.py",
    ),
    sound(
        transport,
        given("", one=normal(12, 2), other=normal(12, 2, shift=0.5)),
        "github.com/jeanfeydy/geomloss; log-domain Sinkhorn",
    ),
    sound(
        chain_of_tags,
        given(
            "tags mask",
            scores=normal(16, 6, 4),
            transitions=normal(4, 4),
            tags=lambda g: torch.randint(4, (16, 6), generator=g),
            mask=prefix_mask,
        ),
        "github.com/kmkurn/pytorch-crf; POSTagger, algorithms.py",
    ),
    sound(
        hidden_states,
        given(
            "seen",
            start=normal(3),
            moves=normal(3, 3),
            emissions=normal(3, 5),
            seen=lambda g: torch.randint(5, (16, 6), generator=g),
        ),
        "Rabiner 1989; public log-space HMM code",
    ),
    sound(
        alignment,
        modelled(small(50), normal(8, 4), lambda g: torch.randint(1, 5, (8, 3), generator=g)),
        "PyTorch documentation, CTCLoss with zero_infinity",
    ),
    sound(
        clipped_policy,
        given("action old_log_p advantage returns", **POLICY),
        "Schulman et al. 2017, arXiv:1707.06347; CleanRL ppo.py",
    ),
    sound(
        squashed_policy,
        modelled(small(4), normal(32, 4), normal(32, 2)),
        "github.com/openai/spinningup, sac core.py; softplus form of the tanh correction",
    ),
    sound(
        weighted_imitation,
        modelled(small(5), normal(32, 4), normal(32, 3)),
        "github.com/ikostrikov/implicit_q_learning: exp advantage clipped at 100",
    ),
    sound(
        preference,
        given("chosen_ref rejected_ref", **PREFERENCES),
        "Rafailov et al. 2023, arXiv:2305.18290; reference DPO code with label smoothing",
    ),
    sound(
        return_quantiles,
        modelled(small(5), normal(32, 4), normal(32, 5)),
        "Dabney et al. 2018, arXiv:1710.10044; public QR-DQN ports",
    ),
    sound(
        return_atoms,
        modelled(small(6), normal(32, 4), normal(32, 6)),
        "Bellemare et al. 2017, arXiv:1707.06887; public C51 ports",
    ),
    sound(
        risk_sets,
        modelled(small(1), normal(32, 4), timed_events(32)),
        "public Cox losses by logcumsumexp with an epsilon on the events",
    ),
    sound(
        risk_sets_shifted,
        modelled(small(1), normal(32, 4), timed_events(32)),
        "github.com/havakv/pycox, cox_ph_loss_sorted",
    ),
    sound(
        interval_hazards,
        modelled(small(5), normal(32, 4), grid_events(32)),
        "Kvamme & Borgan 2019, arXiv:1910.06724; pycox nll_logistic_hazard",
    ),
    sound(
        accelerated,
        modelled(small(2), normal(32, 4), positive(32, 2)),
        "Weibull AFT heads in public code, exponent clamped",
    ),
)
