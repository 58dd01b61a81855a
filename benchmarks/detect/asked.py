"""The tools' answers about one case, from a process of its own."""

from __future__ import annotations

import torch

from benchmarks.detect.cases import CASES
from benchmarks.detect.score import Mark, mark
from benchmarks.detect.tools import NLLCHECK, TOOLS, Answer, ask

BY_ID = {case.id: case for case in CASES}

Told = tuple[str, str, Mark, Answer]  # the case, the row of the table, whether it is right, and what was said


def start(tools: tuple[str, ...], case: str) -> None:
    """Begins a process: what a first call costs is start-up, not the case."""
    torch.set_num_threads(1)
    for tool in tools:
        ask(TOOLS[tool], BY_ID[case], BY_ID[case].setup())


def asked(tools: tuple[str, ...], case: str) -> list[Told]:
    """What each of the tools says about the case of this id."""
    return [(case, row, mark(BY_ID[case], answer), answer) for tool in tools for row, answer in _answers(tool, case)]


def _answers(tool: str, case: str) -> list[tuple[str, Answer]]:
    """The ordinary batch for all; tools that cannot search also get the extreme one (the ordinary where none is)."""
    first = ask(TOOLS[tool], BY_ID[case], BY_ID[case].setup())
    if tool == NLLCHECK:
        return [(tool, first)]
    extreme = BY_ID[case].extreme_setup()
    other = ask(TOOLS[tool], BY_ID[case], extreme) if extreme else first
    return [(f"{tool}, batch", first), (f"{tool}, extreme batch", other)]
