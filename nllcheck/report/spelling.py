"""How strings, numbers and paths are spelled in a report: safe to show, short, and exact where it matters."""

from __future__ import annotations

import math
import os
import struct
import unicodedata
from contextlib import suppress
from pathlib import Path

_SPECIAL = {"\t": " ", "\n": "\\n", "\r": "\\r"}


def clean(text: str) -> str:
    """`text` on one line with nothing in it that steers a terminal.

    Control and format characters (ANSI, bidirectional overrides, zero width, lone surrogates, line
    separators) become visible escapes; a tab becomes a space.
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character.isprintable():  # false for categories C and Z, the ordinary space excepted
        return character
    if character in _SPECIAL:
        return _SPECIAL[character]
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def code(text: str) -> str:
    """Lines of code, each safe to show."""
    return "\n".join(clean(row) for row in text.strip("\n").splitlines())


def prose(text: str) -> str:
    """A text of sentences, where line breaks are only layout."""
    return clean(" ".join(text.split()))


def number(value: float, digits: int = 7) -> str:
    """A value for people: "NaN", "inf", "-0.8312", "3.4e+38"."""
    if math.isnan(value):
        return "NaN"
    return f"{value:.{digits}g}"


def exact(value: float, dtype: str) -> str:
    """The shortest decimal that reads back as the same float of `dtype`; float64's where it is no such float."""
    if not math.isfinite(value) or round_to(value, dtype) != value:
        return repr(value) if math.isfinite(value) else number(value)
    texts = (f"{value:.{digits}g}" for digits in range(1, 18))
    shortest = next(text for text in texts if round_to(float(text), dtype) == value)
    plain = "e" in shortest and 1e-4 <= abs(value) < 1e7
    return repr(float(shortest)).removesuffix(".0") if plain else shortest  # 10, not 1e+01


def round_to(value: float, dtype: str) -> float:
    """`value` rounded to the nearest float of `dtype`, ties to even; any other dtype counts as float64."""
    if dtype == "bfloat16":
        return _round_bfloat16(value)
    code = {"float32": "f", "float16": "e"}.get(dtype, "d")
    try:
        return float(struct.unpack(code, struct.pack(code, value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _round_bfloat16(value: float) -> float:
    single = round_to(value, "float32")
    if not math.isfinite(single):
        return single
    bits = struct.unpack("I", struct.pack("f", single))[0]
    bits += 0x7FFF + (bits >> 16 & 1)
    return float(struct.unpack("f", struct.pack("I", bits & 0xFFFF0000))[0])


def count(items: int, noun: str, plural: str = "") -> str:
    """One point; 2,001 points."""
    return f"{items:,} {noun if items == 1 else plural or noun + 's'}"


def short_path(path: str) -> str:
    """`path` against the working directory where it lies below it, else as it is; with forward slashes."""
    with suppress(ValueError, OSError):
        path = str(Path(path).relative_to(os.getcwd()))
    return path.replace(os.sep, "/")
