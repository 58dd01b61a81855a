"""Bits kept by source line, in words: the lines that lose most by themselves first."""

from __future__ import annotations

from collections.abc import Sequence

from nllcheck.report.spelling import clean, number
from nllcheck.report.words import place
from nllcheck.types import LineBits

SHOWN = 3  # lines that are told without --verbose:
FEW = 12.0  # of those that keep fewer bits than this at their worst
OWN = 3.0  # and lose at least so many themselves
SIGNIFICAND = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def rows(bits: Sequence[LineBits], every: bool = False) -> list[str]:
    """ "losses.py:20 forward: 16.7 at worst, 21.9 typical; sub loses 7.1 at rho_raw = 3.14"."""
    worn = [one for one in bits if one.worst < FEW and one.lost >= OWN]
    return [_row(one) for one in (bits if every else worn[:SHOWN])]


def _row(one: LineBits) -> str:
    return f"{place(one.site)} {one.phase}: {one.worst:.1f} at worst, {one.typical:.1f} typical{_lost(one)}"


def _lost(one: LineBits) -> str:
    if one.lost < 1:
        return ""
    return f"; {one.op} loses {one.lost:.1f} at {clean(one.axis)} = {number(one.at, 4)}{stretch(one)}"


def stretch(one: LineBits) -> str:
    """ " (fewer than half are right from 0.0125 to 0.0548)", or nothing."""
    if one.stretch is None or one.stretch[0] == one.stretch[1]:
        return ""
    low, high = one.stretch
    return f" (fewer than half are right from {number(low, 3)} to {number(high, 3)})"
