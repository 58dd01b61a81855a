"""What reports call what the user gave no name."""

from __future__ import annotations

import torch
from torch import nn

import nllcheck

X, CLASSES = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), nn.Softmax(-1))


class Twice(nn.Module):
    """One layer, asked twice: its name would not say which of its outputs is meant."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return torch.softmax(self.head(torch.tanh(self.head(x))), -1)


def labels_of(model, **options):
    report = nllcheck.check(nn.NLLLoss(), model=model, batch=(X, CLASSES), **options)
    return {table.axis.label for table in report.sweeps}, report


def test_a_layer_gives_its_name_to_what_it_gives_and_a_sweep_knows_it():
    labels, report = labels_of(layers())
    assert "2.output[..., 0]" in labels
    assert labels_of(layers(), sweep={"2.output[...,0]": (-9, 9)})[0] == {"2.output[..., 0]"}
    (fed,) = [f for f in report.findings if f.rule == "NLL601"]
    assert fed.fix == "nll_loss(log_softmax(linear_output), target)"


def test_of_a_layer_that_is_asked_twice_the_second_says_so():
    labels, _ = labels_of(Twice(), effort="quick")
    assert "head.output_2[..., 0]" in labels
    assert labels_of(Twice(), sweep={"head.output_2[...,0]": (-9, 9)})[0] == {"head.output_2[..., 0]"}


class Scores(nn.Module):
    """What comes from no layer and has no name, in an expression that is too long to be one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.key, self.mix = nn.Linear(4, 3), nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        return torch.log_softmax(torch.tanh(self.key(x)).flip(-1) @ self.mix.transpose(0, 1)[:3, :3], -1)


def test_what_no_layer_gives_is_named_by_op_and_line():
    line = Scores.forward.__code__.co_firstlineno + 1
    labels, _ = labels_of(Scores(), effort="quick")
    assert f"matmul_on_line_{line}[..., 0]" in labels, labels
