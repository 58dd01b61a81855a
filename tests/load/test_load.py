"""Files and names to targets: every wrapper, every kind of file, and one clear error for whatever does not fit."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nllcheck.errors import NllcheckError
from nllcheck.load import Request, load_target
from nllcheck.target import evaluate


def request(project: Path, **changes) -> Request:
    given = {
        "paths": (str(project / "model.pt"),),
        "model": f"{project / 'model.py'}:build",
        "loss": f"{project / 'losses.py'}:nll",
        "batches": (str(project / "batch.pt"),),
    }
    return Request(**{**given, **changes})


def loss_of(target) -> float:
    return float(evaluate(target, target.model, target.batches[0]).detach())


def state(project: Path) -> dict[str, torch.Tensor]:
    return torch.load(project / "model.pt")


WRAPPERS = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": {}},
    "model": lambda s: {"model": s},
    "data_parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "both": lambda s: {"state_dict": {f"_orig_mod.module.{k}": v for k, v in s.items()}},
    "lightning": lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "pytorch-lightning_version": "2.5"},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_checkpoints_are_unwrapped(project, wrapper):
    expected = loss_of(load_target(request(project))[0])
    torch.save(WRAPPERS[wrapper](state(project)), project / "model.pt")
    assert loss_of(load_target(request(project))[0]) == expected


def test_safetensors_checkpoint_and_batch(project):
    expected = loss_of(load_target(request(project))[0])
    save_file(state(project), project / "model.safetensors")
    inputs, targets = torch.load(project / "batch.pt")
    save_file({"inputs": inputs, "targets": targets}, project / "batch.safetensors")
    given = request(project, paths=(str(project / "model.safetensors"),), batches=(str(project / "batch.safetensors"),))
    assert loss_of(load_target(given)[0]) == expected


def test_npz_batch(project):
    expected = loss_of(load_target(request(project))[0])
    inputs, targets = torch.load(project / "batch.pt")
    np.savez(project / "batch.npz", x=inputs.numpy(), y=targets.numpy())
    target = load_target(request(project, batches=(str(project / "batch.npz"),)))[0]
    assert list(target.batches[0].kwargs) == [] and loss_of(target) == expected


def test_several_checkpoints_are_followed(project):
    torch.save(state(project), project / "later.pt")
    target, _ = load_target(request(project, paths=(str(project / "model.pt"), str(project / "later.pt"))))
    assert [Path(name).name for name, _ in target.checkpoints] == ["model.pt", "later.pt"]


def test_fresh_model_without_checkpoint(project):
    first, second = (load_target(request(project, paths=(), init=True))[0] for _ in range(2))
    assert loss_of(first) == loss_of(second)


@pytest.mark.parametrize("kind", ["pickle", "script", "export"])
def test_whole_models_need_trust(project, kind):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    path = project / f"whole.{'pt2' if kind == 'export' else 'pt'}"
    if kind == "pickle":
        torch.save(model, path)
    elif kind == "script":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.script(model), path)
    else:
        torch.export.save(torch.export.export(model, (torch.zeros(5, 3),)), path)
    given = request(project, paths=(str(path),), model=None)
    with pytest.raises(NllcheckError, match="run code") as caught:
        load_target(given)
    assert "--trust" in caught.value.hint
    assert loss_of(load_target(request(project, paths=(str(path),), model=None, trust=True))[0]) >= 0


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_pickle_does_not_run_and_is_named(project, legacy):
    marker = project / "ran"
    bad = {"head.weight": Payload(marker)}
    if legacy:
        (project / "model.pt").write_bytes(pickle.dumps(bad))
    else:
        torch.save(bad, project / "model.pt")
    with pytest.raises(NllcheckError, match="would import") as caught:
        load_target(request(project))
    assert not marker.exists()
    assert caught.value.exit_code == 2


def corrupt(project: Path) -> None:
    data = (project / "model.pt").read_bytes()
    (project / "model.pt").write_bytes(data[: len(data) // 2])


def not_torch_zip(project: Path) -> None:
    with zipfile.ZipFile(project / "model.pt", "w") as archive:
        archive.writestr("letter.txt", "hello")


BAD_FILES = {
    "missing": (lambda p: (p / "model.pt").unlink(), "no such file"),
    "empty": (lambda p: (p / "model.pt").write_bytes(b""), "empty"),
    "text": (lambda p: (p / "model.pt").write_text("weights are elsewhere\n"), "a text file"),
    "lfs": (
        lambda p: (p / "model.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "Git LFS",
    ),
    "hdf5": (lambda p: (p / "model.pt").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 64), "HDF5"),
    "corrupt": (corrupt, "cannot be read"),
    "zip": (not_torch_zip, "no checkpoint"),
    "list": (lambda p: torch.save([1, 2, 3], p / "model.pt"), "no state dict"),
    "other keys": (
        lambda p: torch.save({"tail.weight": torch.zeros(2)}, p / "model.pt"),
        "missing head.bias, head.weight",
    ),
    "shapes": (
        lambda p: torch.save({"head.weight": torch.zeros(4, 3), "head.bias": torch.zeros(2)}, p / "model.pt"),
        r"head.weight has shape \(4, 3\), the model wants shape \(2, 3\)",
    ),
    "batch object array": (lambda p: np.savez(p / "batch.npz", x=np.array([object()])), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_give_one_clear_error(project, case):
    spoil, message = BAD_FILES[case]
    spoil(project)
    changes = {"batches": (str(project / "batch.npz"),)} if case.startswith("batch") else {}
    with pytest.raises(NllcheckError, match=message) as caught:
        load_target(request(project, **changes))
    assert caught.value.exit_code == 2 and caught.value.where


BAD_NAMES = {
    "no colon": ({"loss": "losses.py"}, "cannot read the loss"),
    "no file": ({"loss": "lossess.py:nll"}, "there is no file for the loss"),
    "no function": ({"loss": "{}/losses.py:nl"}, "no 'nl'"),
    "no module": ({"model": "nowhere.at.all:build"}, "there is no module"),
    "raises": ({"model": "{}/model.py:broken"}, "no weights today"),
    "needs arguments": ({"model": "{}/model.py:NeedsWidth"}, "building the model"),
    "a number": ({"model": "{}/model.py:number"}, "is an int"),
    "builds no module": ({"model": "{}/losses.py:nothing"}, "building the model|not a torch.nn.Module"),
    "no batch": ({"batches": ()}, "no batch was given"),
    "no loss": ({"loss": None}, "no loss was given"),
    "no model": ({"model": None}, "no model was given"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names_give_one_clear_error(project, case):
    changes, message = BAD_NAMES[case]
    changes = {k: v.format(project) if isinstance(v, str) else v for k, v in changes.items()}
    with pytest.raises(NllcheckError, match=message) as caught:
        load_target(request(project, **changes))
    assert caught.value.exit_code == 2


def test_an_error_in_the_users_file_names_its_line(project):
    (project / "losses.py").write_text("import torch\n\nx = 1 / 0\n")
    with pytest.raises(NllcheckError, match="ZeroDivisionError") as caught:
        load_target(request(project))
    assert caught.value.where.endswith("losses.py:3")


def test_positional_npz_is_a_tuple(project):
    expected = loss_of(load_target(request(project))[0])
    np.savez(project / "batch.npz", *(t.numpy() for t in torch.load(project / "batch.pt")))
    assert loss_of(load_target(request(project, batches=(str(project / "batch.npz"),)))[0]) == expected


def test_a_whole_model_keeps_its_weights_when_earlier_states_are_followed(project):
    torch.manual_seed(1)
    whole = torch.nn.Sequential(torch.nn.Linear(3, 2))
    torch.save(whole, project / "whole.pt")
    torch.save({f"0.{k.removeprefix('head.')}": v for k, v in state(project).items()}, project / "early.pt")
    paths = (str(project / "early.pt"), str(project / "whole.pt"))
    target, _ = load_target(request(project, paths=paths, model=None, trust=True))
    assert torch.equal(target.model[0].weight, whole[0].weight)
    assert torch.equal(target.checkpoints[0][1]["0.weight"], state(project)["head.weight"])


def test_a_models_own_training_step(project):
    with (project / "model.py").open("a") as file:
        file.write(STEP)
    target, _ = load_target(request(project, model=f"{project / 'model.py'}:Lit", loss=None))
    assert (target.style, target.loss_name) == ("step", "training_step") and loss_of(target) > 0


STEP = """
class Lit(Net):
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return {"loss": (self(inputs)[:, 0] - targets).square().mean()}
"""


def test_the_model_is_in_eval_mode(project):
    assert not load_target(request(project))[0].model.training


def test_a_checkpoint_and_init_contradict_each_other(project):
    with pytest.raises(NllcheckError, match="--init builds a new model"):
        load_target(request(project, init=True))


@pytest.mark.parametrize(
    ("beside", "hint"),
    [("README.md", "check the path"), ("modell.pt", "did you mean 'modell.pt'?"), ("zebra.npz", "known: zebra.npz")],
)
def test_a_missing_file_hints_at_files_that_could_be_meant(tmp_path, beside, hint):
    (tmp_path / beside).touch()
    (tmp_path / ".gitignore").touch()
    with pytest.raises(NllcheckError) as raised:
        load_target(Request(paths=(str(tmp_path / "model.pt"),)))
    assert raised.value.hint == hint
