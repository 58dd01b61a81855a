"""The break map in words: a line an axis, the nearest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from nllcheck.report.spelling import clean, exact
from nllcheck.types import Break

SHOWN = 4  # axes that are told without --verbose,
FAR = 1e6  # unless they fail only so many times beyond the batch's range, whatever the dtype


def rows(breaks: Sequence[Break], dtype: str, every: bool = False) -> list[str]:
    """ "sigma_raw (batch -1.2 to 3.1) 28 x: float32 >= 88.72284; float16 >= 11.09", sorted by the margin in `dtype`."""
    axes = [list(group) for _, group in groupby(breaks, key=lambda b: b.axis)]
    axes.sort(key=lambda group: next((b.reach for b in group if b.dtype == dtype), math.inf))
    near = [group for group in axes if any(b.reach <= FAR for b in group)]
    shown = axes if every else near[:SHOWN]
    left = len(axes) - len(shown)
    more = [f"{left} more with --verbose"] if left and shown else []
    return [_row(group, dtype) for group in shown] + more


def _row(group: Sequence[Break], dtype: str) -> str:
    own = next((b for b in group if b.dtype == dtype), group[0])
    low, high = own.observed
    margin = "never" if math.isinf(own.reach) else f"{own.reach:.3g} x"
    return f"{clean(own.axis)} (batch {low:.3g} to {high:.3g}) {margin}: {'; '.join(by_dtype(group))}"


def by_dtype(group: Sequence[Break]) -> list[str]:
    """ "float32 and bfloat16 >= 88.7": the edges of one axis, those that are the same said once."""
    said = {text: [b.dtype for b in group if edges(b) == text] for text in map(edges, group)}
    several = len(said) > 1 or len(group) == 1
    return [f"{_all(dtypes) if several else 'every dtype'} {text}" for text, dtypes in said.items()]


def _all(dtypes: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(dtypes[:-1]), dtypes[-1])))


def edges(one: Break) -> str:
    """The first failing values both ways: "<= -3.2, >= 88.72284"."""
    if one.skipped:
        return "not tried"
    if any(end is not None and one.observed[0] <= end <= one.observed[1] for end in (one.below, one.above)):
        return "inside the batch's range"
    ends = [f"<= {_spelled(one.below, one)}"] if one.below is not None else []
    ends += [f">= {_spelled(one.above, one)}"] if one.above is not None else []
    return ", ".join(ends) or "never"


def _spelled(value: float, one: Break) -> str:
    """Under autocast some values are float32's and some float16's; these are float32's, too."""
    dtype = "float32" if one.dtype == "autocast" else one.dtype.split()[0]  # "float32 on the cpu"
    return exact(value, dtype) if dtype != "float64" else f"{value:.7g}"
