"""Boxes, images and spectra: losses of these fields with a defect, and as they are repaired."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, given, modelled, normal, sound, unit

ANGLED = "SIoU's angle cost (Gevorgyan 2022, eq. 1-3); github.com/meituan/YOLOv6"
POWERED = "alpha-IoU (He et al. 2021, eq. 4) with a power below one; github.com/Jacobi93/Alpha-IoU"
EDGES = "gradient magnitude similarity deviation (Xue et al. 2014); github.com/photosynthesis-team/piq"
SQUEEZED = "power-compressed spectra (Braun & Tashev 2020, eq. 3); github.com/ruizhecao96/CMGAN"


def _sides(dx, dy, guard):
    sigma = torch.sqrt(dx**2 + dy**2 + guard)
    ratio = torch.minimum(dx.abs(), dy.abs()) / sigma  # <- here
    return ratio if not guard else ratio.clamp(max=0.7071)


def angled(pred, box, guard=0.0):
    x = _sides(box[:, 0] - pred[:, 0], box[:, 1] - pred[:, 1], guard)
    cost = torch.cos(2 * torch.asin(x) - math.pi / 2)
    shape = ((pred[:, 2:] - box[:, 2:]).abs() / torch.maximum(pred[:, 2:], box[:, 2:]).clamp(min=1e-2)).sum(1)
    return (1 - cost + shape).mean()


def angled_guarded(pred, box):
    return angled(pred, box, 1e-6)


def _overlap(a, b):
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    return inner / (a[:, 2:].prod(1) + b[:, 2:].prod(1) - inner)


def powered(centre, raw, box, alpha=0.5, eps=0.0):
    iou = _overlap(torch.cat([centre, F.softplus(raw) + 0.1], 1), box)
    return (1 - (iou + eps) ** alpha).mean()  # <- here


def powered_eps(centre, raw, box):
    return powered(centre, raw, box, eps=1e-4)


class Sharpener(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
        prewitt = torch.tensor([[1.0, 0.0, -1.0]] * 3) / 3
        self.register_buffer("prewitt", torch.stack([prewitt, prewitt.T])[:, None])

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


def edges(model, batch, least=0.0, t=0.17):
    x, y = batch
    a, b = (torch.sqrt((F.conv2d(v, model.prewitt) ** 2).sum(1) + least) for v in (model(x), y))  # <- here
    similar = (2 * a * b + t) / (a**2 + b**2 + t)
    return torch.sqrt(((similar - similar.mean((1, 2), keepdim=True)) ** 2).mean((1, 2)) + 1e-6).mean()


def edges_floored(model, batch):
    return edges(model, batch, 1e-6)


def squeezed(wave, clean, c=0.3):
    spectra = [torch.fft.rfft(v.unfold(1, 8, 4) * torch.hann_window(8)) for v in (wave, clean)]
    a, b = (s.abs() ** c for s in spectra)  # <- here
    return ((a - b) ** 2).mean()


def squeezed_floored(wave, clean, c=0.3):
    spectra = [torch.fft.rfft(v.unfold(1, 8, 4) * torch.hann_window(8)) for v in (wave, clean)]
    a, b = ((s.real**2 + s.imag**2 + 1e-6) ** (c / 2) for s in spectra)
    return ((a - b) ** 2).mean()


def corners_and_sides(g):
    return torch.cat([0.3 * torch.rand(6, 2, generator=g), 1 + torch.rand(6, 2, generator=g)], 1)


def _same_place(state):
    state["pred"][0, :2] = state["box"][0, :2]


def _blank(state):
    state["last.weight"].zero_()
    state["last.bias"].zero_()


SIZED = given(pred=corners_and_sides, box=corners_and_sides, target="box")
FITTED = given(centre=normal(6, 2, scale=0.2), raw=normal(6, 2), box=corners_and_sides, target="box")
PICTURES = modelled(Sharpener, unit(3, 1, 6, 6), unit(3, 1, 6, 6))
WAVES = given(wave=normal(3, 24), clean=normal(3, 24), target="clean")


CASES = (
    bug(angled, SIZED, "div sqrt", ANGLED, _same_place, verdict="limit defect", where=(_sides,)),
    sound(angled_guarded, SIZED, ANGLED, _same_place),
    bug(powered, FITTED, "pow", POWERED, fill(centre=9.0), phase="backward", verdict="defect limit"),
    sound(powered_eps, FITTED, POWERED, fill(centre=9.0)),
    bug(edges, PICTURES, "sqrt", EDGES, _blank, phase="backward"),
    sound(edges_floored, PICTURES, EDGES, _blank),
    bug(squeezed, WAVES, "pow", SQUEEZED, fill(wave=0.0), phase="backward", verdict="defect limit"),
    sound(squeezed_floored, WAVES, SQUEEZED, fill(wave=0.0)),
)  # fmt: skip
