"""State dicts into models: wrappers, dtypes, and nothing dropped or rounded without a word."""

from __future__ import annotations

import copy

import pytest
import torch

from nllcheck.errors import NllcheckError
from nllcheck.load.batches import nested
from nllcheck.load.weights import filled, fitted, state_of


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


def loaded(content, model=None):
    model = model or net()
    filled(model, fitted(state_of(content, "w.pt"), model, "w.pt"), "w.pt")
    return model


PREFIXED = {
    "nothing": "{}",
    "data parallel": "module.{}",
    "compiled": "_orig_mod.{}",
    "both": "_orig_mod.module.{}",
    "both, other way": "module._orig_mod.{}",
    "lightning": "model.{}",
    "lightning around compiled": "model._orig_mod.{}",
    "network": "net.{}",
}


@pytest.mark.parametrize("case", PREFIXED)
def test_prefixes_are_taken_off(case):
    state = {PREFIXED[case].format(k): v + 1 for k, v in net().state_dict().items()}
    assert torch.equal(loaded(state)[0].weight, net()[0].weight + 1)


def test_compiled_submodules():
    model = torch.nn.ModuleDict({"body": net(), "head": torch.nn.Linear(2, 1)})
    state = {k.replace("body.", "body._orig_mod."): v + 1 for k, v in model.state_dict().items()}
    found = loaded(state, torch.nn.ModuleDict({"body": net(), "head": torch.nn.Linear(2, 1)}))
    assert torch.equal(found["body"][0].weight, model["body"][0].weight + 1)


def test_a_model_whose_own_names_look_like_a_prefix():
    model = torch.nn.ModuleDict({"model": torch.nn.ModuleDict({"model": torch.nn.Linear(2, 1)})})
    found = loaded({k: v + 1 for k, v in model.state_dict().items()}, copy.deepcopy(model))
    assert torch.equal(found["model"]["model"].weight, model["model"]["model"].weight + 1)


def test_parts_that_were_saved_apart():
    both = torch.nn.ModuleDict({"actor": net(), "critic": torch.nn.Linear(2, 1)})
    apart = {
        "actor": both["actor"].state_dict(),
        "critic": both["critic"].state_dict(),
        "steps": 200,
        "optim": {"lr": 1},
    }
    found = loaded(apart, torch.nn.ModuleDict({"actor": net(), "critic": torch.nn.Linear(2, 1)}))
    assert torch.equal(found["critic"].weight, both["critic"].weight)
    with pytest.raises(NllcheckError) as raised:
        loaded(apart)
    assert "the part under 'actor.' fits, critic.bias, critic.weight would be dropped" in str(raised.value.hint)


WRAPPED = {
    "name beside weights": lambda s: {"model": "resnet", "weights": s},
    "deep": lambda s: {"model": {"state_dict": s}, "optimizer": {"lr": 0.1}},
    "module inside": lambda s: {"model": net()},
    "model_state": lambda s: {"model_state": s, "epoch": 3},
}


@pytest.mark.parametrize("case", WRAPPED)
def test_wrappers(case):
    assert set(state_of(WRAPPED[case](net().state_dict()), "w.pt")) == set(net().state_dict())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_model_takes_the_checkpoints_dtype(dtype):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in net().state_dict().items()}
    model = loaded(state)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model[1].num_batches_tracked.dtype == torch.int64
    assert all(torch.equal(model.state_dict()[k], v) for k, v in state.items())


def test_mixed_dtypes_stay_mixed():
    state = net().half().state_dict() | {"1.weight": torch.ones(4)}
    model = loaded(state)
    assert (model[0].weight.dtype, model[1].weight.dtype) == (torch.float16, torch.float32)


def test_tied_weights_stay_tied():
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    loaded({k: v.double() for k, v in model.state_dict().items()}, model)
    assert model["b"].weight is model["a"].weight and model["a"].weight.dtype == torch.float64


def test_lazy_modules_take_the_checkpoints_shape():
    model = loaded(torch.nn.Linear(5, 2).state_dict(), torch.nn.LazyLinear(2))
    assert model.weight.shape == (2, 5)


STATE = net().state_dict()
BAD = {
    "renamed": ({("0.weigth" if k == "0.weight" else k): v for k, v in STATE.items()}, "did you mean '0.weigth'?"),
    "missing": ({k: v for k, v in STATE.items() if k != "2.bias"}, "missing 2.bias"),
    "unexpected": (STATE | {"3.bias": torch.zeros(1)}, "unexpected 3.bias"),
    "many": (STATE | {f"x{i}": torch.zeros(1) for i in range(9)}, "and 5 more"),
    "shape": (STATE | {"0.bias": torch.zeros(7)}, r"0.bias has shape (7,), the model wants shape (4,)"),
    "integers": (STATE | {"0.bias": torch.zeros(4, dtype=torch.int8)}, "0.bias has integers, the model wants real"),
    "complex": (STATE | {"0.bias": torch.zeros(4, dtype=torch.complex64)}, "0.bias has complex numbers"),
    "beside tensors": (STATE | {"epoch": 3}, "beside tensors it holds epoch (int)"),
    "nothing": ({}, "it is empty"),
    "numbers": ({"epoch": 3}, "found keys epoch"),
    "a tensor": (torch.zeros(2), "found a Tensor"),
    "escape codes": (STATE | {"\x1b[2J": torch.zeros(1)}, r"\x1b[2J"),
    "a part of it": (
        {f"model.{k}": v for k, v in STATE.items()} | {"criterion.weight": torch.zeros(1)},
        "the part under 'model.' fits, criterion.weight would be dropped",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case):
    content, message = BAD[case]
    with pytest.raises(NllcheckError) as caught:
        loaded(content)
    assert message in str(caught.value) and caught.value.where == "w.pt" and "\x1b" not in str(caught.value)


def test_loading_code_of_a_module_that_raises():
    class Picky(torch.nn.Linear):
        def _load_from_state_dict(self, *args):
            raise ValueError("wrong vocabulary")

    with pytest.raises(NllcheckError, match="wrong vocabulary"):
        loaded(torch.nn.Linear(2, 2).state_dict(), Picky(2, 2))


NESTED = {
    "dict": ({"inputs.a": 1, "inputs.b": 2, "targets": 3}, {"inputs": {"a": 1, "b": 2}, "targets": 3}),
    "tuple": ({"inputs.0": 1, "inputs.1": 2, "targets": 3}, {"inputs": (1, 2), "targets": 3}),
    "slashes": ({"inputs/a/x": 1, "targets": 3}, {"inputs": {"a": {"x": 1}}, "targets": 3}),
    "positional": ({"arr_1": 2, "arr_0": 1}, (1, 2)),
    "pair": ({"1": 2, "0": 1}, (1, 2)),
    "plain": ({"x": 1, "y": 2}, {"x": 1, "y": 2}),
    "clash": ({"x": 1, "x.y": 2}, {"x": 1, "x.y": 2}),
}


@pytest.mark.parametrize("case", NESTED)
def test_flat_names_spell_nesting(case):
    flat, deep = NESTED[case]
    assert nested(flat) == deep
