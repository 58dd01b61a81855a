"""More programs with a bug and its repair: generators, embeddings, attention, memory, policies. Written before the
tool was run on them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, classes, given, modelled, normal, onehot, scale, unit
from benchmarks.detect.cases.categorical import GRIST
from benchmarks.detect.cases.unseen_tutorials import DEBAR, EITHER, both, by

# ---- generative adversarial networks ------------------------------------------------------------------------------


class VanillaGAN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g1, self.g2 = nn.Linear(3, 6), nn.Linear(6, 5)
        self.d1, self.d2 = nn.Linear(5, 6), nn.Linear(6, 1)

    def score(self, x):
        return self.d2(torch.relu(self.d1(x)))

    def forward(self, z, x):
        fake = torch.sigmoid(self.g2(torch.relu(self.g1(z))))
        return self.score(x), self.score(fake)


def discriminator_loss(model, batch):
    z, x = batch
    real, fake = map(torch.sigmoid, model(z, x))
    return -torch.mean(torch.log(real) + torch.log(1.0 - fake))  # <- here


def discriminator_loss_logits(model, batch):
    z, x = batch
    real, fake = model(z, x)
    return F.binary_cross_entropy_with_logits(real, torch.ones_like(real)) + F.binary_cross_entropy_with_logits(
        fake, torch.zeros_like(fake)
    )


def generator_loss(model, batch):
    z, x = batch
    _, fake = map(torch.sigmoid, model(z, x))
    return -torch.mean(torch.log(fake))  # <- here


def generator_loss_eps(model, batch):
    z, x = batch
    _, fake = map(torch.sigmoid, model(z, x))
    return -torch.mean(torch.log(fake + 1e-8))


class Pix2Pix(nn.Module):
    """A conditional critic sees source and picture together."""

    def __init__(self) -> None:
        super().__init__()
        self.generate, self.critic = nn.Linear(4, 4), nn.Sequential(nn.Linear(8, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))

    def forward(self, source, target):
        made = torch.tanh(self.generate(source))
        real = torch.sigmoid(self.critic(torch.cat([source, target], 1)))
        fake = torch.sigmoid(self.critic(torch.cat([source, made], 1)))
        return made, real, fake


def pix2pix(model, batch):
    made, real, fake = model(*batch)
    critic = torch.mean(-(torch.log(real) + torch.log(1 - fake)))  # <- here
    return critic + 100 * torch.mean(torch.abs(batch[1] - made))


def pix2pix_eps(model, batch):
    made, real, fake = model(*batch)
    critic = torch.mean(-(torch.log(real + 1e-12) + torch.log(1 - fake + 1e-12)))
    return critic + 100 * torch.mean(torch.abs(batch[1] - made))


# ---- embeddings and distances -------------------------------------------------------------------------------------


class SkipGram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centre, self.context = nn.Parameter(0.5 * torch.randn(9, 4)), nn.Parameter(0.5 * torch.randn(9, 4))

    def forward(self, words):
        return self.centre[words]


def negative_sampling(model, batch):
    words, others = batch
    v, u = model(words), model.context
    good = torch.log(torch.sigmoid((v * u[others[:, 0]]).sum(1)))  # <- here
    bad = torch.log(torch.sigmoid(-(v[:, None] * u[others[:, 1:]]).sum(2))).sum(1)  # <- here
    return -(good + bad).mean()


def negative_sampling_logsigmoid(model, batch):
    words, others = batch
    v, u = model(words), model.context
    good = F.logsigmoid((v * u[others[:, 0]]).sum(1))
    bad = F.logsigmoid(-(v[:, None] * u[others[:, 1:]]).sum(2)).sum(1)
    return -(good + bad).mean()


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def siamese(model, batch):
    pair, label = batch
    a, b = model(pair[:, 0]), model(pair[:, 1])
    distance = torch.sqrt(torch.sum((a - b) ** 2, dim=1))  # <- here
    return torch.mean(label * distance**2 + (1 - label) * torch.relu(1.0 - distance) ** 2)


def siamese_eps(model, batch):
    pair, label = batch
    a, b = model(pair[:, 0]), model(pair[:, 1])
    distance = torch.sqrt(torch.sum((a - b) ** 2, dim=1) + 1e-6)
    return torch.mean(label * distance**2 + (1 - label) * torch.relu(1.0 - distance) ** 2)


def face_triplet(model, batch):
    e = model(batch[0])
    e = e / torch.sqrt(torch.sum(e**2, dim=-1, keepdim=True))  # <- here
    near, far = ((e[:, 0] - e[:, 1]) ** 2).sum(1), ((e[:, 0] - e[:, 2]) ** 2).sum(1)
    return torch.relu(near - far + 0.2).mean()


def face_triplet_eps(model, batch):
    e = model(batch[0])
    e = e * torch.rsqrt(torch.clamp(torch.sum(e**2, dim=-1, keepdim=True), min=1e-12))
    near, far = ((e[:, 0] - e[:, 1]) ** 2).sum(1), ((e[:, 0] - e[:, 2]) ** 2).sum(1)
    return torch.relu(near - far + 0.2).mean()


class Map(nn.Module):
    """A self-organising map: units on a grid, pulled towards the inputs near the winner."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Parameter(0.9 * torch.randn(6, 4))
        self.register_buffer("place", torch.arange(6.0))

    def distance(self, x):
        return torch.sqrt(torch.sum((x[:, None] - self.units) ** 2, -1))  # <- here

    def forward(self, x):
        d = self.distance(x)
        winner = d.argmin(1)
        near = torch.exp(-((self.place[winner][:, None] - self.place) ** 2) / 2.0)
        return (near * d).sum(1)


class MapEps(Map):
    def distance(self, x):
        return torch.sqrt(torch.sum((x[:, None] - self.units) ** 2, -1) + 1e-8)


def quantisation(output, target):
    return output.mean()


def unit_at_row(state):
    state["units"][0] = state["inputs"][0]


class Capsules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def squash(self, s):
        square = (s**2).sum(-1, keepdim=True)
        return square / (1 + square) * s / torch.sqrt(square)  # <- here

    def forward(self, x):
        return self.head(self.squash(torch.relu(self.body(x)).view(-1, 2, 3)).flatten(1))


class CapsulesEps(Capsules):
    def squash(self, s):
        square = (s**2).sum(-1, keepdim=True)
        return square / (1 + square) * s / torch.sqrt(square + 1e-9)


def plain_entropy(logits, y):
    return F.cross_entropy(logits, y)


def unhinged(state):
    state["body.weight"].zero_()
    state["body.bias"].fill_(-1)


# ---- attention and memory -----------------------------------------------------------------------------------------


class Addressing(nn.Module):
    """The head of a neural Turing machine: content, then sharpening."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.gamma, self.out = nn.Linear(4, 3), nn.Linear(4, 1), nn.Linear(3, 3)
        self.memory = nn.Parameter(torch.randn(5, 3))

    def sharpen(self, content, gamma):
        w = torch.softmax(content, -1) ** gamma
        return w / w.sum(-1, keepdim=True)  # <- here

    def forward(self, x):
        content = F.cosine_similarity(self.key(x)[:, None], self.memory, dim=-1)
        w = self.sharpen(content, 1 + F.softplus(self.gamma(x)))
        return self.out(w @ self.memory)


class AddressingLogs(Addressing):
    def sharpen(self, content, gamma):
        return torch.softmax(gamma * torch.log_softmax(content, -1), -1)


def attended(h, w, v, out, mask, y):
    e = torch.exp(torch.tanh(h @ w) @ v) * mask
    a = e / e.sum(1, keepdim=True)  # <- here
    return F.cross_entropy((a[..., None] * h).sum(1) @ out, y)


def attended_eps(h, w, v, out, mask, y):
    e = torch.exp(torch.tanh(h @ w) @ v) * mask
    a = e / (e.sum(1, keepdim=True) + 1e-5)
    return F.cross_entropy((a[..., None] * h).sum(1) @ out, y)


# ---- bare losses of programs --------------------------------------------------------------------------------------


def sequence_loss(logits, words, mask):
    ce = F.cross_entropy(logits.transpose(1, 2), words, reduction="none")
    return (ce * mask).sum() / mask.sum()  # <- here


def sequence_loss_bounded(logits, words, mask):
    ce = F.cross_entropy(logits.transpose(1, 2), words, reduction="none")
    return (ce * mask).sum() / mask.sum().clamp(min=1.0)


def segmentation(logits, labels):
    keep = (labels != 0).float()
    ce = F.cross_entropy(logits, labels, reduction="none") * keep
    return ce.sum() / keep.sum()  # <- here


def segmentation_bounded(logits, labels):
    keep = (labels != 0).float()
    ce = F.cross_entropy(logits, labels, reduction="none") * keep
    return ce.sum() / (keep.sum() + 1e-5)


def cartpole(logits, action, advantage):
    chosen = (torch.softmax(logits, 1) * action).sum(1)
    return -(torch.log(chosen) * advantage).mean()  # <- here


def cartpole_clipped(logits, action, advantage):
    chosen = (torch.softmax(logits, 1) * action).sum(1).clamp(1e-8, 1.0)
    return -(torch.log(chosen) * advantage).mean()


def actor_critic(logits, value, action, returns):
    p = torch.softmax(logits, 1)
    gain = torch.log((p * action).sum(1)) * (returns - value).detach()  # <- here
    entropy = -(p * torch.log(p)).sum(1)  # <- here
    return -(gain + 0.01 * entropy).mean() + 0.5 * ((returns - value) ** 2).mean()


def actor_critic_floor(logits, value, action, returns):
    p = torch.softmax(logits, 1)
    gain = torch.log(torch.clamp((p * action).sum(1), min=1e-20)) * (returns - value).detach()
    entropy = -(p * torch.log(torch.clamp(p, min=1e-20))).sum(1)
    return -(gain + 0.01 * entropy).mean() + 0.5 * ((returns - value) ** 2).mean()


def gaussian_policy(mu, raw, action, advantage):
    sigma = F.softplus(raw) + 0.1
    pdf = torch.exp(-((action - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    return -(torch.log(pdf) * advantage).mean()  # <- here


def gaussian_policy_logs(mu, raw, action, advantage):
    sigma = F.softplus(raw) + 0.1
    log_pdf = -((action - mu) ** 2) / (2 * sigma**2) - torch.log(sigma) - 0.5 * math.log(2 * math.pi)
    return -(log_pdf * advantage).mean()


def chain_likelihood(emission, transition, tags):
    rows = torch.arange(tags.shape[0])
    e, t = torch.exp(emission), torch.exp(transition)  # <- here
    alpha, gold = e[:, 0], emission[rows, 0, tags[:, 0]]
    for i in range(1, emission.shape[1]):
        alpha = (alpha @ t) * e[:, i]  # <- here
        gold = gold + transition[tags[:, i - 1], tags[:, i]] + emission[rows, i, tags[:, i]]
    return (torch.log(alpha.sum(1)) - gold).mean()  # <- here


def chain_likelihood_logs(emission, transition, tags):
    rows = torch.arange(tags.shape[0])
    alpha, gold = emission[:, 0], emission[rows, 0, tags[:, 0]]
    for i in range(1, emission.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + transition, 1) + emission[:, i]
        gold = gold + transition[tags[:, i - 1], tags[:, i]] + emission[rows, i, tags[:, i]]
    return (torch.logsumexp(alpha, 1) - gold).mean()


def distill(student, teacher):
    p, q = torch.softmax(teacher / 2.0, 1), torch.softmax(student / 2.0, 1)
    return (p * torch.log(p / q)).sum(1).mean()  # <- here


def distill_logs(student, teacher):
    p, log_p = torch.softmax(teacher / 2.0, 1), torch.log_softmax(teacher / 2.0, 1)
    return (p * (log_p - torch.log_softmax(student / 2.0, 1))).sum(1).mean()


def to_logits(p, y):
    logits = torch.log(p / (1 - p))  # <- here
    return F.binary_cross_entropy_with_logits(logits, y)


def probability_loss(raw, y):
    return to_logits(torch.sigmoid(raw), y)


def probability_loss_clipped(raw, y):
    p = torch.sigmoid(raw).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy_with_logits(torch.log(p / (1 - p)), y)


def overlap(raw, mask):
    p = torch.sigmoid(raw)
    return 1 - (2 * (p * mask).sum(1) / (p.sum(1) + mask.sum(1))).mean()  # <- here


def overlap_smooth(raw, mask):
    p = torch.sigmoid(raw)
    return 1 - ((2 * (p * mask).sum(1) + 1) / (p.sum(1) + mask.sum(1) + 1)).mean()


def variation(image, photo):
    dx, dy = image[:, 1:, :-1] - image[:, :-1, :-1], image[:, :-1, 1:] - image[:, :-1, :-1]
    tv = torch.sqrt(dx**2 + dy**2).sum((1, 2))  # <- here
    return ((image - photo) ** 2).mean() + 0.01 * tv.mean()


def variation_eps(image, photo):
    dx, dy = image[:, 1:, :-1] - image[:, :-1, :-1], image[:, :-1, 1:] - image[:, :-1, :-1]
    tv = torch.sqrt(dx**2 + dy**2 + 1e-8).sum((1, 2))
    return ((image - photo) ** 2).mean() + 0.01 * tv.mean()


def rank_pairs(left, right):
    return torch.log(1 + torch.exp(right - left)).mean()  # <- here


def rank_pairs_softplus(left, right):
    return F.softplus(right - left).mean()


def drop_mask(state):
    state["mask"].zero_()


def flat_image(state):
    state["image"].zero_()


def twin_rows(state):
    state["inputs"][:, 1] = state["inputs"][:, 0]


def dead_code(state):
    state["head.weight"].zero_()
    state["head.bias"].zero_()


def one_step_mask(state):
    state["mask"][0].zero_()


Z, PICTURES = normal(10, 3), unit(10, 5)
LOGITS, ACTION = normal(10, 4), onehot(10, 4)
SEQUENCE = {"logits": normal(4, 5, 6), "words": lambda g: torch.randint(6, (4, 5), generator=g)}
MASK = lambda g: (torch.arange(5) < torch.tensor([5, 3, 4, 2])[:, None]).float()  # noqa: E731
TAGS = {
    "emission": normal(4, 5, 3),
    "transition": normal(3, 3),
    "tags": lambda g: torch.randint(3, (4, 5), generator=g),
}
GAN = modelled(VanillaGAN, Z, PICTURES)
CASES = (
    *both(discriminator_loss, discriminator_loss_logits, GAN, "log sub", GRIST + ": vanilla GAN", by("d2.weight",
        3000)),
    *both(generator_loss, generator_loss_eps, GAN, "log", GRIST + ": vanilla GAN, generator",
          lambda s: s["d2.bias"].fill_(-200)),
    *both(pix2pix, pix2pix_eps, modelled(Pix2Pix, normal(8, 4), normal(8, 4)), "log sub", GRIST + ": conditional GAN",
          by("critic.2.weight", 3000)),
    *both(negative_sampling, negative_sampling_logsigmoid,
          modelled(SkipGram, lambda g: torch.arange(8), lambda g: torch.randint(9, (8, 4), generator=g)), "log",
          GRIST + ": word2vec", by("context", 1000)),
    *both(siamese, siamese_eps, modelled(Tower, normal(8, 2, 4), bits(8)), "sqrt", GRIST + ": siamese network",
          twin_rows, verdict=EITHER),
    *both(face_triplet, face_triplet_eps, modelled(Tower, normal(8, 3, 4), normal(8)), "div sqrt",
          DEBAR + ": triplet embedding", dead_code, verdict=EITHER),
    *both(quantisation, quantisation, modelled(Map, normal(8, 4), normal(8)), "sqrt", GRIST + ": self-organising map",
          unit_at_row, modelled(MapEps, normal(8, 4), normal(8)), where=(Map,), verdict=EITHER),
    *both(plain_entropy, plain_entropy, modelled(Capsules, normal(10, 4), classes(10, 3)), "div sqrt",
          "Sabour et al., Dynamic routing between capsules, NeurIPS 2017, eq. 1; " + DEBAR, unhinged,
          modelled(CapsulesEps, normal(10, 4), classes(10, 3)), where=(Capsules,), verdict=EITHER),
    *both(plain_entropy, plain_entropy, modelled(Addressing, normal(10, 4), classes(10, 3)), "div pow",
          "Graves et al., Neural Turing machines, arXiv:1410.5401, eq. 9; " + GRIST,
          lambda s: s["gamma.bias"].fill_(150), modelled(AddressingLogs, normal(10, 4), classes(10, 3)),
          where=(Addressing,)),
    *both(attended, attended_eps, given(h=normal(4, 5, 4), w=normal(4, 6), v=normal(6), out=normal(4, 3), mask=MASK,
          y=classes(4, 3), target="mask y"), "div",
          "Yang et al., Hierarchical attention networks, NAACL 2016; " + DEBAR,
          one_step_mask, verdict=EITHER),
    *both(sequence_loss, sequence_loss_bounded, given(**SEQUENCE, mask=MASK, target="words mask"), "div",
          GRIST + ": sequence to sequence", drop_mask, verdict=EITHER),
    *both(segmentation, segmentation_bounded, given(logits=normal(10, 4), labels=classes(10, 4), target="labels"),
        "div",
          GRIST + ": DeepLab, a crop of ignored pixels", lambda s: s["labels"].zero_(), verdict=EITHER),
    *both(cartpole, cartpole_clipped, given(logits=LOGITS, action=ACTION, advantage=normal(10),
          target="action advantage"), "log", GRIST + ": policy gradient", scale(logits=100)),
    *both(actor_critic, actor_critic_floor, given(logits=LOGITS, value=normal(10), action=ACTION, returns=normal(10),
          target="action returns"), "log mul", DEBAR + ": A3C", scale(logits=100)),
    *both(gaussian_policy, gaussian_policy_logs, given(mu=normal(10), raw=normal(10), action=normal(10),
          advantage=normal(10), target="action advantage"), "log exp div", GRIST + ": continuous policy",
          lambda s: s["mu"].fill_(60)),
    *both(chain_likelihood, chain_likelihood_logs, given(**TAGS, target="tags"), "exp log matmul mul sum",
          DEBAR + ": linear-chain CRF", scale(emission=100)),
    *both(distill, distill_logs, given(student=LOGITS, teacher=LOGITS, target="teacher"), "div log mul",
          DEBAR + ": distillation", scale(student=300)),
    *both(probability_loss, probability_loss_clipped, given(raw=normal(10), y=bits(10), target="y"), "div log sub",
          "issue keras-image-segmentation-loss-functions#1: logits from probabilities",
          lambda s: s["raw"].fill_(40), where=(to_logits,)),
    *both(overlap, overlap_smooth, given(raw=normal(6, 8), mask=bits(6, 8), target="mask"), "div",
          "Milletari et al., V-Net, 3DV 2016, an empty mask; " + DEBAR,
          lambda s: (s["raw"].fill_(-120), s["mask"].zero_()), verdict=EITHER),
    *both(variation, variation_eps, given(image=unit(2, 5, 5), photo=unit(2, 5, 5), target="photo"), "sqrt",
        GRIST + ": style transfer",
          flat_image, verdict=EITHER),
    *both(rank_pairs, rank_pairs_softplus, given(left=normal(10), right=normal(10)), "exp log", GRIST + ": RankNet",
          lambda s: s["right"].fill_(200)),
)  # fmt: skip
