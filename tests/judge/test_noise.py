"""Signs under redrawn noise, within the memory that a check may use."""

from __future__ import annotations

import pytest
import torch

from nllcheck.capture.attempt import captured
from nllcheck.judge import noise
from nllcheck.target import Batch, Target


def noisy(mu, y):
    return ((mu + torch.randn_like(mu) - y) ** 2).mean()


@pytest.fixture
def graph():
    generator = torch.Generator().manual_seed(0)
    batch = {"mu": 0.1 * torch.randn(6, 2, generator=generator), "y": torch.zeros(6, 2)}
    whole = Batch(kwargs=batch, whole=batch)
    found, remarks = captured(Target("t", noisy, "noisy", None, (whole,), "function", target_names=("y",)), whole, 0)
    assert found, remarks
    return found


def test_as_many_draws_at_once_as_memory_holds_say_the_same(graph, monkeypatch):
    (whole,) = noise.over_noise(graph, 2**30)
    asked = []

    def chunk_size(joint, memory, dtype):
        asked.append(memory)
        return 7

    monkeypatch.setattr(noise, "chunk_size", chunk_size)
    (some,) = noise.over_noise(graph, 1000)
    assert asked == [1000]
    assert some.event.detail == whole.event.detail
    assert f"drawn anew, {noise.DRAWS} times" in some.event.detail
