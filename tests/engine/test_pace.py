"""How many points a loss that is run op by op is tried at does not hang on one slow run."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

import nllcheck.eager.run
from nllcheck.eager import by_hand
from nllcheck.eager.pace import FEWEST, POINTS, points_for, timed
from nllcheck.target import Batch, Target

CASES = {  # axes, seconds of each run in turn -> points
    "quick": (2, [0.003], POINTS),
    "the first run is held up": (2, [0.3, 0.003], POINTS),
    "two runs are held up": (2, [0.3, 0.2, 0.003], POINTS),
    "slow each time": (2, [0.1, 0.1, 0.1], 33),
    "too slow to be run again": (2, [7.0], FEWEST),
    "many axes": (1000, [0.003, 0.003, 0.003], FEWEST),
}


@pytest.mark.parametrize("name", CASES)
def test_points_follow_the_quickest_run(name):
    axes, seconds, wanted = CASES[name]
    runs = iter(seconds)
    assert points_for(axes, next(runs), lambda: next(runs)) == wanted
    assert next(runs, None) is None  # no run too many


def test_a_run_is_timed_by_the_clock():
    ticks = iter([2.0, 5.0])
    assert timed(lambda: None, lambda: next(ticks)) == 3.0


def tried(first, monkeypatch):
    """Points on each axis of a loss whose runs take 3 ms, but the first `first` seconds."""
    ticks = itertools.chain([0.0], itertools.repeat(first))
    monkeypatch.setattr(nllcheck.eager.run, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(nllcheck.eager.run, "timed", lambda run: 0.003, raising=False)
    tensors = {"x": torch.linspace(-1, 1, 5), "y": torch.ones(5)}
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target("t", loss, "t", None, (batch,), "function", target_names=("y",))
    return [len(table.values) for table in by_hand(target, batch, [], 0, None).sweeps]


def loss(x, y):
    return (x.exp() - y).square().mean()


def test_a_first_run_that_is_held_up_costs_no_points(monkeypatch):
    assert tried(0.9, monkeypatch) == tried(0.003, monkeypatch)
