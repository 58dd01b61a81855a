"""Bundles: what `save` writes `run` takes alone; what cannot be stored safely is refused."""

from __future__ import annotations

import os
import pickle
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.errors import NllcheckError
from nllcheck.load import Request, load_target
from nllcheck.target import evaluate


def batch():
    torch.manual_seed(0)
    return torch.randn(4, 3), torch.randint(0, 3, (4,))


class Pair(NamedTuple):
    inputs: torch.Tensor
    targets: torch.Tensor


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 3)


def saved(path, **changes):
    given = {"model": linear(), "loss": F.cross_entropy, "batch": batch()}
    given |= {"kwargs": {"in_features": 3, "out_features": 3}, **changes}
    return nllcheck.save(path, **given)


def test_round_trip_of_torchs_own_parts(tmp_path):
    path = saved(tmp_path / "bundle.pt", step=12)
    target, _ = load_target(Request((str(path),)))
    inputs, labels = batch()
    loss = evaluate(target, target.model, target.batches[0])
    assert torch.equal(loss, F.cross_entropy(linear()(inputs), labels))


def test_bundle_is_plain_data(tmp_path):
    content = torch.load(saved(tmp_path / "bundle.pt"), weights_only=True)
    assert content["nllcheck_bundle"] == 1 and content["loss"] == "torch.nn.functional:cross_entropy"


def test_a_bundle_cannot_choose_which_code_runs(tmp_path):
    path = saved(tmp_path / "bundle.pt", loss=batch)
    with pytest.raises(NllcheckError, match="not torch's own") as caught:
        load_target(Request((str(path),)))
    assert "--loss" in caught.value.hint
    target, _ = load_target(Request((str(path),), loss="torch.nn.functional:cross_entropy"))
    assert target.loss is F.cross_entropy


def test_newer_schema_is_refused(tmp_path):
    path = saved(tmp_path / "bundle.pt")
    content = torch.load(path)
    torch.save({**content, "nllcheck_bundle": 99}, path)
    with pytest.raises(NllcheckError, match="schema 99"):
        load_target(Request((str(path),)))


REFUSED = {
    "lambda": ({"loss": lambda output, target: output.sum()}, "cannot be imported by name"),
    "object in batch": ({"batch": (torch.zeros(2), object())}, "cannot be stored safely"),
    "needs arguments": ({"kwargs": None}, "cannot be built again.*in_features"),
    "wrong arguments": ({"kwargs": {"in_features": 3, "out_features": 4}}, "cannot be built again.*shape"),
    "other settings": ({"model": torch.nn.Dropout(0.1), "kwargs": None}, "with other settings"),
    "loss with settings": ({"loss": torch.nn.CrossEntropyLoss(label_smoothing=0.1)}, "settings of its own"),
    "loss with weights": ({"loss": torch.nn.NLLLoss(weight=torch.ones(3))}, "settings of its own"),
    "bound method": ({"loss": torch.nn.Linear(3, 3).forward}, "cannot be imported by name"),
    "named tuple": ({"batch": Pair(torch.zeros(2, 3), torch.zeros(2))}, "holds a Pair"),
    "factory nowhere": ({"factory": "nowhere:build", "kwargs": None}, "no module 'nowhere'"),
    "meta": ({"when": object()}, "plain values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_save_refuses_and_writes_nothing(tmp_path, case):
    changes, message = REFUSED[case]
    with pytest.raises(NllcheckError, match=message):
        saved(tmp_path / "bundle.pt", **changes)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place(tmp_path):
    with pytest.raises(NllcheckError, match="cannot write"):
        saved(tmp_path / "no" / "such" / "folder" / "bundle.pt")


def test_a_view_is_stored_without_what_lies_behind_it(tmp_path):
    everything = torch.randn(100_000, 3)
    path = saved(tmp_path / "bundle.pt", batch=(everything[:4], torch.zeros(4, dtype=torch.long)))
    assert path.stat().st_size < 10_000


ESCAPES = {
    "reaches a loader": ("torch.nn.functional:torch.serialization.load", {"weights_only": False}),
    "reaches a module": ("torch.nn:modules.module.torch.load", {"weights_only": False}),
    "imported there": ("torch.nn.functional:boolean_dispatch", {}),
    "elsewhere": ("torch:load", {"weights_only": False}),
    "os": ("os:system", {}),
}


@pytest.mark.parametrize("part", ["model", "loss"])
@pytest.mark.parametrize("case", ESCAPES)
def test_only_torchs_own_layers_and_losses_run_from_a_bundle(tmp_path, case, part):
    spec, kwargs = ESCAPES[case]
    payload = tmp_path / "payload.pkl"
    payload.write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    path = saved(tmp_path / "bundle.pt")
    torch.save({**torch.load(path), part: spec, "kwargs": {"f": str(payload), **kwargs}}, path)
    with pytest.raises(NllcheckError, match="not torch's own"):
        load_target(Request((str(path),)))
    assert not (tmp_path / "ran").exists()


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


DAMAGED = {
    "no state": ({"state": None}, "usable state"),
    "loss is a number": ({"loss": 3}, "usable loss"),
    "kwargs is a list": ({"kwargs": [1]}, "usable kwargs"),
    "schema is text": ({"nllcheck_bundle": "1"}, "schema 1"),
    "other weights": ({"state": {"weight": torch.zeros(3, 3)}}, "missing bias"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_bundles(tmp_path, case):
    changes, message = DAMAGED[case]
    path = saved(tmp_path / "bundle.pt")
    torch.save({**torch.load(path), **changes}, path)
    with pytest.raises(NllcheckError, match=message) as caught:
        load_target(Request((str(path),)))
    assert caught.value.where == str(path)


def test_bundles_of_one_run_are_followed(tmp_path):
    first = saved(tmp_path / "1.pt", model=torch.nn.Linear(3, 3))
    last = saved(tmp_path / "2.pt")
    target, _ = load_target(Request((str(first), str(last))))
    assert [name for name, _ in target.checkpoints] == [str(first), str(last)]
    assert torch.equal(target.model.weight, linear().weight)


def test_a_factory_of_the_users_own_is_confirmed_on_the_command_line(project):
    path = saved(project / "bundle.pt", factory=f"{project}/model.py:build", kwargs=None,
                 model=torch.nn.ModuleDict({"head": torch.nn.Linear(3, 2)}))  # fmt: skip
    with pytest.raises(NllcheckError, match="names its model"):
        load_target(Request((str(path),)))
    target, _ = load_target(Request((str(path),), model=f"{project}/model.py:build"))
    assert type(target.model).__name__ == "Net"
