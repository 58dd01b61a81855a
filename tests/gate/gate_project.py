"""A small training repository: one loss with a defect, one without."""

from __future__ import annotations

from pathlib import Path

BAD = """
import torch

def nll(output, target):
    p = torch.softmax(output, -1)
    return -(target * torch.log(p)).sum(-1).mean(){comment}

def good(output, target):
    return -(target * torch.log_softmax(output, -1)).sum(-1).mean()
"""
MODEL = """
import torch

def build():
    return torch.nn.Linear(3, 3)
"""
CONFIG = """
[tool.nllcheck]
points = 17
effort = "quick"

[tool.nllcheck.targets.bad]
checkpoint = "model.pt"
model = "model.py:build"
loss = "losses.py:nll"
batch = "batch.pt"

[tool.nllcheck.targets.good]
checkpoint = "model.pt"
model = "model.py:build"
loss = "losses.py:good"
batch = "batch.pt"
"""


def write(folder: Path, comment: str = "", before: str = "") -> None:
    (folder / "losses.py").write_text(before + BAD.format(comment=comment))
