"""Kernels that size their result by one argument: the same numbers, and nothing on stderr."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.capture.sized import quiet

aten = torch.ops.aten
MANY, ONE = torch.linspace(-3, 3, 60).reshape(5, 3, 4), torch.linspace(-1, 1, 12).reshape(3, 4)
CASES = {
    "gradient of one": (aten.log_sigmoid_backward.default, lambda op, x: op(ONE, x, (-x.abs()).exp())),
    "x of one": (aten.log_sigmoid_backward.default, lambda op, x: op(x, ONE, (-ONE.abs()).exp())),
    "huber, target at many": (aten.huber_loss.default, lambda op, x: op(ONE, x, 1, 1.0)),
    "huber, a row against many": (aten.huber_loss.default, lambda op, x: op(ONE[:1], x, 0, 0.5)),
    "huber, x at many": (aten.huber_loss.default, lambda op, x: op(x, ONE, 2, 1.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers_without_a_word(name, capfd):
    op, call = CASES[name]
    found = torch.vmap(lambda x: call(quiet(op), x))(MANY)
    one_by_one = torch.stack([call(op, x) for x in MANY])
    capfd.readouterr()
    assert torch.equal(found, one_by_one)
    torch.vmap(lambda x: call(quiet(op), x))(MANY)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("loss", [F.binary_cross_entropy_with_logits, F.huber_loss], ids=lambda f: f.__name__)
def test_a_check_says_nothing_on_stderr(loss, capfd):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 3, generator=generator), torch.rand(12, 3, generator=generator).round()
    report = nllcheck.check_function(loss, {"input": x, "target": y}, target="target", effort="quick")
    assert report.facts.capture == "graph"
    assert capfd.readouterr().err == ""
