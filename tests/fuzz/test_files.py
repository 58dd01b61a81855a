"""Damaged and random files: one clear error or a sound reading, never a traceback, a hang or a line of code run."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nllcheck import baseline, config
from nllcheck.errors import NllcheckError
from nllcheck.load import Request, load_target
from nllcheck.load.batches import read_batch
from nllcheck.load.files import read
from nllcheck.report.stored import decode
from nllcheck.rules import read as read_rule
from nllcheck.save import save

MARKER = "ran"


class Payload:
    """Touches a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path(MARKER),)


def torch_bytes(value: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def safetensors_bytes() -> bytes:
    from safetensors.torch import save as dump

    return dump({"weight": torch.randn(3, 2)})


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Payload()}))
    return buffer.getvalue()


STATE = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
SEEDS = {
    "state.pt": torch_bytes(STATE),
    "legacy.pt": torch_bytes(STATE, zipped=False),
    "payload.pt": torch_bytes({"x": Payload()}),
    "payload_legacy.pt": torch_bytes({"x": Payload()}, zipped=False),
    "payload.pkl": pickle.dumps([Payload()]),
    "archive.pt": zip_bytes(),
    "batch.npz": npz_bytes(inputs=np.zeros((2, 3)), targets=np.zeros(2)),
    "objects.npz": npz_bytes(inputs=np.array([Payload()], dtype=object)),
    "weights.safetensors": safetensors_bytes(),
}


@st.composite
def damaged(draw: st.DrawFn, seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """A file with some bytes changed, cut off, repeated, or replaced altogether."""
    name = draw(st.sampled_from(sorted(seeds)))
    data = bytearray(seeds[name])
    for place, value in draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6)):
        data[place % len(data)] = value
    how = draw(st.sampled_from(["as it is", "cut", "twice", "random"]))
    if how == "cut":
        data = data[: draw(st.integers(0, len(data)))]
    elif how == "twice":
        data += data[draw(st.integers(0, len(data))) :]
    elif how == "random":
        data = bytearray(draw(st.binary(max_size=200)))
    return name, bytes(data)


def refused_or_read(call, path: Path) -> object:
    """What reading gives; an error is the one kind, says what and where, and ends with exit code 2."""
    try:
        return call(path)
    except NllcheckError as error:
        assert error.exit_code == 2 and str(error) and "Traceback" not in str(error)
        return None


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


HERE = [HealthCheck.function_scoped_fixture]  # every file is written anew
MANY = settings(max_examples=150, deadline=10_000, derandomize=True, suppress_health_check=HERE)


@MANY
@given(damaged(SEEDS))
def test_checkpoints_and_batches(here, file):
    path = here / file[0]
    path.write_bytes(file[1])
    refused_or_read(read, path)
    refused_or_read(lambda p: read_batch(p, False), path)
    assert not (here / MARKER).exists()


RULE = (Path(__file__).parents[2] / "rules" / "NLL101.yaml").read_bytes()
TEXTS = {
    "NLL101.yaml": RULE,
    "deep.yaml": b"a: " + b"[" * 2000,
    "aliases.yaml": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "tagged.yaml": b"id: !!python/object/apply:os.system ['touch ran']\n",
}


@MANY
@given(damaged(TEXTS))
def test_rule_files(here, file):
    path = here / file[0]
    path.write_bytes(file[1])
    refused_or_read(read_rule, path)
    assert not (here / MARKER).exists()


CONFIGS = {
    "pyproject.toml": b'[tool.nllcheck]\nfail_on = "error"\nignore = ["NLL002"]\nmin_bits = 9\n'
    b'[tool.nllcheck.severity]\nNLL405 = "note"\n[tool.nllcheck.targets.a]\ncheckpoint = "m.pt"\nloss = "l:f"\n'
}


@MANY
@given(damaged(CONFIGS))
def test_project_files(here, file):
    (here / "pyproject.toml").write_bytes(file[1])
    refused_or_read(lambda p: config.nearest([str(p)]), here)


BASELINES = {
    "nllcheck-baseline.toml": b'version = 1\n[[finding]]\ntarget = "a"\nrule = "NLL101"\nname = "log-of-softmax"\n'
    b'fingerprint = "x"\nplace = "l.py:3"\nseverity = "error"\nreach = 2.0\non_batch = false\nreason = "known"\n'
}


@MANY
@given(damaged(BASELINES))
def test_baselines(here, file):
    path = here / file[0]
    path.write_bytes(file[1])
    refused_or_read(baseline.read, path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["facts", "findings", "a"]), inner),
    max_leaves=8,
)


@MANY
@given(VALUES)
def test_stored_reports_are_whole_or_refused(content):
    with pytest.raises(ValueError):
        decode(json.loads(json.dumps(content)))


STRANGE = (None, 1, -1, "x", "os:system", [], {}, {"a": 1}, torch.zeros(0), torch.full((2,), torch.nan))


def test_bundles_with_strange_contents(here):
    model = torch.nn.Linear(2, 1)
    batch = (torch.zeros(3, 2), torch.zeros(3, 1))
    kwargs = {"in_features": 2, "out_features": 1}
    save("bundle.pt", model=model, loss=torch.nn.MSELoss(), batch=batch, kwargs=kwargs)
    content = torch.load("bundle.pt", weights_only=True)
    assert load_target(Request(("bundle.pt",)))[0].loss is not None
    for key in content:
        for strange in STRANGE:
            torch.save({**content, key: strange}, "odd.pt")
            refused_or_read(lambda p: load_target(Request((str(p),))), here / "odd.pt")


def test_the_undamaged_files_are_read(here):
    (here / "b.toml").write_bytes(BASELINES["nllcheck-baseline.toml"])
    (here / "pyproject.toml").write_bytes(CONFIGS["pyproject.toml"])
    (here / "state.pt").write_bytes(SEEDS["state.pt"])
    (here / "NLL101.yaml").write_bytes(RULE)
    assert baseline.read("b.toml") and read_rule(here / "NLL101.yaml").id == "NLL101"
    found = config.nearest([str(here)])
    assert found is not None and found.targets
    assert set(read(here / "state.pt")) == set(STATE)
