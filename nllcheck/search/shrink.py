"""A failing point -> one that is easier to read: fewer elements moved, less far, in round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from nllcheck.detect.births import Bools
from nllcheck.search.space import Space

Fails = Callable[[torch.Tensor], Bools]  # (S, D) -> at which of them
ROUNDS = 12
SECTIONS = 32


def shrink(space: Space, row: torch.Tensor, fails: Fails) -> torch.Tensor:
    """A point (D,) that fails, too."""
    row = _fewer(space, row, fails)
    return _rounder(space, _nearer(space, row, fails), fails)


def _fewer(space: Space, row: torch.Tensor, fails: Fails) -> torch.Tensor:
    """Delta debugging (Zeller & Hildebrandt 2002) over the moved elements, all parts of a round at once."""
    moved = torch.nonzero(row != space.base).reshape(-1)
    parts = 2
    for _ in range(ROUNDS):
        if len(moved) < 2:
            break
        chunks = [c for c in moved.tensor_split(min(parts, len(moved))) if len(c)]
        rests = [torch.cat([c for c in chunks if c is not chunk]) for chunk in chunks]
        tried = [*chunks, *rests]
        failing = fails(torch.stack([_only(space, row, kept) for kept in tried]))
        smaller = [kept for kept, bad in zip(tried, failing, strict=True) if bad]
        if not smaller and parts >= len(moved):
            break
        parts = min(parts * 2, len(moved)) if not smaller else max(2, parts // 2)
        moved = min(smaller, key=len) if smaller else moved
    return _only(space, row, moved)


def _only(space: Space, row: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    made = space.base.clone()
    made[kept] = row[kept]
    return made


def _nearer(space: Space, row: torch.Tensor, fails: Fails) -> torch.Tensor:
    """The nearest failing point on the straight line to the batch, to a thousandth of the way."""
    low, high = 0.0, 1.0
    for _ in range(2):
        shares = torch.linspace(low, high, SECTIONS + 1, dtype=torch.float64)[1:]
        failing = fails(torch.stack([on_line(space, row, float(t)) for t in shares]))
        first = int(failing.argmax()) if failing.any() else SECTIONS - 1
        low, high = float(shares[first - 1]) if first else low, float(shares[first])
    return on_line(space, row, high)


def on_line(space: Space, row: torch.Tensor, share: float) -> torch.Tensor:
    """The share of the way from the batch to `row`, and beyond it for shares above 1; within the box."""
    if share == 1:
        return row
    base = space.base.double()
    return space.within((base + share * (row.double() - base)).to(row.dtype))


def _rounder(space: Space, row: torch.Tensor, fails: Fails) -> torch.Tensor:
    """The first of 1 to 5 digits, rounded away from the batch, that still fails."""
    tried = torch.stack([_rounded(space, row, digits) for digits in range(1, 6)])
    failing = fails(tried)
    return tried[int(failing.argmax())] if failing.any() else row


def _rounded(space: Space, row: torch.Tensor, digits: int) -> torch.Tensor:
    exact, base = row.double(), space.base.double()
    unit = 10.0 ** (torch.floor(torch.log10(exact.abs().clamp(min=1e-300))) - digits + 1)
    away = torch.where(exact > base, torch.ceil(exact / unit - 1e-9), torch.floor(exact / unit + 1e-9)) * unit
    return torch.where(row == space.base, row, space.within(away.to(row.dtype)))


def share_failing(space: Space, row: torch.Tensor, fails: Fails, seed: int) -> float:
    """Of 64 points around a failing one (each moved element a thousandth of its way to either side), how many fail."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(64, len(row), generator=generator, dtype=torch.float64).to(row.device)
    step = (row.double() - space.base.double()).abs() * 1e-3
    around = space.within((row.double() + step * noise).to(row.dtype))
    return float(fails(around).mean()) if math.prod(around.shape) else 0.0
