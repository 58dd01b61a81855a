"""Losses of class probabilities: softmax, cross entropy, policies, distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, classes, given, normal, onehot, positive, put, scale, simplex, sound

GRIST = "Yan et al., Exposing numerical bugs in deep learning via gradient back-propagation (GRIST), ESEC/FSE 2021"
LOGITS = given(logits=normal(8, 5), y=classes(8, 5), target="y")
DENSE = given(logits=normal(8, 5), y=onehot(8, 5), target="y")
PROBS = given(probs=simplex(8, 5), y=onehot(8, 5), target="y")
FAR = put(logits=200.0)
LARGE = scale(logits=60.0)


def cross_entropy_by_hand(logits, y):
    p = torch.softmax(logits, dim=-1)
    return -(y * torch.log(p)).sum(-1).mean()  # <- here


def cross_entropy_by_library(logits, y):
    return F.cross_entropy(logits, y)


def cross_entropy_by_log_softmax(logits, y):
    return -(y * torch.log_softmax(logits, dim=-1)).sum(-1).mean()


def gathered_log_of_softmax(logits, y):
    p = F.softmax(logits, dim=1)
    picked = p.gather(1, y[:, None]).squeeze(1)
    return -torch.log(picked).mean()  # <- here


def softmax_by_hand(logits, y):
    e = torch.exp(logits)  # <- here
    p = e / e.sum(-1, keepdim=True)
    return F.nll_loss(torch.log(p + 1e-8), y)


def softmax_by_hand_shifted(logits, y):
    shifted = logits - logits.amax(-1, keepdim=True)
    log_z = torch.log(torch.exp(shifted).sum(-1, keepdim=True))
    return F.nll_loss(shifted - log_z, y)


def log_of_given_probabilities(probs, y):
    return -(y * torch.log(probs)).sum(-1).mean()  # <- here


def log_of_clamped_probabilities(probs, y):
    return -(y * torch.log(probs.clamp(1e-7, 1.0))).sum(-1).mean()


def log_sum_exp_by_hand(logits, y):
    log_z = torch.log(torch.sum(torch.exp(logits), dim=1))  # <- here
    return (log_z - logits.gather(1, y[:, None]).squeeze(1)).mean()


def log_sum_exp_by_library(logits, y):
    return (torch.logsumexp(logits, 1) - logits.gather(1, y[:, None]).squeeze(1)).mean()


def entropy_bonus(logits, advantage):
    p = torch.softmax(logits, -1)
    entropy = -(p * torch.log(p)).sum(-1)  # <- here
    return -(advantage * entropy).mean()


def entropy_of_distribution(logits, advantage):
    return -(advantage * torch.distributions.Categorical(logits=logits).entropy()).mean()


def entropy_with_log_softmax(logits, advantage):
    log_p = F.log_softmax(logits, -1)
    return -(advantage * -(log_p.exp() * log_p).sum(-1)).mean()


def reinforce(logits, action, advantage):
    probs = F.softmax(logits, dim=-1)
    chosen = (probs * action).sum(-1)
    return -(torch.log(chosen) * advantage).mean()  # <- here


def reinforce_by_distribution(logits, y, advantage):
    policy = torch.distributions.Categorical(logits=logits)
    return -(policy.log_prob(y) * advantage).mean()


def clipped_policy_ratio(logits, old_log_prob, y, advantage):
    log_prob = F.log_softmax(logits, -1).gather(1, y[:, None]).squeeze(1)
    ratio = torch.exp(log_prob - old_log_prob)
    return -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def distillation_by_hand(logits, teacher):
    p = torch.softmax(logits / 2.0, -1)
    q = torch.softmax(teacher / 2.0, -1)
    return (q * (torch.log(q) - torch.log(p))).sum(-1).mean()  # <- here


def distillation(logits, teacher):
    p = F.log_softmax(logits / 2.0, -1)
    q = F.log_softmax(teacher / 2.0, -1)
    return F.kl_div(p, q, reduction="batchmean", log_target=True) * 4.0


def label_smoothing(logits, y):
    return F.cross_entropy(logits, y, label_smoothing=0.1)


def label_smoothing_by_hand(logits, y):
    log_p = logits.log_softmax(-1)
    smooth = torch.full_like(log_p, 0.1 / 4).scatter_(1, y[:, None], 0.9)
    return -(smooth * log_p).sum(-1).mean()


def focal_by_softmax(logits, y):
    p = torch.softmax(logits, -1).gather(1, y[:, None]).squeeze(1)
    return -((1 - p) ** 2 * torch.log(p)).mean()  # <- here


def focal_by_log_softmax(logits, y):
    log_p = torch.log_softmax(logits, -1).gather(1, y[:, None]).squeeze(1)
    return -((1 - log_p.exp()) ** 2 * log_p).mean()


def allowed_actions_only(logits, y):
    allowed = torch.ones_like(logits, dtype=torch.bool)
    allowed[:, 3] = False
    masked = logits.masked_fill(~allowed, float("-inf"))
    return F.cross_entropy(masked, y)


def js_divergence(logits, teacher):
    p, q = torch.softmax(logits, -1), torch.softmax(teacher, -1)
    m = 0.5 * (p + q)
    left = (p * (p / m).log()).sum(-1)  # <- here
    right = (q * (q / m).log()).sum(-1)  # <- here
    return 0.5 * (left + right).mean()


def js_divergence_in_logs(logits, teacher):
    p, q = F.log_softmax(logits, -1), F.log_softmax(teacher, -1)
    m = torch.logaddexp(p, q) - 0.6931471805599453
    return 0.5 * (F.kl_div(m, p, reduction="batchmean", log_target=True)
                  + F.kl_div(m, q, reduction="batchmean", log_target=True))  # fmt: skip


def xlogy_of_soft_labels(logits, y):
    return (torch.xlogy(y, y) - y * torch.log_softmax(logits, -1)).sum(-1).mean()


def log_of_soft_labels(logits, y):
    entropy = -(y * torch.log(y)).sum(-1)  # <- here
    return (-(y * torch.log_softmax(logits, -1)).sum(-1) - entropy).mean()


def plackett_luce(scores):
    ranked = torch.sort(scores, dim=1, descending=True).values
    e = ranked.exp()  # <- here
    tail = e.flip(1).cumsum(1).flip(1)
    return (tail.log() - ranked).sum(1).mean()  # <- here


def plackett_luce_in_logs(scores):
    ranked = torch.sort(scores, dim=1, descending=True).values
    tail = torch.logcumsumexp(ranked.flip(1), 1).flip(1)
    return (tail - ranked).sum(1).mean()


ADVANTAGE = {"advantage": positive(8)}
CASES = (
    bug(cross_entropy_by_hand, DENSE, "log", GRIST, FAR),
    sound(cross_entropy_by_library, LOGITS, "PyTorch documentation, torch.nn.CrossEntropyLoss", LARGE),
    sound(cross_entropy_by_log_softmax, DENSE, "PyTorch documentation, torch.nn.functional.log_softmax", LARGE),
    bug(gathered_log_of_softmax, LOGITS, "log", GRIST, LARGE),
    bug(softmax_by_hand, LOGITS, "exp div", GRIST, FAR),
    sound(softmax_by_hand_shifted, LOGITS, "Blanchard, Higham & Higham, Accurately computing the log-sum-exp and "
          "softmax functions, IMA J. Numer. Anal. 2021", LARGE),
    bug(log_of_given_probabilities, PROBS, "log mul", GRIST, put(probs=0.0), verdict="defect limit"),
    sound(log_of_clamped_probabilities, PROBS, "Keras documentation, categorical_crossentropy clips by epsilon"),
    bug(log_sum_exp_by_hand, LOGITS, "exp log", "Blanchard, Higham & Higham 2021", FAR),
    sound(log_sum_exp_by_library, LOGITS, "PyTorch documentation, torch.logsumexp", LARGE),
    bug(entropy_bonus, given(logits=normal(8, 5), target="advantage", **ADVANTAGE), "log mul", GRIST, FAR),
    sound(entropy_of_distribution, given(logits=normal(8, 5), target="advantage", **ADVANTAGE),
          "PyTorch documentation, torch.distributions.Categorical", FAR),
    sound(entropy_with_log_softmax, given(logits=normal(8, 5), target="advantage", **ADVANTAGE),
          "Mnih et al., Asynchronous methods for deep RL, ICML 2016", FAR),
    bug(reinforce, given(logits=normal(8, 5), action=onehot(8, 5), target="action advantage", **ADVANTAGE), "log",
        "Williams, Simple statistical gradient-following algorithms, 1992; a family of GRIST's programs", LARGE),
    sound(reinforce_by_distribution, given(logits=normal(8, 5), y=classes(8, 5), target="y advantage", **ADVANTAGE),
          "PyTorch documentation, torch.distributions, score function", LARGE),
    sound(clipped_policy_ratio, given(logits=normal(8, 5), old_log_prob=normal(8, scale=0.2, shift=-1.6),
          y=classes(8, 5), target="old_log_prob y advantage", **ADVANTAGE),
          "Schulman et al., Proximal policy optimization, arXiv:1707.06347", scale(logits=10.0)),
    bug(distillation_by_hand, given(logits=normal(8, 5), teacher=normal(8, 5), target="teacher"), "log mul",
        "Hinton et al., Distilling the knowledge in a neural network, arXiv:1503.02531", put(logits=500.0)),
    sound(distillation, given(logits=normal(8, 5), teacher=normal(8, 5), target="teacher"),
          "PyTorch documentation, torch.nn.KLDivLoss with log_target", LARGE),
    sound(label_smoothing, LOGITS, "Szegedy et al., Rethinking the Inception architecture, CVPR 2016", LARGE),
    sound(label_smoothing_by_hand, LOGITS, "Szegedy et al., CVPR 2016", LARGE),
    bug(focal_by_softmax, LOGITS, "log", "github.com/mkocabas/focal-loss-keras issue 17", LARGE),
    sound(focal_by_log_softmax, LOGITS, "Lin et al., Focal loss for dense object detection, ICCV 2017", LARGE),
    sound(allowed_actions_only, given(logits=normal(8, 5), y=classes(8, 3), target="y"),
          "Huang & Ontanon, A closer look at invalid action masking, arXiv:2006.14171", LARGE),
    bug(js_divergence, given(logits=normal(8, 5), teacher=normal(8, 5), target="teacher"), "log mul div",
        "Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 1991", FAR),
    sound(js_divergence_in_logs, given(logits=normal(8, 5), teacher=normal(8, 5), target="teacher"),
          "Lin 1991, in logarithms", LARGE),
    sound(xlogy_of_soft_labels, DENSE, "PyTorch documentation, torch.xlogy", LARGE),
    bug(log_of_soft_labels, DENSE, "log mul", "PyTorch documentation, torch.xlogy: 0 log 0", put(y=0.0),
        verdict="defect limit"),
    bug(plackett_luce, given(scores=normal(6, 5)), "exp log", "Cao et al., Learning to rank (ListNet), ICML 2007",
        put(scores=120.0)),
    sound(plackett_luce_in_logs, given(scores=normal(6, 5)), "PyTorch documentation, torch.logcumsumexp",
          scale(scores=60.0)),
)  # fmt: skip
