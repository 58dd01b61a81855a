"""What rows of numbers have in common: a total, each class once, shares of 1."""

from __future__ import annotations

import math

import torch


def are_orders(value: torch.Tensor) -> bool:
    """Does every row hold each of 0 .. K - 1 once, and too many of them for it to be by chance?"""
    width = value.shape[-1]
    rows = value.numel() // width
    by_chance = rows * (math.lgamma(width + 1) - width * math.log(width))
    is_order = bool((value.sort(-1).values == torch.arange(width, device=value.device)).all())
    return value.dim() > 1 and width > 1 and by_chance < math.log(1e-3) and is_order


def total_of(value: torch.Tensor) -> int:
    """What every row of whole numbers sums to; 0 where there is no such number."""
    rows = value.double()
    if value.dim() < 2 or value.shape[-1] < 2 or bool(((rows != rows.round()) | (rows < 0)).any()):
        return 0
    sums = rows.sum(-1).unique()
    return int(sums) if sums.numel() == 1 else 0


def sums_to_one(value: torch.Tensor) -> bool:
    return bool(((value.double().sum(-1) - 1).abs() < 1e-4).all())


def is_bits(value: torch.Tensor) -> bool:
    """Zeros and ones alone?"""
    return bool(((value == 0) | (value == 1)).all())


def is_pixels(value: torch.Tensor) -> bool:
    """Are these the levels of an image of 8 bits, scaled to [0, 1] or [-1, 1], and not just a few whole numbers?"""
    levels = value.double() * 255 if float(value.min()) >= 0 else (value.double() + 1) * 127.5
    on_grid = (
        bool(((levels - levels.round()).abs() < 1e-2).all()) and 0 <= float(levels.min()) <= float(levels.max()) <= 255
    )
    return on_grid and len(value.unique()) >= 6
