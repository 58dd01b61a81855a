"""Fourth set: classifiers as programs of the TensorFlow 1 days have them, each with its repair, whole or half."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, counts, modelled, normal, onehot, scale, sound
from benchmarks.detect.cases.categorical import GRIST

LIMIT = "limit defect"
HALF = GRIST + ": half repaired"
REPAIR = GRIST + ": the repair"


def small(outputs: int, inputs: int = 6, width: int = 8):
    return lambda: nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))


def shares_of_classes(output, target):
    p = torch.softmax(output, 1)
    return -(target * torch.log(p)).sum(1).mean()  # <- here


def shares_of_classes_repaired(output, target):
    p = torch.softmax(output, 1)
    return -(target * torch.log(p.clamp(1e-10, 1.0))).sum(1).mean()


def shares_of_classes_half(output, target):
    p = torch.softmax(output, 1)
    return -(target * torch.log(p).clamp(-1e10, 1.0)).sum(1).mean()  # <- here


def every_class_a_coin(output, target):
    p = torch.softmax(output, 1)
    cost = target * torch.log(p) + (1 - target) * torch.log(1 - p)  # <- here
    return -cost.sum(1).mean()


def every_class_a_coin_repaired(output, target):
    return F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1).mean()


def yes_or_no(output, target):
    h = 1 / (1 + torch.exp(-output))
    return -(target * torch.log(h) + (1 - target) * torch.log(1 - h)).mean()  # <- here


def yes_or_no_repaired(output, target):
    h = torch.sigmoid(output)
    return -(target * torch.log(h + 1e-8) + (1 - target) * torch.log(1 - h + 1e-8)).mean()


def yes_or_no_half(output, target):
    h = torch.sigmoid(output).clamp(1e-8, 1 - 1e-8)
    return -(target * torch.log(h) + (1 - target) * torch.log(1 - h)).mean()  # <- here


def yes_or_no_wrong_order(output, target):
    h = torch.sigmoid(output)
    return -(target * torch.log(1e-10 + h) + (1 - target) * torch.log(1 + 1e-10 - h)).mean()  # <- here


class Reader(nn.Module):
    """A recurrent text classifier; its head is a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 5)
        self.rnn = nn.GRU(5, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def logits(self, x):
        return self.head(self.rnn(self.words(x))[0][:, -1])

    def forward(self, x):
        return torch.softmax(self.logits(x), -1)


class ReaderInLogs(Reader):
    def forward(self, x):
        return torch.log_softmax(self.logits(x), -1)


def sentiment(output, target):
    picked = torch.log(output).gather(1, target[:, None])  # <- here
    return -picked.mean()


def sentiment_repaired(output, target):
    return -output.gather(1, target[:, None]).mean()


class Windows(nn.Module):
    """A convolution over words, max-pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.filters, self.head = nn.Conv1d(5, 7, 3), nn.Linear(7, 4)

    def forward(self, x):
        return self.head(F.relu(self.filters(x)).amax(-1))


def window_entropy(output, target):
    score = torch.exp(output) / torch.exp(output).sum(1, keepdim=True)  # <- here
    return -torch.log(score[torch.arange(len(target)), target]).mean()  # <- here


def window_entropy_repaired(output, target):
    z = output - output.amax(1, keepdim=True)
    return (torch.log(torch.exp(z).sum(1)) - z[torch.arange(len(target)), target]).mean()


class Twins(nn.Module):
    """One net for both halves of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.net(x[:, :4]), self.net(x[:, 4:])


def contrast(left, right, target):
    d = torch.sqrt(((left - right) ** 2).sum(1))  # <- here
    return (target * d**2 + (1 - target) * torch.relu(1.0 - d) ** 2).mean()


def contrast_repaired(left, right, target):
    d2 = ((left - right) ** 2).sum(1)
    d = torch.sqrt(d2 + 1e-6)
    return (target * d2 + (1 - target) * torch.relu(1.0 - d) ** 2).mean()


def contrast_half(left, right, target):
    d = torch.sqrt(torch.clamp(((left - right) ** 2).sum(1), min=0.0))  # <- here
    return (target * d**2 + (1 - target) * torch.relu(1.0 - d) ** 2).mean()


def relative_distance(left, right, target):
    gap = torch.sqrt(((left - right) ** 2).sum(1))  # <- here
    sizes = torch.sqrt((left**2).sum(1)) + torch.sqrt((right**2).sum(1))  # <- here
    return ((gap / sizes - (1 - target)) ** 2).mean()  # <- here


def relative_distance_repaired(left, right, target):
    gap = torch.sqrt(((left - right) ** 2).sum(1) + 1e-8)
    sizes = torch.sqrt((left**2).sum(1) + 1e-8) + torch.sqrt((right**2).sum(1) + 1e-8)
    return ((gap / sizes - (1 - target)) ** 2).mean()


class Triple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def forward(self, x):
        return self.net(x).view(-1, 3, 3).unbind(1)


def ranked(anchor, near, far, target):
    to_near = torch.linalg.vector_norm(anchor - near, dim=1)
    to_far = torch.pow(((anchor - far) ** 2).sum(1), 0.5)  # <- here
    return (torch.relu(to_near - to_far + 0.2) * target).mean()


def ranked_repaired(anchor, near, far, target):
    to_near = torch.sqrt(((anchor - near) ** 2).sum(1).clamp(min=1e-10))
    to_far = torch.sqrt(((anchor - far) ** 2).sum(1).clamp(min=1e-10))
    return (torch.relu(to_near - to_far + 0.2) * target).mean()


class SkipGram(nn.Module):
    """Centre and context vectors; columns: centre, context, three negatives."""

    def __init__(self) -> None:
        super().__init__()
        self.centre, self.context = nn.Embedding(20, 6), nn.Embedding(20, 6)

    def forward(self, x):
        v = self.centre(x[:, 0])
        return torch.einsum("bd,bkd->bk", v, self.context(x[:, 1:]))


def negatives(output, target):
    yes = torch.log(torch.sigmoid(output[:, 0]))  # <- here
    no = torch.log(torch.sigmoid(-output[:, 1:])).sum(1)  # <- here
    return -(yes + no).mean()


def negatives_repaired(output, target):
    return -(F.logsigmoid(output[:, 0]) + F.logsigmoid(-output[:, 1:]).sum(1)).mean()


def noise_contrast(output, target):
    odds = torch.exp(output)  # <- here
    joint = odds / (odds + 0.25)  # <- here
    return -(torch.log(joint[:, 0]) + torch.log(1 - joint[:, 1:]).sum(1)).mean()  # <- here


def noise_contrast_repaired(output, target):
    z = output - torch.log(torch.tensor(0.25))
    labels = torch.cat([torch.ones_like(z[:, :1]), torch.zeros_like(z[:, 1:])], 1)
    return F.binary_cross_entropy_with_logits(z, labels, reduction="sum") / len(z)


class Matching(nn.Module):
    """The first five rows of each episode are the support, the last is the query."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 5)

    def similarity(self, a, b):
        return (a * b).sum(-1) / torch.sqrt((a**2).sum(-1) * (b**2).sum(-1))  # <- here

    def forward(self, x):
        h = self.embed(x)
        return torch.softmax(self.similarity(h[:, :5], h[:, 5:]), -1)


class MatchingBounded(Matching):
    def similarity(self, a, b):
        return (a * b).sum(-1) * torch.rsqrt((a**2).sum(-1).clamp(min=1e-10) * (b**2).sum(-1).clamp(min=1e-10))


class MatchingHalf(Matching):
    def similarity(self, a, b):
        return (a * b).sum(-1) / (torch.sqrt((a**2).sum(-1)) * torch.sqrt((b**2).sum(-1)) + 1e-8)  # <- here


def matched(output, target):
    return -torch.log(output.gather(1, target[:, None])).mean()


class Capsules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.votes = nn.Linear(6, 12)

    def squash(self, s):
        size = torch.sqrt((s**2).sum(-1, keepdim=True))  # <- here
        return s / size * size**2 / (1 + size**2)  # <- here

    def forward(self, x):
        return self.squash(self.votes(x).view(-1, 3, 4))


class CapsulesBounded(Capsules):
    def squash(self, s):
        square = (s**2).sum(-1, keepdim=True)
        return s * square / (1 + square) / torch.sqrt(square + 1e-9)


def presence(output, target):
    size2 = (output**2).sum(-1)
    return (target * torch.relu(0.81 - size2) + 0.5 * (1 - target) * torch.relu(size2 - 0.01)).sum(1).mean()


class Tagger(nn.Module):
    """Emissions and a table of transitions, as a chain of tags has them."""

    def __init__(self) -> None:
        super().__init__()
        self.emit, self.move = nn.Linear(4, 3), nn.Parameter(0.3 * torch.randn(3, 3))

    def forward(self, x):
        return self.emit(x), self.move


def path_score(emit, move, target):
    rows = torch.arange(len(target))
    score = emit[:, 0][rows, target[:, 0]]
    for t in range(1, target.shape[1]):
        score = score + emit[:, t][rows, target[:, t]] + move[target[:, t - 1], target[:, t]]
    return score


def chain(emit, move, target):
    alpha = emit[:, 0]
    for t in range(1, target.shape[1]):
        inner = torch.exp(alpha[:, :, None] + move)  # <- here
        alpha = torch.log(inner.sum(1)) + emit[:, t]  # <- here
    total = torch.log(torch.exp(alpha).sum(1))  # <- here
    return (total - path_score(emit, move, target)).mean()


def chain_repaired(emit, move, target):
    alpha = emit[:, 0]
    for t in range(1, target.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + move, 1) + emit[:, t]
    return (torch.logsumexp(alpha, 1) - path_score(emit, move, target)).mean()


def cool(output, target):
    soft = torch.exp(output / 0.05)  # <- here
    soft = soft / soft.sum(1, keepdim=True)  # <- here
    return -(target * torch.log(soft + 1e-6)).sum(1).mean()


def cool_repaired(output, target):
    soft = torch.softmax(output / 0.05, 1)
    return -(target * torch.log(soft + 1e-6)).sum(1).mean()


def soft_f1(output, target):
    p = torch.sigmoid(output)
    hits = (p * target).sum(0)
    precision, recall = hits / p.sum(0), hits / target.sum(0)  # <- here
    return 1 - (2 * precision * recall / (precision + recall)).mean()  # <- here


def soft_f1_repaired(output, target):
    p = torch.sigmoid(output)
    hits = (p * target).sum(0)
    return 1 - (2 * hits / (p.sum(0) + target.sum(0) + 1e-7)).mean()


def balanced(output, target):
    share = target.sum(0)
    weight = 1.0 / share  # <- here
    return -(weight * target * torch.log_softmax(output, 1)).sum(1).mean()


def balanced_repaired(output, target):
    weight = 1.0 / torch.clamp(target.sum(0), min=1.0)
    return -(weight * target * torch.log_softmax(output, 1)).sum(1).mean()


class Documents(nn.Module):
    """Counts of words to tf-idf to classes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def weigh(self, x):
        share = x / x.sum(1, keepdim=True)  # <- here
        rarity = torch.log(len(x) / (x > 0).float().sum(0))  # <- here
        return share * rarity

    def forward(self, x):
        return self.head(self.weigh(x))


class DocumentsBounded(Documents):
    def weigh(self, x):
        rarity = torch.log((1 + len(x)) / (1 + (x > 0).float().sum(0))) + 1
        return x / (x.sum(1, keepdim=True) + 1e-9) * rarity


def topic(output, target):
    return F.cross_entropy(output, target)


def steps(*shape: int, count: int):
    """Labels of any shape."""
    return lambda g: torch.randint(count, shape, generator=g)


LOUD = scale({"2.weight": 5000.0})
X, ONE = normal(32, 6), onehot(32, 3)
TEXT = steps(16, 7, count=12)
PAIRS = steps(24, 5, count=20)
EPISODES = normal(16, 6, 4)
FLAT = scale({"net.2.weight": 0.0, "net.2.bias": 0.0})


def no_queries(state):
    state["embed.weight"].zero_()
    state["embed.bias"].zero_()


def one_class(state):
    state["targets"].zero_()
    state["targets"][:, 0] = 1.0


CASES = (
    bug(shares_of_classes, modelled(small(3), X, ONE), "log", GRIST + ": softmax regression", LOUD),
    sound(shares_of_classes_repaired, modelled(small(3), X, ONE), REPAIR, LOUD),
    bug(shares_of_classes_half, modelled(small(3), X, ONE), "log", HALF + ": the log is clipped", LOUD),
    bug(every_class_a_coin, modelled(small(3), X, ONE), "log", GRIST + ": a coin for every class", LOUD),
    sound(every_class_a_coin_repaired, modelled(small(3), X, ONE), REPAIR, LOUD),
    bug(yes_or_no, modelled(small(1), X, bits(32, 1)), "log", GRIST + ": logistic regression", LOUD),
    sound(yes_or_no_repaired, modelled(small(1), X, bits(32, 1)), REPAIR, LOUD),
    bug(yes_or_no_half, modelled(small(1), X, bits(32, 1)), "log", HALF + ": 1 - 1e-8 is 1", LOUD),
    bug(yes_or_no_wrong_order, modelled(small(1), X, bits(32, 1)), "log", HALF + ": 1 + 1e-10 is 1", LOUD),
    bug(sentiment, modelled(Reader, TEXT, classes(16, 3)), "log", GRIST + ": text classifier",
        scale({"head.weight": 5000.0})),
    sound(sentiment_repaired, modelled(ReaderInLogs, TEXT, classes(16, 3)), REPAIR, scale({"head.weight": 5000.0})),
    bug(window_entropy, modelled(Windows, normal(16, 5, 9), classes(16, 4)), "exp div log", GRIST + ": text CNN",
        scale({"head.weight": 5000.0})),
    sound(window_entropy_repaired, modelled(Windows, normal(16, 5, 9), classes(16, 4)), REPAIR,
          scale({"head.weight": 5000.0})),
    bug(contrast, modelled(Twins, normal(16, 8), bits(16)), "sqrt", GRIST + ": siamese net", FLAT, phase="backward",
        verdict=LIMIT),
    sound(contrast_repaired, modelled(Twins, normal(16, 8), bits(16)), REPAIR, FLAT),
    bug(contrast_half, modelled(Twins, normal(16, 8), bits(16)), "sqrt", HALF + ": clipped to 0", FLAT,
        phase="backward", verdict=LIMIT),
    bug(relative_distance, modelled(Twins, normal(16, 8), bits(16)), "sqrt div", GRIST + ": siamese net of Chopra",
        FLAT, verdict=LIMIT),
    sound(relative_distance_repaired, modelled(Twins, normal(16, 8), bits(16)), REPAIR, FLAT),
    bug(ranked, modelled(Triple, normal(16, 3, 4), bits(16)), "pow", GRIST + ": triplets",
        scale({"net.weight": 0.0, "net.bias": 0.0}), phase="backward", verdict=LIMIT),
    sound(ranked_repaired, modelled(Triple, normal(16, 3, 4), bits(16)), REPAIR,
          scale({"net.weight": 0.0, "net.bias": 0.0})),
    bug(negatives, modelled(SkipGram, PAIRS, bits(24)), "log", GRIST + ": word vectors",
        scale({"centre.weight": 500.0})),
    sound(negatives_repaired, modelled(SkipGram, PAIRS, bits(24)), REPAIR, scale({"centre.weight": 500.0})),
    bug(noise_contrast, modelled(SkipGram, PAIRS, bits(24)), "exp div log", GRIST + ": noise contrast",
        scale({"centre.weight": 500.0})),
    sound(noise_contrast_repaired, modelled(SkipGram, PAIRS, bits(24)), REPAIR, scale({"centre.weight": 500.0})),
    bug(matched, modelled(Matching, EPISODES, classes(16, 5)), "div sqrt", GRIST + ": matching networks", no_queries,
        verdict=LIMIT, where=(Matching,)),
    sound(matched, modelled(MatchingBounded, EPISODES, classes(16, 5)), REPAIR, no_queries),
    bug(matched, modelled(MatchingHalf, EPISODES, classes(16, 5)), "sqrt", HALF + ": eps after the root", no_queries,
        verdict=LIMIT, phase="backward", where=(MatchingHalf,)),
    bug(presence, modelled(Capsules, X, ONE), "div sqrt", "naturomics/CapsNet-Tensorflow; " + GRIST,
        scale({"votes.weight": 0.0, "votes.bias": 0.0}), verdict=LIMIT, where=(Capsules,)),
    sound(presence, modelled(CapsulesBounded, X, ONE), REPAIR, scale({"votes.weight": 0.0, "votes.bias": 0.0})),
    bug(chain, modelled(Tagger, normal(16, 6, 4), steps(16, 6, count=3)), "exp log", GRIST + ": chain of tags",
        scale({"emit.weight": 200.0})),
    sound(chain_repaired, modelled(Tagger, normal(16, 6, 4), steps(16, 6, count=3)), REPAIR,
          scale({"emit.weight": 200.0})),
    bug(cool, modelled(small(3), X, ONE), "exp div", GRIST + ": temperature", LOUD),
    sound(cool_repaired, modelled(small(3), X, ONE), REPAIR, LOUD),
    bug(soft_f1, modelled(small(3), X, bits(32, 3)), "div", GRIST + ": F1 as a loss",
        lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-150.0))),
    sound(soft_f1_repaired, modelled(small(3), X, bits(32, 3)), REPAIR,
          lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-150.0))),
    bug(balanced, modelled(small(3), X, ONE), "div", GRIST + ": weights of absent classes", one_class, verdict=LIMIT),
    sound(balanced_repaired, modelled(small(3), X, ONE), REPAIR, one_class),
    bug(topic, modelled(Documents, counts(16, 6, mean=1.0), classes(16, 3)), "div log", GRIST + ": tf-idf",
        lambda s: s["inputs"][:, 0].zero_(), verdict=LIMIT, where=(Documents,)),
    sound(topic, modelled(DocumentsBounded, counts(16, 6, mean=1.0), classes(16, 3)), REPAIR,
          lambda s: s["inputs"][:, 0].zero_()),
)  # fmt: skip
