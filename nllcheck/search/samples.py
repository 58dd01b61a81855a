"""Where a search begins: random points of the box, of several kinds, all magnitudes."""

from __future__ import annotations

import torch

from nllcheck.search.space import Space


def samples(space: Space, count: int, seed: int) -> torch.Tensor:
    """(count, D) points around and far from the batch; the same for the same seed.

    A quarter each: every element moved by chance, every element at one distance with a random sign, a few elements
    only, and whole tensors made constant. Half of them move one tensor only.
    """
    generator = torch.Generator().manual_seed(seed)
    width = torch.maximum(space.high - space.base, space.base - space.low).cpu().double()
    near = torch.minimum(width, (space.base.cpu().double().abs() + 1.0))
    share = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    size = near * (width / near.clamp(min=1e-30)).clamp(min=1.0) ** share  # (count, D), all magnitudes alike
    normal = torch.randn(count, len(width), generator=generator, dtype=torch.float64)
    few = torch.rand(count, len(width), generator=generator) < 3.0 / len(width)
    level = torch.randn(count, len(space.axes), generator=generator, dtype=torch.float64)
    constant = (level[:, space.owner.cpu()] * size) - space.base.cpu().double()
    kind = torch.arange(count)[:, None] % 4
    steps = torch.where(kind == 0, normal * size, torch.where(kind == 1, normal.sign() * size,
            torch.where(kind == 2, normal.sign() * size * few, constant)))  # fmt: skip
    only = torch.randint(len(space.axes), (count, 1), generator=generator)
    lone = torch.rand(count, 1, generator=generator) < 0.5
    steps = torch.where(lone & (space.owner.cpu() != only), 0.0, steps)
    rows = space.base.double() + steps.to(space.base.device)
    return space.within(rows.to(space.base.dtype))
