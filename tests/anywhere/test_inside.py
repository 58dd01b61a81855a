"""Failures inside the model: found by moving the raw values before them, silent on the repaired twin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

import nllcheck
from benchmarks.detect.cases import programs
from nllcheck.axes import depends_on
from nllcheck.axes.boundary import boundary
from nllcheck.axes.inside import hidden, inside_axes, levels
from nllcheck.capture import capture
from nllcheck.errors import NllcheckError
from nllcheck.target import Target, split_batch
from nllcheck.types import EFFORTS

CASES = {c.id.rpartition("/")[2]: c for c in programs.CASES}
BAD = ("UnitRows", "Standardised", "ExpGate", "LogFeature", "ScaledInput", "Tempered", "WeightNormed", "SoftAttention")
GOOD = ("UnitRowsBounded", "StandardisedBounded", "ExpGateShifted", "ScaledInputBounded", "WeightNormedBounded",
        "SoftAttentionShifted", "SparseDropoutBounded")  # fmt: skip


def case_of(name: str):
    return CASES[f"cross_entropy[{name}]"]


def report_of(name: str, **options):
    case = case_of(name)
    setup = case.setup()
    return nllcheck.check(
        case.loss, model=setup.model, batch=(setup.tensors["inputs"], setup.tensors["targets"]), **options
    )


def graph_of(name: str):
    case = case_of(name)
    setup = case.setup()
    batch = split_batch((setup.tensors["inputs"], setup.tensors["targets"]))
    return capture(Target("t", case.loss, "loss", setup.model, (batch,)), batch)


@pytest.mark.parametrize("name", BAD)
def test_a_failure_between_two_layers_is_found_at_its_op_and_line(name):
    case = case_of(name)
    found = [f for f in report_of(name).findings if f.severity != "note"]
    assert {(f.site.path, f.site.line) for f in found if f.site} <= case.marks()
    assert {f.op for f in found} & set(case.bug.ops)


@pytest.mark.parametrize("name", GOOD)
def test_its_repaired_twin_is_silent(name):
    assert [f for f in report_of(name).findings if f.severity != "note"] == []


def test_the_threshold_is_that_of_the_layer_s_output():
    """The serial loop: the first layer's output replaced by one value, on both sides of the threshold."""
    found = next(f for f in report_of("ExpGate").findings if f.op == "exp" and f.axis and "×" not in f.axis)
    case = case_of("ExpGate")
    setup = case.setup()
    for value, is_sound in ((found.last_good, True), (found.threshold, False)):
        hook = setup.model.body.register_forward_hook(lambda m, args, out, v=value: torch.full_like(out, v))
        loss = F.cross_entropy(setup.model(setup.tensors["inputs"]), setup.tensors["targets"])
        hook.remove()
        gradients = torch.autograd.grad(loss, list(setup.model.head.parameters()))
        assert all(torch.isfinite(t).all() for t in (loss, *gradients)) == is_sound


@pytest.mark.parametrize("name", ["SoftAttention", "WeightNormed", "Cosine", "StatisticsPooling"])
def test_no_raw_value_of_a_layer_depends_on_another_of_it(name):
    graph = graph_of(name)
    nodes = hidden(graph, boundary(graph.graph))
    assert nodes
    groups = levels(graph.graph, nodes)
    assert sorted(n for g in groups for n in g) == sorted(nodes)
    for group in groups:
        for one in group:
            assert depends_on(graph.graph, {one}) & set(group) == {one}


def test_more_effort_moves_more():
    counts = [len(inside_axes(graph_of("SoftAttention"), effort)[0]) for effort in EFFORTS]
    assert counts[0] == 0 < counts[1] < counts[2]


def test_an_unknown_effort_is_an_error():
    with pytest.raises(NllcheckError, match="unknown effort 'hard'"):
        report_of("UnitRows", effort="hard")
