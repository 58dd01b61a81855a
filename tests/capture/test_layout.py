"""Where a batch has its rows."""

from __future__ import annotations

import pytest
import torch

from nllcheck.capture.layout import Layout, layouts
from nllcheck.capture.rows import rows_of
from nllcheck.target import Batch

STEPS, ROWS, WIDE = 5, 4, 3
CHOSEN = (1, 3)


def of_row(value: torch.Tensor, dim: int) -> torch.Tensor:
    """`value` filled with the index along `dim`."""
    shape = [1] * value.dim()
    shape[dim] = -1
    return torch.arange(value.shape[dim], dtype=value.dtype).reshape(shape).expand(value.shape).clone()


FIRST, INNER, LATER = Layout(ROWS), Layout(ROWS, inner=STEPS), Layout(ROWS, steps=STEPS)
HELD = {  # a tensor that says of each element which row it belongs to
    "rows": (FIRST, of_row(torch.zeros(ROWS, WIDE), 0)),
    "labels": (FIRST, of_row(torch.zeros(ROWS), 0)),
    "labels of all steps, rows first": (INNER, of_row(torch.zeros(ROWS, STEPS), 0).flatten()),
    "steps first": (LATER, of_row(torch.zeros(STEPS, ROWS, WIDE), 1)),
    "tokens, steps first": (LATER, of_row(torch.zeros(STEPS, ROWS), 1).long()),
    "labels of all steps, steps first": (LATER, of_row(torch.zeros(STEPS, ROWS), 1).flatten().long()),
    "a state of two layers": (LATER, of_row(torch.zeros(2, ROWS, WIDE), 1)),
    "lengths beside steps": (LATER, of_row(torch.zeros(ROWS), 0)),
}
NONE = {
    "weights of classes": (FIRST, torch.ones(WIDE)),
    "a number": (LATER, torch.tensor(0.5)),
    "a table as long as steps": (LATER, torch.zeros(STEPS, WIDE)),
}


@pytest.mark.parametrize("name", HELD)
def test_rows_are_cut_and_read_alike(name):
    layout, value = HELD[name]
    rows = layout.by_rows(value)
    assert rows.shape[0] == ROWS
    assert torch.equal(rows, torch.arange(ROWS, dtype=rows.dtype)[:, None].expand_as(rows))
    kept = layout.cut(value, CHOSEN)
    assert kept.dim() == value.dim()
    assert set(kept.flatten().tolist()) == set(CHOSEN)
    assert kept.numel() * ROWS == value.numel() * len(CHOSEN)
    some = Layout(len(CHOSEN), layout.inner, layout.steps)
    assert torch.equal(some.by_rows(kept), rows[list(CHOSEN)])


@pytest.mark.parametrize("name", NONE)
def test_what_has_no_rows_stays(name):
    layout, value = NONE[name]
    assert layout.cut(value, CHOSEN) is value
    assert layout.by_rows(value) is None


def test_values_of_several_rows_of_a_program_each():
    assert FIRST.by_rows(torch.arange(2.0 * ROWS)).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


TOKENS = torch.arange(STEPS * ROWS).reshape(STEPS, ROWS) % 7
MARKS = TOKENS % 2  # a table of 0 and 1 has no steps
BATCHES = {
    "a table": (Batch((torch.zeros(8, 2),), targets=torch.zeros(8)), [Layout(8)]),
    "images against images": (Batch((torch.zeros(8, 3, 6, 6),), targets=torch.zeros(8, 3, 6, 6)), [Layout(8)]),
    "embeddings against embeddings": (Batch((torch.zeros(8, 6),), targets=torch.zeros(8, 6)), [Layout(8)]),
    "labels of all steps": (
        Batch((TOKENS,), targets=torch.zeros(STEPS * ROWS).long()),
        [Layout(STEPS * ROWS), Layout(STEPS, inner=ROWS), Layout(ROWS, steps=STEPS)],
    ),
    "next tokens": (Batch((TOKENS,), targets=TOKENS), [Layout(STEPS), Layout(ROWS, steps=STEPS)]),
    "next tokens, told as they came": (
        Batch((TOKENS,), whole=(TOKENS, 1.5)),
        [Layout(STEPS)],
    ),
    "a table of marks": (Batch((MARKS,), targets=MARKS), [Layout(STEPS)]),
    "speech": (
        Batch((torch.zeros(STEPS, ROWS, WIDE),), targets=(torch.zeros(ROWS, 2).long(), torch.zeros(ROWS).long())),
        [Layout(ROWS), Layout(ROWS, steps=STEPS)],
    ),
    "nothing": (Batch((3.0,)), [Layout(0)]),
}


@pytest.mark.parametrize("name", BATCHES)
def test_how_a_batch_may_hold_its_rows(name):
    batch, wanted = BATCHES[name]
    assert list(layouts(batch)) == wanted


def test_a_batch_of_some_rows_keeps_what_has_none():
    batch = Batch((TOKENS,), {"weights": torch.ones(WIDE)}, torch.zeros(STEPS * ROWS).requires_grad_(), (TOKENS, 1.5))
    some = rows_of(batch, CHOSEN, LATER)
    assert some.args[0].shape == some.whole[0].shape == (STEPS, 2)
    assert (some.targets.shape, some.targets.requires_grad) == ((STEPS * 2,), True)
    assert some.kwargs["weights"].shape == (WIDE,)
    assert some.whole[1] == 1.5
