"""Large batches of sequences: some rows of them, or some of their steps, where the program allows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from test_large import failures, thresholds
from torch import nn

import nllcheck
from nllcheck.axes import excerpt
from nllcheck.axes.excerpt import excerpt_of
from nllcheck.capture.attempt import captured
from nllcheck.target import Target, split_batch

STEPS, ROWS, WORDS = 6, 8, 30


class Recurrent(nn.Module):
    """Steps first, as many ops as there are steps; scores of all steps in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.steps, self.out = nn.Embedding(WORDS, 4), nn.GRU(4, 4), nn.Linear(4, WORDS)

    def forward(self, x):
        return self.out(self.steps(self.words(x))[0]).flatten(0, 1)


class Attending(nn.Module):
    """Rows first, any number of steps, each of which reads all."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(WORDS, 4), nn.Linear(4, WORDS)
        self.read = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        hidden = self.words(x)
        return self.out(self.read(hidden, hidden, hidden, need_weights=False)[0])


def log_of_softmax(scores, labels):
    return F.nll_loss(torch.log(torch.softmax(scores.flatten(0, -2), -1)), labels.flatten(), ignore_index=-100)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, WORDS, shape, generator=torch.Generator().manual_seed(0))


def steps_first():
    return Recurrent(), (tokens(STEPS, ROWS), tokens(STEPS * ROWS))


def masked():
    """Two labels of five hundred and twelve: those few have to be among what is looked at."""
    labels = torch.full((ROWS, 64), -100)
    labels[3, 40], labels[6, 11] = 7, 5
    return Attending(), (tokens(ROWS, 64), labels)


def part_of(model, batch):
    whole = split_batch(batch)
    target = Target("loss", log_of_softmax, "log_of_softmax", model, (whole,))
    graph, remarks = captured(target, whole, 0)
    assert graph, remarks
    return excerpt_of(target, whole, graph, "default")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(excerpt, "LARGE", 1000.0)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_rows_behind_steps(few):
    model, batch = steps_first()
    part = part_of(model, batch)
    assert (part.count, part.layout.steps, len(part.rows)) == (ROWS, STEPS, 2)
    assert part.batch.args[0].shape == (STEPS, 2)
    assert torch.equal(part.batch.targets, batch[1].reshape(STEPS, ROWS)[:, list(part.rows)].flatten())


def test_some_steps_of_some_rows_with_a_label_that_counts(few):
    model, batch = masked()
    part = part_of(model, batch)
    assert (part.count, len(part.rows)) == (ROWS, 2)
    assert part.batch.args[0].shape == (2, 4)
    assert "2 of the batch's 8 rows and 4 of their 64 steps" in part.rule
    assert bool((part.batch.targets >= 0).any())
    assert torch.isfinite(part.graph.loss)


@pytest.mark.parametrize("made", [steps_first, masked])
def test_a_part_of_the_sequences_finds_what_all_of_them_do(made, few, monkeypatch):
    model, batch = made()
    options = {"effort": "quick", "sweep": ("output[...,0:3]=-120:120:61",)}
    part = nllcheck.check(log_of_softmax, model=model, batch=batch, **options)
    assert any(f"of the batch's {ROWS} rows" in note for note in part.notes)
    monkeypatch.setattr(excerpt, "LARGE", 1e9)
    whole = nllcheck.check(log_of_softmax, model=model, batch=batch, **options)
    assert failures(part) == failures(whole) != set()
    assert thresholds(part) == thresholds(whole)
    assert part.facts.loss == whole.facts.loss
