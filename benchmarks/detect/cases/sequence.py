"""Sequences: attention, padding, CRF, hidden Markov models, CTC, language models."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, classes, fixed, given, normal, put, scale, sound
from benchmarks.detect.cases.categorical import GRIST

LENGTHS = fixed([5, 3, 4])
MASKED_ROW = "github.com/pytorch/pytorch issues 41508 and 103749, pull request 131060: fully masked rows"
LAFFERTY = "Lafferty et al., Conditional random fields, ICML 2001; GRIST, ESEC/FSE 2021"


def attention_weights_by_hand(score, value, y):
    e = torch.exp(score)  # <- here
    weight = e / e.sum(-1, keepdim=True)
    return F.mse_loss((weight * value).sum(-1), y)


def attention_weights(score, value, y):
    return F.mse_loss((torch.softmax(score, -1) * value).sum(-1), y)


def masked_attention_divided(score, mask, value, y):
    weight = torch.sigmoid(score) * mask
    weight = weight / weight.sum(-1, keepdim=True)  # <- here
    return F.mse_loss((weight * value).sum(-1), y)


def masked_attention(score, mask, value, y):
    weight = torch.softmax(score.masked_fill(mask == 0, float("-inf")), -1)
    return F.mse_loss((weight * value).sum(-1), y)


def fully_masked_attention(score, mask, value, y):
    weight = torch.softmax(score.masked_fill(mask == 0, float("-inf")), -1)  # <- here
    return F.mse_loss((weight * value).sum(-1), y)


def causal_attention(q, k, v, y):
    score = q @ k.t() / 2.0
    future = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
    out = torch.softmax(score.masked_fill(future, float("-inf")), -1) @ v
    return F.mse_loss(out, y)


def log_of_mask(logits, mask, y):
    return F.cross_entropy(logits + torch.log(mask), y)


def log_of_mask_tiny(logits, mask, y):
    return F.cross_entropy(logits + torch.log(mask + 1e-45), y)


def padded_language_model(logits, y):
    return F.cross_entropy(logits.reshape(-1, 6), y.reshape(-1), ignore_index=-100)


def padded_mean(loss_raw, lengths):
    mask = (torch.arange(5)[None, :] < lengths[:, None]).float()
    return ((loss_raw**2 * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()


def crf_forward_by_hand(emission, transition, y):
    alpha = torch.exp(emission[0])
    for t in range(1, 6):
        alpha = (alpha[:, None] * torch.exp(transition)).sum(0) * torch.exp(emission[t])  # <- here
    score = emission.gather(1, y[:, None]).sum() + transition[y[:-1], y[1:]].sum()
    return torch.log(alpha.sum()) - score


def crf_forward_in_logs(emission, transition, y):
    alpha = emission[0]
    for t in range(1, 6):
        alpha = torch.logsumexp(alpha[:, None] + transition, 0) + emission[t]
    score = emission.gather(1, y[:, None]).sum() + transition[y[:-1], y[1:]].sum()
    return torch.logsumexp(alpha, 0) - score


def hmm_in_probabilities(start, trans, emit, obs):
    a, b = torch.softmax(trans, -1), torch.softmax(emit, -1)
    alpha = torch.softmax(start, -1) * b[:, obs[0]]
    for t in range(1, 6):
        alpha = (alpha @ a) * b[:, obs[t]]
    return -torch.log(alpha.sum())  # <- here


def hmm_in_logs(start, trans, emit, obs):
    a, b = torch.log_softmax(trans, -1), torch.log_softmax(emit, -1)
    alpha = torch.log_softmax(start, -1) + b[:, obs[0]]
    for t in range(1, 6):
        alpha = torch.logsumexp(alpha[:, None] + a, 0) + b[:, obs[t]]
    return -torch.logsumexp(alpha, 0)


def logsumexp_from_nothing(score, y):
    total = torch.full((4,), float("-inf"))
    for t in range(3):
        total = torch.logaddexp(total, score[t])
    return F.cross_entropy(total[None], y)


def logsumexp_of_nothing(score, keep):
    masked = score.masked_fill(~keep, float("-inf"))
    row = torch.logsumexp(masked, 1)
    return -torch.where(keep.any(1), row, 0.0).mean()


def logaddexp_of_nothing(score, keep):
    masked = score.masked_fill(~keep, float("-inf"))
    both = torch.logaddexp(masked[:, 0], masked[:, 1])
    return -torch.where(keep[:, :2].any(1), both, 0.0).mean()


def ctc(logits, y):
    log_p = torch.log_softmax(logits, -1)
    return F.ctc_loss(log_p, y, torch.full((3,), 8), torch.full((3,), 2))


def ctc_target_too_long(logits, y):
    log_p = torch.log_softmax(logits, -1)
    return F.ctc_loss(log_p, y, torch.full((3,), 4), torch.full((3,), 5))  # <- here


def ctc_zero_infinity(logits, y):
    log_p = torch.log_softmax(logits, -1)
    return F.ctc_loss(log_p, y, torch.full((3,), 4), torch.full((3,), 5), zero_infinity=True)


def perplexity(logits, y):
    return torch.exp(F.cross_entropy(logits, y))


def unlikelihood(logits, y):
    p = torch.softmax(logits, -1).gather(1, y[:, None])
    return -torch.log(1 - p).mean()  # <- here


def unlikelihood_clamped(logits, y):
    p = torch.softmax(logits, -1).gather(1, y[:, None])
    return -torch.log((1 - p).clamp(min=1e-5)).mean()


def coverage_pointer(logits, copy_score, gate, y):
    p = torch.sigmoid(gate) * torch.softmax(logits, -1) + (1 - torch.sigmoid(gate)) * torch.softmax(copy_score, -1)
    return -torch.log(p.gather(1, y[:, None])).mean()  # <- here


def z_loss(logits, y):
    return F.cross_entropy(logits, y) + 1e-4 * torch.logsumexp(logits, -1).pow(2).mean()


def sampled_negative(center, context, noise):
    hit = F.logsigmoid((center * context).sum(-1))
    miss = F.logsigmoid(-(center[:, None] * noise).sum(-1)).sum(-1)
    return -(hit + miss).mean()


def capped_logits(logits, y):
    return F.cross_entropy(30.0 * torch.tanh(logits / 30.0), y)


MASK = fixed([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
NO_MASK = fixed([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
ATTEND = {"score": normal(3, 5), "value": normal(3, 5), "y": normal(3)}
TOKENS = given(logits=normal(8, 6), y=classes(8, 6), target="y")
CHAIN = given(emission=normal(6, 4), transition=normal(4, 4), y=classes(6, 4), target="y")
HIDDEN = given(start=normal(3), trans=normal(3, 3), emit=normal(3, 4), obs=classes(6, 4), target="obs")
LABELS = fixed([[1, 2, 1, 3, 2], [2, 2, 3, 1, 1], [3, 1, 2, 2, 1]])
KEEP = fixed([[True] * 4, [True, False, True, False], [False] * 4])
CASES = (
    bug(attention_weights_by_hand, given(target="value y", **ATTEND), "exp div", GRIST + ": attention",
        put(score=120.0)),
    sound(attention_weights, given(target="value y", **ATTEND), "Bahdanau et al., ICLR 2015", scale(score=100.0)),
    bug(masked_attention_divided, given(target="mask value y", mask=NO_MASK, **ATTEND), "div", MASKED_ROW,
        lambda s: None, verdict="defect limit"),
    sound(masked_attention, given(target="mask value y", mask=MASK, **ATTEND), "Vaswani et al., Attention is all you "
          "need, NeurIPS 2017", scale(score=100.0)),
    bug(fully_masked_attention, given(target="mask value y", mask=NO_MASK, **ATTEND), "softmax masked_fill",
        MASKED_ROW, lambda s: None, verdict="defect limit"),
    sound(causal_attention, given(q=normal(6, 4), k=normal(6, 4), v=normal(6, 4), y=normal(6, 4), target="y"),
          "Vaswani et al., NeurIPS 2017", scale(q=100.0)),
    sound(log_of_mask, given(logits=normal(8, 5), mask=fixed([1.0, 1, 0, 1, 0]), y=lambda g: torch.randint(2, (8,),
          generator=g), target="mask y"), "github.com/allenai/allennlp issue 890: the log of a mask is -inf where "
          "nothing is allowed", scale(logits=60.0)),
    sound(log_of_mask_tiny, given(logits=normal(8, 5), mask=fixed([1.0, 1, 0, 1, 0]), y=lambda g: torch.randint(2,
          (8,), generator=g), target="mask y"), "AllenNLP, masked_log_softmax adds 1e-45", scale(logits=10.0)),
    sound(padded_language_model, given(logits=normal(3, 4, 6), y=fixed([[1, 2, 3, -100], [5, 0, -100, -100],
          [4, 4, 4, 4]]), target="y"), "PyTorch documentation, cross_entropy ignore_index", scale(logits=60.0)),
    sound(padded_mean, given(loss_raw=normal(3, 5), lengths=LENGTHS, target="lengths"),
          "PyTorch documentation, pack_padded_sequence"),
    bug(crf_forward_by_hand, CHAIN, "exp mul sum log", LAFFERTY, put(emission=120.0)),
    sound(crf_forward_in_logs, CHAIN, LAFFERTY, scale(emission=60.0)),
    bug(hmm_in_probabilities, HIDDEN, "log", "Rabiner, A tutorial on hidden Markov models, 1989: scaling",
        lambda s: s["emit"][:, s["obs"][0]].fill_(-200.0)),
    sound(hmm_in_logs, HIDDEN, "Rabiner 1989, in logarithms", scale(emit=60.0)),
    sound(logsumexp_from_nothing, given(score=normal(3, 4), y=classes(1, 4), target="y"),
          "github.com/pytorch/pytorch issue 49724: -inf is the neutral element"),
    sound(logsumexp_of_nothing, given(score=normal(3, 4), keep=KEEP, target="keep"),
          "github.com/pytorch/pytorch issue 31829, mended: the slope of logsumexp is 0 where all is -inf"),
    sound(logaddexp_of_nothing, given(score=normal(3, 4), keep=KEEP, target="keep"),
          "github.com/pytorch/pytorch issue 49724, mended: the slope of logaddexp is 0 where both are -inf"),
    sound(ctc, given(logits=normal(8, 3, 4), y=fixed([[1, 2], [2, 3], [3, 3]]), target="y"),
          "Graves et al., Connectionist temporal classification, ICML 2006", scale(logits=20.0)),
    bug(ctc_target_too_long, given(logits=normal(4, 3, 4), y=LABELS, target="y"), "ctc_loss",
        "PyTorch documentation, torch.nn.CTCLoss: infinite where the input is too short; pull request 16199",
        lambda s: None, verdict="limit defect"),
    sound(ctc_zero_infinity, given(logits=normal(4, 3, 4), y=LABELS, target="y"),
          "PyTorch documentation, torch.nn.CTCLoss zero_infinity", scale(logits=20.0)),
    sound(perplexity, TOKENS, "Jelinek et al., Perplexity, J. Acoust. Soc. Am. 1977"),
    bug(unlikelihood, TOKENS, "log", "Welleck et al., Neural text generation with unlikelihood training, ICLR 2020",
        scale(logits=40.0)),
    sound(unlikelihood_clamped, TOKENS, "fairseq, unlikelihood training: clamp at 1e-5", scale(logits=40.0)),
    bug(coverage_pointer, given(logits=normal(8, 6), copy_score=normal(8, 6), gate=normal(8, 1), y=classes(8, 6),
        target="y"), "log", "See et al., Get to the point: pointer-generator networks, ACL 2017",
        scale(logits=200.0, copy_score=200.0)),
    sound(z_loss, TOKENS, "Chowdhery et al., PaLM, arXiv:2204.02311", scale(logits=60.0)),
    sound(sampled_negative, given(center=normal(8, 4), context=normal(8, 4), noise=normal(8, 3, 4)),
          "Mikolov et al., Distributed representations of words and phrases, NeurIPS 2013", scale(center=100.0)),
    sound(capped_logits, TOKENS, "Gemma team, Gemma 2, arXiv:2408.00118: soft capping", scale(logits=60.0)),
)  # fmt: skip
