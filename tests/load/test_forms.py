"""Every form in which models, losses and files come: what loads as it is, and the shipped fixtures as they are."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import nllcheck
from nllcheck.errors import NllcheckError
from nllcheck.load import Request, load_target
from nllcheck.target import evaluate

FIXTURES = Path(__file__).parents[2] / "fixtures"
MORE = """
instance = Net()

class Scaled(torch.nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.apply_to = lambda error: scale * error

    def forward(self, output, target):
        return self.apply_to((output[:, 0] - target).abs()).mean()

class Activated(Net):
    def __init__(self):
        super().__init__()
        self.activation = lambda value: value

    def extra_repr(self):
        return repr(self.activation)

scaled = Scaled()
"""


@pytest.fixture
def words(project: Path) -> dict:
    with (project / "model.py").open("a") as file:
        file.write(MORE)
    model, loss = f"{project}/model.py:build", f"{project}/losses.py:nll"
    return {"paths": (f"{project}/model.pt",), "model": model, "loss": loss, "batches": (f"{project}/batch.pt",)}


def loss_of(words: dict) -> float:
    target, _ = load_target(Request(**words))
    return evaluate(target, target.model, target.batches[0]).item()


@pytest.mark.parametrize("name", ["build", "Net", "instance"])
def test_a_model_is_a_factory_a_class_or_an_instance(project, words, name):
    assert loss_of(words | {"model": f"{project}/model.py:{name}"}) == loss_of(words)


@pytest.mark.parametrize("name", ["Scaled", "scaled"])
def test_a_loss_is_a_class_or_an_instance(project, words, name):
    assert loss_of(words | {"loss": f"{project}/model.py:{name}"}) > 0


@pytest.mark.parametrize("loss", ["torch.nn.functional:cross_entropy", "torch.nn:CrossEntropyLoss"])
def test_torchs_own_losses(project, words, loss):
    torch.save((torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])), project / "batch.pt")
    assert loss_of(words | {"loss": loss}) > 0


def old_format(state: dict, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMS = {
    "torch.save named safetensors": ("model.safetensors", torch.save),
    "safetensors named pt": ("other.pt", save_file),
    "no ending at all": ("weights", torch.save),
    "before zip archives": ("old.pt", old_format),
    "before zip archives, named safetensors": ("old.safetensors", old_format),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_bytes_decide_not_the_name(project, words, form):
    name, write = FORMS[form]
    write(torch.load(project / "model.pt"), project / name)
    assert loss_of(words | {"paths": (f"{project}/{name}",)}) == loss_of(words)


def test_a_single_array_is_named_for_what_it_is(project, words):
    np.save(project / "batch.npy", np.ones((5, 3)))
    with pytest.raises(NllcheckError, match=r"single NumPy array \(\.npy\)") as caught:
        load_target(Request(**words | {"batches": (f"{project}/batch.npy",)}))
    assert ".npz" in caught.value.hint


def test_what_torch_cannot_copy_is_told_with_its_key(project, words):
    state = torch.load(project / "model.pt")
    torch.save(state | {"head.bias": state["head.bias"].to_sparse()}, project / "model.pt")
    with pytest.raises(NllcheckError, match=r"head\.bias"):
        load_target(Request(**words))


@pytest.mark.parametrize("text", ['tool = "x"\n', "[tool]\nother = 1\n"])
def test_a_pyproject_without_our_table_is_passed_over(project, words, text):
    (project / "pyproject.toml").write_text(text)
    assert loss_of(words) > 0


@pytest.fixture
def importable(project: Path, words: dict, monkeypatch):
    """model.py under a name that no other test imports."""
    (project / "forms_model.py").write_text((project / "model.py").read_text())
    monkeypatch.syspath_prepend(str(project))
    yield __import__("forms_model")
    del sys.modules["forms_model"]


WRAPPED = {
    "bare": lambda net: net,
    "compiled": torch.compile,
    "data parallel": torch.nn.DataParallel,
    "both": lambda net: torch.compile(torch.nn.DataParallel(net)),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_save_takes_a_model_out_of_what_training_wraps_around_it(project, importable, wrapper):
    net = importable.Activated()
    batch = (torch.randn(5, 3), torch.randn(5, 2))
    path = nllcheck.save(project / "b.pt", model=WRAPPED[wrapper](net), loss=torch.nn.MSELoss(), batch=batch)
    target, _ = load_target(Request((str(path),), model="forms_model:Activated"))
    assert evaluate(target, target.model, target.batches[0]) == torch.nn.MSELoss()(net(batch[0]), batch[1])


def test_save_refuses_a_loss_whose_settings_nothing_shows(project, importable):
    batch = (torch.randn(5, 3), torch.randn(5))
    with pytest.raises(NllcheckError, match="settings of its own"):
        nllcheck.save(project / "b.pt", model=importable.Net(), loss=importable.Scaled(2.0), batch=batch)


def test_save_refuses_what_is_no_model(project):
    with pytest.raises(NllcheckError, match="of type int"):
        nllcheck.save(project / "b.pt", model=3, loss=torch.nn.MSELoss(), batch=torch.zeros(2))


def shipped() -> list[tuple[str, str]]:
    found = []
    for file in sorted(FIXTURES.glob("*/pyproject.toml")):
        found += [(file.parent.name, name) for name in tomllib.loads(file.read_text())["tool"]["nllcheck"]["targets"]]
    return found


@pytest.mark.parametrize(("folder", "name"), shipped())
def test_every_shipped_target_loads(folder, name):
    table = tomllib.loads((FIXTURES / folder / "pyproject.toml").read_text())["tool"]["nllcheck"]["targets"][name]
    paths = [table["checkpoint"]] if isinstance(table["checkpoint"], str) else table["checkpoint"]
    target, _ = load_target(Request((str(FIXTURES / folder / paths[-1]),)))
    assert target.model is not None and not target.model.training
    assert len(target.checkpoints) == (len(paths) if len(paths) > 1 else 0)
    assert Path(sys.modules[target.loss.__module__].__file__).parent == FIXTURES / folder
    assert evaluate(target, target.model, target.batches[0]).ndim == 0
