"""Tensors of zeros and ones that choose: between 0 and 1 there is nothing to try, but another choice is."""

from __future__ import annotations

import torch


def is_mask(value: torch.Tensor) -> bool:
    """Booleans, or zeros and ones of which both occur; one-hot rows and triangles are something else."""
    if value.is_complex() or not bool(((value == 0) | (value == 1)).all()) or value.dim() == 0:
        return False
    if value.dim() >= 2 and _is_structured(value):
        return False
    return value.dtype == torch.bool or bool((value == 0).any() and (value == 1).any())


def _is_structured(value: torch.Tensor) -> bool:
    one_hot = value.shape[-1] > 1 and bool((value.sum(-1) == 1).all())
    square = value.shape[-1] == value.shape[-2]
    return one_hot or (square and (not bool(value.triu(1).any()) or not bool(value.tril(-1).any())))
