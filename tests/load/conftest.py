"""A small project on disk: a model file, a loss file, a checkpoint and a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

MODEL = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x)

def build():
    return Net()

def broken():
    raise ValueError("no weights today")

class NeedsWidth(torch.nn.Module):
    def __init__(self, width):
        super().__init__()

number = 3
"""

LOSSES = """
import torch

def nll(output, target):
    z = target - output[:, 0]
    return (0.5 * z**2).mean()

def vector(output, target):
    return output[:, 0] - target

def text(output, target):
    return "0.5"

def complex_value(output, target):
    return torch.complex(output.sum(), output.sum())

def raising(output, target):
    raise RuntimeError("shapes do not match")

def nothing(output, target):
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "losses.py").write_text(LOSSES)
    net = torch.nn.Module()
    net.head = torch.nn.Linear(3, 2)
    torch.save(net.state_dict(), tmp_path / "model.pt")
    torch.save((torch.randn(5, 3), torch.randn(5)), tmp_path / "batch.pt")
    return tmp_path
