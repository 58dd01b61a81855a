"""The tracer against torch's own, `make_fx`: the same ops on the same arguments, of shapes that are noted the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from nllcheck.capture.tracer import traced

CONSTANT = torch.arange(4.0)
LSTM = nn.LSTM(1, 3).requires_grad_(False)
for _weight in LSTM.parameters():
    _weight.fill_(0.2)


def in_place(x):
    y = x.clone()
    y[0] = 2.0
    return y.mul_(CONSTANT).add_(1.0).sum()


def several(x):
    low, high = torch.aminmax(x)
    values, _ = x.sort()
    first, second = values.chunk(2)
    return (high - low) + (first * second).sum()


def with_slopes(x):
    (slope,) = torch.autograd.grad(torch.logsumexp(x, 0) * x.prod(), x, create_graph=True)
    return (x.exp().sum(), slope)


def uninteresting(x):
    with torch.inference_mode():
        scale = functional.linear(torch.ones(2, 3), torch.ones(4, 3)).softmax(-1).sum()
    return (x * scale.item()).sum() + torch.tensor(3.0)


def under_autocast(x):
    with torch.autocast("cpu", torch.bfloat16):
        return functional.linear(x[None], torch.ones(4, 4)).float().sum() + functional.linear(x, CONSTANT[None]).sum()


def recurrent(x):
    return LSTM(x[:, None])[0].sum()


def drawn(x):
    return (functional.dropout(x, 0.5) + torch.randn(4) + torch.rand_like(x)).pow(2).mean()


def unused(x):
    x.clamp(min=0.0)
    return CONSTANT.sum() * x.mean() + CONSTANT[0]


PROGRAMS = (in_place, several, with_slopes, uninteresting, under_autocast, recurrent, drawn, unused)
THROUGH = {"plain": lambda f: f, "functional": lambda f: functionalize(f, remove="mutations")}


def spelled(module: torch.fx.GraphModule) -> list[str]:
    """Each node by its op, what it reads by position, and the outline of its value."""
    place: dict[torch.fx.Node, int] = {}
    found = []
    for node in module.graph.nodes:
        place[node] = len(place)
        args = torch.fx.map_arg((node.args, node.kwargs), lambda n: f"%{place[n]}")
        value = node.meta.get("val")
        outline = (value.shape, value.stride(), value.dtype) if isinstance(value, torch.Tensor) else None
        op = str(node.target if node.op == "call_function" else "")
        op = op.replace("aten.alias", "aten.detach")  # so make_fx spells it from torch 2.14 on
        found.append(f"{node.op} {op} {args} {outline}")
    return found


@pytest.mark.parametrize("through", THROUGH.values(), ids=THROUGH.keys())
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_it_notes_what_make_fx_notes(program, through):
    if program is with_slopes and through is THROUGH["functional"]:
        pytest.skip("functorch takes no gradient of a tensor from outside")
    x = torch.tensor([0.3, -1.2, 0.5, 2.0], requires_grad=True)
    made = []
    for trace in (lambda f: make_fx(f, _error_on_data_dependent_ops=False)(x), lambda f: traced(f, x)):
        torch.manual_seed(1)
        made.append(trace(through(program)))
    theirs, ours = map(spelled, made)
    assert ours == theirs
    torch.manual_seed(1)
    with torch.no_grad():
        told = made[1](x.detach().clone())
    torch.manual_seed(1)
    torch.testing.assert_close(told, program(x), check_layout=False)


def test_what_it_raises_is_the_functions_own_and_the_autocast_cache_comes_back():
    def raising(x):
        raise KeyError("gone")

    was = torch.is_autocast_cache_enabled()
    with pytest.raises(KeyError, match="gone"):
        traced(raising, torch.ones(2))
    assert torch.is_autocast_cache_enabled() is was


CONTROL = """
import torch
from nllcheck import check_function
from nllcheck.errors import NllcheckError
def loss(mu, y):
    moved = torch.cond(mu.sum() > 0, torch.sin, torch.cos, (mu,))
    return ((y - moved) ** 2).mean()
try:
    check_function(loss, {"mu": torch.ones(8), "y": torch.zeros(8)}, target="y")
except NllcheckError as error:
    print(error)
"""


def test_an_op_of_functions_is_refused_before_it_ends_the_process():
    done = subprocess.run([sys.executable, "-c", CONTROL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch's cond takes functions, into which no op can be followed\n  hint: torch.where")


CHECK = """
import sys, torch
from nllcheck import check_function
report = check_function({loss}, {{"mu": torch.zeros(8), "y": torch.randn(8)}}, target="y")
assert report.facts.capture == "graph"
print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""
LOSSES = {
    "square": "lambda mu, y: ((y - mu) ** 2).mean()",
    "posterior": "lambda mu, y: (lambda z: ((y - z) ** 2 / 2 + z ** 2 / 2 - (z - mu) ** 2 / 2).sum())"
    "(mu + torch.randn_like(mu))",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
def test_a_check_loads_no_compiler(loss):
    """Loading it takes as long as a short check."""
    done = subprocess.run([sys.executable, "-c", CHECK.format(loss=loss)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
