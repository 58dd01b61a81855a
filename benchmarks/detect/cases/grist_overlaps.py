"""Overlaps, masks, attention and calibration by hand, ported programs: each with its repaired twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    fill,
    given,
    normal,
    put,
    scale,
    sound,
)

OVERLAP = "overlap of masks or boxes: segmentation and detection tutorials"
F1 = "soft F1 of a minibatch: multi-label tutorials"
MASKED = "mean over the unpadded steps: translation tutorials"
ATTENTION = "attention normalised by hand with a mask: neural translation ports"
RELIABILITY = "calibration by bins: Guo et al. 2017, by hand"


def jaccard(logits, y):
    p = torch.sigmoid(logits)
    inter = torch.sum(p * y, dim=1)
    union = torch.sum(p, dim=1) + torch.sum(y, dim=1) - inter
    return 1 - torch.mean(inter / union)  # <- here


def jaccard_fixed(logits, y):
    p = torch.sigmoid(logits)
    inter = torch.sum(p * y, dim=1)
    return 1 - torch.mean((inter + 1) / (torch.sum(p, dim=1) + torch.sum(y, dim=1) - inter + 1))


def soft_f1(logits, y):
    p = torch.sigmoid(logits)
    tp = torch.sum(p * y, 0)
    recall = tp / torch.sum(y, 0)  # <- here
    precision = tp / (torch.sum(p, 0) + 1e-8)
    return 1 - torch.mean(2 * precision * recall / (precision + recall + 1e-8))


def soft_f1_fixed(logits, y):
    p = torch.sigmoid(logits)
    tp = torch.sum(p * y, 0)
    return 1 - torch.mean(2 * tp / (torch.sum(p, 0) + torch.sum(y, 0) + 1e-6))


def masked_steps(logits, words, mask):
    nll = F.cross_entropy(logits.transpose(1, 2), words, reduction="none")
    return torch.mean(torch.sum(nll * mask, 1) / torch.sum(mask, 1))  # <- here


def masked_steps_fixed(logits, words, mask):
    nll = F.cross_entropy(logits.transpose(1, 2), words, reduction="none")
    return torch.mean(torch.sum(nll * mask, 1) / torch.clamp(torch.sum(mask, 1), min=1.0))


def hand_attention(scores, values, mask, y):
    weights = torch.exp(scores) * mask  # <- here
    weights = weights / torch.sum(weights, 1, keepdim=True)
    return F.mse_loss(torch.sum(weights[..., None] * values, 1), y)


def hand_attention_fixed(scores, values, mask, y):
    weights = torch.softmax(scores + (1.0 - mask) * -1e9, 1)
    return F.mse_loss(torch.sum(weights[..., None] * values, 1), y)


def calibration(logits, y):
    conf, guess = torch.softmax(logits, 1).max(1)
    right, error = (guess == y).float(), 0.0
    for low, high in ((0.0, 0.6), (0.6, 1.01)):
        inside = ((conf > low) & (conf <= high)).float()
        gap = torch.sum(inside * (conf - right)) / torch.sum(inside)  # <- here
        error = error + gap**2
    return F.cross_entropy(logits, y) + error


def calibration_fixed(logits, y):
    conf, guess = torch.softmax(logits, 1).max(1)
    right, error = (guess == y).float(), 0.0
    for low, high in ((0.0, 0.6), (0.6, 1.01)):
        inside = ((conf > low) & (conf <= high)).float()
        error = error + (torch.sum(inside * (conf - right)) / torch.clamp(torch.sum(inside), min=1.0)) ** 2
    return F.cross_entropy(logits, y) + error


MASKS = given("y", logits=normal(4, 9), y=bits(4, 9))
STEPS = given(
    "words mask",
    logits=normal(3, 5, 4),
    words=lambda g: torch.randint(4, (3, 5), generator=g),
    mask=lambda g: (torch.arange(5) < torch.tensor([[5], [3], [2]])).float(),
)
ATTEND = given(
    "mask y",
    scores=normal(3, 5),
    values=normal(3, 5, 2),
    mask=lambda g: (torch.arange(5) < torch.tensor([[5], [3], [2]])).float(),
    y=normal(3, 2),
)
CONFIDENT = given("y", logits=normal(16, 3), y=classes(16, 3))
EDGE = "limit defect"


CASES = (
    bug(jaccard, MASKS, "div", OVERLAP, fill(logits=-200.0, y=0.0), verdict=EDGE),
    sound(jaccard_fixed, MASKS, OVERLAP, fill(logits=-200.0, y=0.0)),
    bug(soft_f1, MASKS, "div", F1, fill(y=0.0), verdict=EDGE),
    sound(soft_f1_fixed, MASKS, F1, fill(y=0.0)),
    bug(masked_steps, STEPS, "div", MASKED, fill(mask=0.0), verdict=EDGE),
    sound(masked_steps_fixed, STEPS, MASKED, fill(mask=0.0)),
    bug(hand_attention, ATTEND, "exp div", ATTENTION, put(scores=100.0), verdict="defect limit"),
    sound(hand_attention_fixed, ATTEND, ATTENTION, put(scores=100.0)),
    bug(calibration, CONFIDENT, "div", RELIABILITY, scale(logits=50.0), verdict=EDGE),
    sound(calibration_fixed, CONFIDENT, RELIABILITY, scale(logits=50.0)),
)
