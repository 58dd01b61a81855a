"""What the pictures share: text and lines at rounded pixels, the batch's range as a band, the axis below."""

from __future__ import annotations

import math

from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.report.web.scale import Scale

WIDTH, LEFT, RIGHT = 720, 74, 14  # of every picture, and its margins


def text(x: float, y: float, said: str, anchor: str = "middle", **more: object) -> Safe:
    return tag("text", said, x=round(x, 1), y=round(y, 1), text_anchor=anchor, **more)


def line(x1: float, y1: float, x2: float, y2: float, **more: object) -> Safe:
    return tag("line", x1=round(x1, 1), y1=round(y1, 1), x2=round(x2, 1), y2=round(y2, 1), **more)


def rows(up: Scale, names: list[tuple[float, str]]) -> Safe:
    """A faint line across the picture at each value, with its name on the left."""
    marks = [join(line(LEFT, up(v), WIDTH - RIGHT, up(v), stroke="currentColor", opacity="0.15"),
                  text(LEFT - 6, up(v) + 4, name, "end")) for v, name in names]  # fmt: skip
    return join(*marks)


def band(across: Scale, observed: tuple[float, float], bottom: float) -> Safe | None:
    """The range that the batch itself shows, behind everything."""
    low, high = observed
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    x, width = across(low), max(across(high) - across(low), 2.0)
    shade = tag("rect", x=round(x, 1), y=14, width=round(width, 1), height=bottom - 14, fill="#8a94a0", opacity="0.18")
    return join(shade, text(min(max(x + width / 2, LEFT + 44), WIDTH - 60), 11, "batch's range", opacity="0.75"))


def value_axis(across: Scale, label: str, bottom: float) -> Safe:
    marks = [join(line(across(v), bottom, across(v), bottom + 4, stroke="currentColor"),
                  text(across(v), bottom + 16, f"{v:.4g}")) for v in across.ticks(64)]  # fmt: skip
    bent = " (logarithmic)" if across.unit else ""
    return join(*marks, text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, f"{label}{bent}", font_weight="bold"))


def key(said: str, bottom: float) -> Safe:
    """What a dashed or dotted line is, beside the axis' name, where no point can lie on it."""
    return text(LEFT, bottom + 34, said, "start", opacity="0.75")


def picture(height: float, said: str, *body: Safe | None) -> Safe:
    """The pictures' frame, with its words for those who do not see it."""
    size = {"viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "aria_label": said, "class_": "chart"}
    return tag("svg", *body, **size, fill="currentColor", font_family="system-ui, sans-serif", font_size="12")
