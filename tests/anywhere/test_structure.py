"""Variations of the batch: told in words, true by the user's own code, and never an invalid value."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))

import nllcheck
from benchmarks.detect.cases import structure as cases
from nllcheck.axes.masks import is_mask
from nllcheck.capture.program import Leaf
from nllcheck.structure.variants import variants

ALL = {c.id.rpartition("/")[2]: c for c in cases.CASES}
BAD = {
    "error_where_selected": "a batch with mask = False throughout",
    "both_classes": "a batch with labels = 0 throughout",
    "proportional_hazards": "a batch with event = 0 throughout",
    "attend_to_some": "a batch with seen = False throughout",
    "log_of_padding": "a batch with y = 0 where it is masked out",
}


def report_of(name: str, **options):
    setup = ALL[name].setup()
    return nllcheck.check_function(ALL[name].loss, setup.tensors, target=setup.targets, **options)


@pytest.mark.parametrize("name", BAD)
def test_the_batch_that_fails_is_told_in_words(name):
    alarms = [f for f in report_of(name).findings if f.severity != "note"]
    assert [(f.axis, f.kind, f.verdict, f.severity) for f in alarms] == [(BAD[name], "nan", "limit", "warning")]
    assert {(f.site.path, f.site.line) for f in alarms} <= ALL[name].marks()
    assert BAD[name] in alarms[0].message


@pytest.mark.parametrize("name", [f"{n}_guarded" for n in BAD] + ["padded_sequences"])
def test_a_guarded_loss_raises_no_alarm(name):
    assert [f for f in report_of(name).findings if f.severity != "note"] == []


def test_code_that_makes_float32_tensors_of_its_own_is_judged_too():
    """The risk sets of the events are written into a matrix of torch's default dtype."""
    event = torch.tensor([1, 0, 1, 1, 0])

    def loss(risk, event):
        at_risk = torch.zeros(len(risk), len(risk))
        at_risk[event.bool()] = risk.expand(len(risk), -1)[event.bool()]
        return (at_risk.logsumexp(1) - risk)[event.bool()].mean()

    found = nllcheck.check_function(loss, {"risk": torch.linspace(-1, 1, 5), "event": event}, target="event").findings
    empty = [f for f in found if f.axis == "a batch with event = 0 throughout"]
    assert [(f.op, f.verdict, f.severity) for f in empty] == [("mean", "limit", "warning")]


def test_quick_tries_none():
    assert [f for f in report_of("both_classes", effort="quick").findings if f.severity != "note"] == []


def test_a_single_row_is_a_note():
    x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), torch.linspace(-1, 1, 18).reshape(6, 3)

    def loss(x, y):
        return (y * (x - x.mean(0)) / (x.std(0) + 1e-6)).mean()

    found = nllcheck.check_function(loss, {"x": x, "y": y}, target="y").findings
    single = [f for f in found if f.axis and "one row" in f.axis]
    assert [(f.op, f.severity) for f in single] == [("std", "note")]


def test_code_that_refuses_a_batch_has_said_so_itself():
    def loss(x, mask):
        assert mask.any(), "nothing is selected"
        return F.softplus(x[mask]).mean()

    mask = torch.tensor([True, False, True, True])
    found = nllcheck.check_function(loss, {"x": torch.linspace(-1, 1, 4), "mask": mask}, target="mask").findings
    assert [f for f in found if f.axis and "mask" in f.axis] == []


INTEGERS = st.lists(st.integers(0, 6), min_size=2, max_size=9).map(torch.tensor)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(labels=INTEGERS, role=st.sampled_from(["target", "input"]), as_float=st.booleans(), has_model=st.booleans())
def test_a_variation_keeps_shape_dtype_and_support(labels, role, as_float, has_model):
    value = labels.float() if as_float else labels
    for one in variants([Leaf("y", role, value)], has_model):
        assert one.value.shape == value.shape and one.value.dtype == value.dtype
        assert not torch.equal(one.value, value)
        assert set(one.value.tolist()) <= set(value.tolist()) | ({0.0, 1.0} if is_mask(value) else set())


@pytest.mark.parametrize("lengths", [[4, 2, 3], [4, 4, 4]])
def test_lengths_stay_within_the_longest(lengths):
    leaves = [Leaf("x", "input", torch.zeros(3, 4)), Leaf("lengths", "input", torch.tensor(lengths))]
    found = variants(leaves, has_model=False)
    assert {one.value[0].item() for one in found} == {0, 1}
    assert all(math.inf > max(one.value) and max(one.value) <= 4 for one in found)


@pytest.mark.parametrize(("shape", "place"), [((6, 2), (..., 1)), ((4, 5, 2), (..., 1)), ((6, 2, 4), (slice(None), 1))])
def test_a_mask_that_is_packed_with_the_data_is_emptied(shape, place):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    value[place] = (value[place] > 0).float()
    words = "..., 1" if place[0] is ... else ":, 1"
    found = {one.label: one.value for one in variants([Leaf("y", "target", value)], has_model=True)}
    assert set(found) == {f"y[{words}] = {v} throughout" for v in (0, 1)}
    for label, changed in found.items():
        assert bool((changed[place] == float(label.split()[-2])).all())
        assert bool((changed != value)[place].any()) and int((changed != value).sum()) == int(
            (changed != value)[place].sum()
        )


def test_one_hot_labels_may_all_be_of_one_class():
    rows = torch.eye(3)[torch.tensor([0, 1, 2, 1])]
    found = variants([Leaf("y", "target", rows)], has_model=True)
    assert [(one.label, one.value.argmax(-1).unique().tolist()) for one in found] == [
        ("y = class 0 throughout", [0]),
        ("y = class 2 throughout", [2]),
    ]
    assert all(bool((one.value.sum(-1) == 1).all()) for one in found)


def test_a_selection_of_nothing_is_told_as_such():
    packed = torch.tensor([[0.3, 1.0], [-0.2, 0.0], [0.9, 1.0], [0.1, 0.0]])

    def loss(x, y):
        return F.mse_loss(x[y[:, 1] > 0], y[:, 0][y[:, 1] > 0])

    alarms = [f for f in nllcheck.check_function(loss, {"x": packed[:, 0] + 1, "y": packed}, target="y").findings
              if f.severity != "note"]  # fmt: skip
    message = "The mse_loss of an empty selection gives NaN on a batch with y[..., 1] = 0 throughout."
    assert [f.message for f in alarms] == [message]


def test_a_rule_reads_the_range_of_a_parameter():
    """The divisor is a leaf, no op's output."""
    y = torch.linspace(-1, 1, 6)

    def loss(x, w, y):
        return ((x * (1.0 / w) - y) ** 2).mean()

    report = nllcheck.check_function(loss, {"x": y + 0.3, "w": torch.ones(1), "y": y}, target="y", points=200)
    assert {f.rule for f in report.findings if f.severity != "note"} == {"NLL304"}
