"""Bundles: what `save` writes `run` takes alone; what cannot be stored safely is refused."""

from __future__ import annotations

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
    "needs arguments": ({"kwargs": None}, "cannot be built again without"),
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
