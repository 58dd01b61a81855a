"""`python both.py LIBRARY`: checks on the CPU and on the second device; a line of JSON for each, with what differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from cases import ALL, batch_for, model_for
from second import NAME, register

import nllcheck
from benchmarks.detect.cases import CASES

Check = Callable[[str], nllcheck.Report]
# all but the bits that are lost: chunks of another size round otherwise in the last of them
TOLD = ("findings", "densities", "pairs", "notes", "skipped", "searched", "incomplete")
OPTIONS = ({"dtype": "float16"}, {"effort": "quick"})
CORPUS = (  # what goes other ways: masks, zeros, padding, a convolution, a backward of its own op by op
    "masked_targets/gaussian_nll_of_observed_with_variance_for_sigma",
    "counting/zero_inflated_poisson",
    "structure/log_of_padding_guarded",
    "fresh_layers/cross_entropy[Convolved]",
    "training/custom_function",
)


def checks() -> Iterator[tuple[str, Check]]:
    """Everything that is checked, by name."""
    for name in list(ALL)[::6]:
        yield name, lambda device, name=name: _engine(name, device)
    for given in OPTIONS:
        yield f"correlation {given}", lambda device, given=given: _engine("correlation", device, **given)
    by_id = {case.id: case for case in CASES}
    for name in CORPUS:
        yield name, lambda device, case=by_id[name]: _of_corpus(case, device)


def _engine(name: str, device: str, **options: Any) -> nllcheck.Report:
    case = ALL[name]
    return nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case), device=device, **options)


def _of_corpus(case: Any, device: str) -> nllcheck.Report:
    setup = case.setup()
    if setup.model is None:
        return nllcheck.check_function(case.loss, setup.tensors, target=setup.targets, device=device)
    batch = setup.tensors["inputs"], setup.tensors["targets"]
    return nllcheck.check(case.loss, model=setup.model, batch=batch, device=device)


def differing(check: Check) -> dict[str, Any]:
    """What the two reports tell differently, and whether the second ran where it should."""
    here, there = check("cpu"), check(NAME)
    own, other = (report.to_dict() | {"thresholds": _thresholds(report)} for report in (here, there))
    found = {key: [own[key], other[key]] for key in (*TOLD, "thresholds") if own[key] != other[key]}
    if own["facts"]["capture"] != other["facts"]["capture"] or there.facts.device != f"{NAME}:0":
        found["facts"] = [own["facts"], other["facts"]]
    return found


def _thresholds(report: nllcheck.Report) -> list[Any]:
    """Of what the device computes: what autocast casts is another list on each kind of device."""
    return [(b.axis, b.dtype, b.below, b.above, b.skipped) for b in report.breaks if b.dtype != "autocast"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    register(Path(sys.argv[1]))
    for name, check in checks():
        try:
            print(json.dumps([name, differing(check)]), flush=True)
        except Exception as error:
            print(json.dumps([name, {"raised": repr(error)}]), flush=True)
