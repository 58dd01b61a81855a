"""The pieces that a loss takes of a model's output, and what it takes of those."""

from __future__ import annotations

import pytest
import torch

from nllcheck.axes.pieces import pieces, slices
from nllcheck.capture import capture
from nllcheck.target import Batch, Target

OUT = torch.randn(5, 9, generator=torch.Generator().manual_seed(2))


def at_once(out):
    pen, mu, rho = out.split([1, 4, 4], -1)
    return (pen.exp() + mu.square() * rho.tanh()).mean()


def part_of_a_part(out):
    pen = out[..., 0]
    rest = out[..., 1:]
    mu, rho = rest.chunk(2, -1)
    return (pen.exp()[:, None] + mu.square() * rho.tanh()).mean()


def thrice(out):
    rest = out[:, 1:]
    mu = rest[:, :4]
    right = rest[:, 4:]
    return (mu.square().sum(-1) * right[:, 0] + right[:, 1:].exp().sum(-1) + out[:, 0]).mean()


def part_that_is_read_whole_too(out):
    rest = out[:, 1:]
    mu, rho = rest.chunk(2, -1)
    return (mu.square() * rho.tanh()).mean() + rest.abs().mean() + out[:, 0].mean()


def column_without_its_dimension(out):
    pen, mu = out.split([1, 8], -1)
    return (pen[:, 0].exp() + mu.square().sum(-1)).mean()


def part_of_another_dimension(out):
    first = out[:, 0]
    return (first[:3].exp() * first[1:4]).mean() + out[:, 1:].mean()


CASES = {
    at_once: {(0, 1): "pen", (1, 5): "mu", (5, 9): "rho"},
    part_of_a_part: {(0, 1): "pen", (1, 5): "mu", (5, 9): "rho"},
    thrice: {(0, 1): None, (1, 5): "mu", (5, 6): None, (6, 9): None},
    part_that_is_read_whole_too: {(0, 1): None, (1, 9): "rest"},
    column_without_its_dimension: {(0, 1): "pen", (1, 9): "mu"},
    part_of_another_dimension: {(0, 1): "first", (1, 9): None},
}


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_smallest_pieces_by_name(loss):
    batch = Batch(kwargs={"out": OUT}, whole={"out": OUT})
    graph = capture(Target("t", loss, "t", None, (batch,), "function"), batch).graph
    (node,) = (n.index for n in graph.nodes if n.op == "input")
    assert {(start, stop): name for start, stop, name in pieces(graph, node)} == CASES[loss]
    assert slices(graph, node) == sorted(CASES[loss])
