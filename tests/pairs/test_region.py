"""The line that describes a grid is right at every point, and found for the shapes that losses have."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_lines import holds

from nllcheck.pairs.lines import shortest, stabbed
from nllcheck.pairs.region import region

SIZES = np.geomspace(0.21, 203.0, 16)
RAW = np.concatenate([-SIZES[::-1], [0.0], SIZES])
POSITIVE = np.geomspace(1.1e-6, 1.3e6, 33)
ENDS = np.geomspace(1e-7, 1.0, 16)
CORRELATION = np.unique(np.concatenate([ENDS - 1, 1 - ENDS]))
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Values, what fails, and the line but for its numbers; empty: any that is right.
CASES: dict[str, tuple[np.ndarray, np.ndarray, Rule, str]] = {
    "sum": (RAW, RAW, lambda a, b: a + b < -103, "a + b < -103"),
    "difference": (RAW, RAW, lambda a, b: a - b > 20, "a - b > 20"),
    "either": (RAW, RAW, lambda a, b: (a > 88) | (b < -44), "a > 100 or b < -40"),
    "both": (RAW, RAW, lambda a, b: (a > 88) & (b < -44), "a > 100 and b < -40"),
    "one": (RAW, RAW, lambda a, b: (a > 88) & (b > -1e9), "a > 100"),
    "size": (CORRELATION, POSITIVE, lambda a, b: (abs(a) > 0.99996) & (b < 3e-4), "|a| > 0.99996 and b < 0.0003"),
    "product": (POSITIVE, POSITIVE, lambda a, b: a * b < 1e-6, "a * b < 1e-06"),
    "power": (POSITIVE, POSITIVE, lambda a, b: a / b**2 > 3e6, "a / b**2 > 3e+06"),
    "ratio": (RAW, POSITIVE, lambda a, b: abs(a) > 14.4 * b, "|a| > 14 * b"),
    "shifted": (RAW, POSITIVE, lambda a, b: (a - 1.5 > 14.4 * b) | (-1.6 - a > 14.4 * b), ""),
    "signed": (POSITIVE, RAW, lambda a, b: a * b > 88.7, "b * a > 90"),
    "logarithm": (RAW, POSITIVE, lambda a, b: a > 88 - 2 * np.log(b), ""),
    "circle": (RAW, RAW, lambda a, b: a**2 + b**2 < 9, ""),
    "near": (RAW, RAW, lambda a, b: abs(a - b) < 0.01, ""),
    "mended": (RAW, RAW, lambda a, b: (a > 100) | ((a > 14) & (b < 3)), ""),
    "corner": (RAW, RAW, lambda a, b: (a > 100) | (a + b < -103), ""),
    "all": (RAW, RAW, lambda a, b: a + b < 1e9, "everywhere on this map"),
    "none": (RAW, RAW, lambda a, b: a + b > 1e9, ""),
}
HARD = {  # no line of the known kinds
    "bands": (RAW, RAW, lambda a, b: np.sin(a / 9) * np.cos(b / 7) > 0.2),
    "speck": (RAW, RAW, lambda a, b: (a == RAW[3]) & (b == RAW[9]) | (a == RAW[20]) & (b == RAW[25])),
}


def shape(line: str) -> str:
    """Without its numbers, which any between two points of the grid may be."""
    return re.sub(r"-?[0-9.]+(e[+-]?[0-9]+)?", "#", line.replace("**", "^"))


@pytest.mark.parametrize("name", CASES)
def test_the_line_is_right_at_every_point(name):
    xs, ys, rule, wanted = CASES[name]
    a, b = xs[:, None], ys[None, :]
    fails = np.broadcast_to(rule(a, b), (len(xs), len(ys)))
    line, wrong = region(("a", "b"), xs, ys, fails)
    assert not wrong
    assert bool(line) == bool(fails.any())
    assert not wanted or shape(line) == shape(wanted)
    if line and line != "everywhere on this map":
        assert np.array_equal(holds(line, a=a, b=b) | (fails & False), fails), line


@pytest.mark.parametrize("name", HARD)
def test_what_no_line_describes_gets_none(name):
    xs, ys, rule = HARD[name]
    assert region(("a", "b"), xs, ys, rule(xs[:, None], ys[None, :])) == ("", 0)


def test_a_line_that_is_nearly_right_says_at_how_many_points_it_is_not():
    a, b = RAW[:, None], RAW[None, :]
    fails = a + b > 40.3
    fails[3, 4] = fails[7, 9] = True
    fails[28, 30] = False
    line, wrong = region(("a", "b"), RAW, RAW, fails)
    off = int((holds(line, a=a, b=b) != fails).sum())
    assert shape(line) == "a + b > #" and wrong == off == 3


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 3), st.floats(-60, 60), st.booleans())
def test_any_straight_edge_is_found(slope, level, above):
    a, b = RAW[:, None], RAW[None, :]
    fails = (a > slope * b + level) == above
    line = region(("a", "b"), RAW, RAW, fails)[0]
    assert line and np.array_equal(holds(line, a=a, b=b) | (fails & False), fails), line


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e3))
def test_a_short_number_lies_between(low, width):
    assert low <= shortest(low, low + width) < low + width


@given(st.floats(-5, 5), st.floats(-50, 50), st.floats(0.01, 9))
def test_a_line_through_segments_passes_all_of_them(slope, level, width):
    at = np.linspace(-7, 9, 12)
    low, high = slope * at + level - width, slope * at + level + width
    found = stabbed(at, low, high)
    assert found is not None and (high - found * at).min() > (low - found * at).max()


def test_no_line_passes_a_zigzag():
    at = np.arange(6.0)
    low = np.where(at % 2 == 0, 0.0, 10.0)
    assert stabbed(at, low, low + 1) is None
