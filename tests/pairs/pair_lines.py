"""Reads the lines that maps are described with, by Python's own arithmetic."""

from __future__ import annotations

import re
from typing import Any

import numpy as np


def holds(line: str, **values: Any) -> Any:
    """What a line says of these values, which may be arrays that fit together."""
    turned = line.startswith("everywhere but where ")
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", line.removeprefix("everywhere but where "))
    text = re.sub(r"(\S+) < (\w+) < (\S+)", r"\1 < \2 and \2 < \3", text)
    with np.errstate(all="ignore"):
        spelled = text.replace(" and ", ") & (").replace(" or ", ") | (")
        told = eval(f"({spelled})", {"abs": abs, "log": np.log, "exp": np.exp}, values)
    return np.logical_not(told) if turned else told
