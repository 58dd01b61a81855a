"""Exact forms of the losses that stay one op."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from flint import arb

from nllcheck.exact import forms, reduce
from nllcheck.exact.ball import Ball, SingularError, UndecidedError, ball_of, decided, lift, mapped, slope_of, unary


def nll_loss(x: Any, target: torch.Tensor, weight: Any, reduction: int, ignore: int) -> Ball:
    """-weight[target] x[target], averaged by the weights (1), summed (2) or as it is (0), where an ignored one is 0.

    The classes stand in the last dimension of two, else in the second.
    """
    ball = ball_of(x)
    if len(ball.shape) > 2:
        ball = mapped(ball, lambda a: np.moveaxis(a, 1, -1).reshape(-1, a.shape[1]))
    labels = target.cpu().numpy().reshape(-1)
    if len(ball.shape) != 2:
        raise UndecidedError("no exact form of this use of nll_loss")
    counts = labels != ignore
    known = np.where(counts, labels, 0)
    scale = np.where(counts, 1.0 if weight is None else _floats(weight)[known], 0.0)
    picked = mapped(ball, lambda a: -a[np.arange(len(labels)), known])
    picked = forms.mul(_where(counts, picked, ball_of(0.0)), torch.as_tensor(scale))
    if reduction == 0:
        return mapped(picked, lambda a: a.reshape(tuple(target.shape)))
    if reduction == 1 and not scale.sum():
        raise SingularError("nll_loss")  # an average of nothing
    return forms.div(reduce.total(picked), float(scale.sum())) if reduction == 1 else reduce.total(picked)


def multilabel_margin(x: Any, target: torch.Tensor, reduction: int = 1) -> tuple[Ball, None]:
    """Hinges between the labels of a row, up to its first -1, and the other classes, over the number of classes."""
    ball = mapped(ball_of(x), np.atleast_2d)
    rows = [_hinges(row_of(ball, k), row) for k, row in enumerate(torch.atleast_2d(target).tolist())]
    value = np.asarray([r.value.item() for r in rows], dtype=object)
    loss = Ball(value, None if ball.slope is None else np.asarray([slope_of(r).item() for r in rows], dtype=object))
    return reduced(loss if len(ball_of(x).shape) > 1 else mapped(loss, lambda a: a.reshape(())), reduction), None


def row_of(x: Ball, k: int) -> Ball:
    """x[k]."""
    return mapped(x, lambda a: a[k])


def _hinges(x: Ball, row: list[int]) -> Ball:
    labels = row[: row.index(-1)] if -1 in row else row
    others = [k for k in range(len(row)) if k not in labels]
    away = forms.sub(mapped(x, lambda a: a[None, others]), mapped(x, lambda a: a[labels, None]))
    return forms.div(reduce.total(forms.relu(forms.add(away, 1.0))), float(len(row)))


def _floats(weight: Any) -> Any:
    """Weights that nobody moves, as they were given."""
    ball = ball_of(weight)
    if ball.slope is not None:
        raise UndecidedError("no exact form of nll_loss with weights that move")
    return np.vectorize(float, otypes=[float])(ball.value)


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: int = 1) -> Ball:
    """-(t log p + (1 - t) log(1 - p)) with each log at least -100, as torch defines it."""
    one = ball_of(1.0)
    logs = [_log_from(ball_of(x)), _log_from(forms.sub(one, x))]
    loss = forms.add(forms.mul(target, logs[0]), forms.mul(forms.sub(one, target), logs[1]))
    return reduced(forms.mul(loss, -1.0 if weight is None else forms.mul(weight, -1.0)), reduction)


def _log_from(p: Ball) -> Ball:
    floor = arb(-100)

    def value(a: arb) -> arb:
        if a.is_zero():
            return floor
        log = a.log()
        return log if decided(bool(log > floor), bool(log <= floor)) else floor

    return unary(p, value, lambda a, y: 1 / a)


def mse_loss(x: Any, target: Any, reduction: int = 1) -> Ball:
    """Squared differences."""
    away = forms.sub(x, target)
    return reduced(forms.mul(away, away), reduction)


def huber_loss(x: Any, target: Any, reduction: int = 1, delta: float = 1.0) -> Ball:
    """Quadratic within `delta`, linear beyond."""
    size = forms.absolute(forms.sub(x, target))
    inside = forms.mul(forms.mul(size, size), 0.5)
    outside = forms.mul(forms.sub(size, 0.5 * delta), delta)
    small = lift(lambda a: decided(bool(a <= delta), bool(a > delta)), size.value)
    return reduced(_where(small, inside, outside), reduction)


def _where(pick: Any, x: Ball, y: Ball) -> Ball:
    value = lift(lambda p, a, b: a if p else b, pick, x.value, y.value)
    return Ball(value, lift(lambda p, a, b: a if p else b, pick, slope_of(x), slope_of(y)))


def reduced(loss: Ball, reduction: int) -> Ball:
    """torch's reduction codes: 0 none, 1 mean, 2 sum."""
    return (loss, reduce.mean(loss), reduce.total(loss))[reduction]


def smooth_l1(x: Any, target: Any, reduction: int = 1, beta: float = 1.0) -> Ball:
    """Quadratic within `beta`, linear beyond, continuous."""
    if beta == 0:
        return reduced(forms.absolute(forms.sub(x, target)), reduction)
    return forms.div(huber_loss(x, target, reduction, beta), beta)


def soft_margin(x: Any, target: Any, reduction: int = 1) -> Ball:
    """log(1 + e^(-target x))."""
    return reduced(unary(forms.mul(forms.mul(x, target), -1.0), *forms.UNARY["softplus"]), reduction)
