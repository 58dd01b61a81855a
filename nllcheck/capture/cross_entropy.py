"""Binary cross-entropy with logits for the trace, without parts that cancel.

Functionalising takes torch's op apart with a largest value that is taken out and added again. That has the right value;
its derivative is 0 at x = -20 and y = 0, where torch's own, sigmoid(x) - y, is right to the last bit. At x = 20 and
y = 1 torch's is 0, too, a last bit of the label away from the exact one, which this form has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@contextlib.contextmanager
def whole_cross_entropy() -> Iterator[None]:
    """Meanwhile `torch.binary_cross_entropy_with_logits`, which the functions and modules call, is `_with_logits`."""
    plain = torch.binary_cross_entropy_with_logits
    torch.binary_cross_entropy_with_logits = _with_logits  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.binary_cross_entropy_with_logits = plain


def _with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 1
) -> Tensor:
    """-(p y log sigmoid(x) + (1 - y) log sigmoid(-x)), of which no part cancels; `reduction` 0 none, 1 mean, 2 sum."""
    weighed = target if pos_weight is None else pos_weight * target
    loss = -(weighed * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return loss if reduction == 0 else loss.mean() if reduction == 1 else loss.sum()
