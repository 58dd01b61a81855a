"""Files that could run code: named by their opcodes, never run; damaged ones told from dangerous ones."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from nllcheck.errors import NllcheckError
from nllcheck.load.files import read
from nllcheck.load.opcodes import scan


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


def zipped(value, path: Path) -> None:
    torch.save(value, path)


def legacy(value, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def protocol_4(value, path: Path) -> None:
    torch.save(value, path, pickle_protocol=4)


def bare(value, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


def bare_5(value, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=5))


WRITERS = (zipped, legacy, protocol_4, bare, bare_5)


@pytest.mark.parametrize("write", WRITERS)
def test_code_is_named_and_never_run(tmp_path, write):
    path, marker = tmp_path / "weights.pt", tmp_path / "ran"
    write({"w": torch.zeros(2) if "bare" not in write.__name__ else 1, "x": Payload(marker)}, path)
    with pytest.raises(NllcheckError, match=r"would import posix\.system; nothing of it was run") as caught:
        read(path)
    assert not marker.exists() and "--trust" in caught.value.hint
    read(path, trust=True)
    assert marker.exists()


@pytest.mark.parametrize("write", [zipped, legacy])
def test_plain_tensors_need_no_trust(tmp_path, write):
    path = tmp_path / "weights.pt"
    write(collections.OrderedDict(w=torch.zeros(2, dtype=torch.bfloat16), b=torch.nn.Parameter(torch.ones(1))), path)
    assert list(read(path)) == ["w", "b"]
    assert scan(path).names == () and scan(path).whole


def test_a_spelling_that_torch_does_not_read(tmp_path):
    path = tmp_path / "weights.pt"
    protocol_4({"w": torch.zeros(2)}, path)
    with pytest.raises(NllcheckError, match=r"safe loader cannot read.*Unsupported") as caught:
        read(path)
    assert "pickle_protocol" in caught.value.hint
    assert list(read(path, trust=True)) == ["w"]


ARRAYS = {
    "float32": np.arange(6, dtype="f4").reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "other byte order": np.arange(3, dtype=">f4"),
    "whole numbers": np.arange(3),
    "truths": np.array([True, False]),
    "half": np.float16([1, 2]),
    "complex": np.array([1j]),
    "no dimension": np.array(2.5),
    "empty": np.zeros((0, 3)),
    "backwards": np.arange(4.0)[::-1],
}


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_of_plain_numbers_need_no_trust(tmp_path, write, case):
    path, array = tmp_path / "batch.pt", ARRAYS[case]
    write({"x": [(array, torch.zeros(1))], "n": np.float64(2.5), "t": np.bool_(True)}, path)
    for found in (read(path), read(path, trust=True)):
        tensor = found["x"][0][0]
        assert isinstance(tensor, torch.Tensor) and tensor.shape == array.shape
        assert np.array_equal(tensor.numpy(), array) and (found["n"], found["t"]) == (2.5, True)


@pytest.mark.parametrize("array", [np.array([{1}]), np.array(["a"]), np.zeros(2, [("a", "f4")]), np.datetime64(1, "D")])
def test_other_arrays_need_trust(tmp_path, array):
    zipped({"x": array}, tmp_path / "batch.pt")
    with pytest.raises(NllcheckError, match="nothing of it was run"):
        read(tmp_path / "batch.pt")
    assert type(read(tmp_path / "batch.pt", trust=True)["x"]) is type(array)


class Forged:
    """An array whose inside a file made up."""

    def __init__(self, call, arguments, state):
        self.made = call, arguments, state

    def __reduce__(self):
        return self.made


F8 = np.dtype("f8")
FORGED = {
    "too long": ((1, (10**12,), F8, False, b"12345678"), ()),
    "negative": ((1, (-5, -1), F8, False, b"12345678"), ()),
    "no bytes": ((1, (1,), F8, False, [1.0]), ()),
    "no dtype": ((1, (1,), 8, False, b"12345678"), ()),
    "no state": ({"value": 3}, ()),
    "odd start": ((1, (1,), F8, False, b"1234567"), (10**12,)),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_arrays_end_in_one_error(tmp_path, case):
    state, start = FORGED[case]
    zipped({"x": Forged(np.empty(0).__reduce__()[0], (np.ndarray, start, b"b"), state)}, tmp_path / "batch.pt")
    with pytest.raises(NllcheckError, match="nothing of it was run"):
        read(tmp_path / "batch.pt")


def test_a_repeated_module_is_named_once_for_each_of_its_names(tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps([collections.Counter(), collections.deque(), collections.Counter()], protocol=4))
    assert scan(path).names == ("collections.Counter", "collections.deque")


def test_names_cannot_steer_a_terminal(tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(b"\x80\x02c\x1b[2Jos\nsystem\n.")
    with pytest.raises(NllcheckError) as caught:
        read(path)
    assert "\x1b" not in str(caught.value) and "system" in str(caught.value)


def test_a_pickle_without_code_still_needs_trust(tmp_path):
    bare({"w": 1}, tmp_path / "weights.pkl")
    with pytest.raises(NllcheckError, match="a bare pickle"):
        read(tmp_path / "weights.pkl")
    assert read(tmp_path / "weights.pkl", trust=True) == {"w": 1}


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("write", WRITERS)
def test_cut_files_end_in_one_error(tmp_path, write, kept):
    path = tmp_path / "weights.pt"
    write({f"layer{i}": torch.zeros(30) if "bare" not in write.__name__ else i for i in range(30)}, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    for trust in (False, True):
        with pytest.raises(NllcheckError):
            read(path, trust)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_end_in_content_or_one_error(tmp_path, seed):
    path = tmp_path / "weights.pt"
    WRITERS[seed % 3]({"w": torch.zeros(30), "b": torch.ones(3)}, path)
    data = bytearray(path.read_bytes())
    generator = torch.Generator().manual_seed(seed)
    for position in torch.randint(len(data), (5,), generator=generator).tolist():
        data[position] ^= 0xFF
    path.write_bytes(data)
    try:
        read(path)
    except NllcheckError as error:
        assert error.exit_code == 2 and error.where


def test_a_damaged_pickle_in_a_whole_archive_is_damaged_not_dangerous(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02}q\x00(X")
        archive.writestr("weights/version", "3\n")
    with pytest.raises(NllcheckError, match="damaged"):
        read(path)


def test_a_pickled_script_class_is_explained(tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(b"\x80\x02c__main__\nNet\n)\x81.")
    with pytest.raises(NllcheckError, match="cannot be unpickled") as caught:
        read(path, trust=True)
    assert "state_dict" in caught.value.hint


def test_a_trusted_module_finds_its_class_beside_the_file(tmp_path, monkeypatch):
    (tmp_path / "nettrusted.py").write_text("import torch\nclass Net(torch.nn.Linear): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    from nettrusted import Net

    torch.save(Net(2, 2), tmp_path / "whole.pt")
    monkeypatch.undo()
    monkeypatch.delitem(__import__("sys").modules, "nettrusted")
    assert type(read(tmp_path / "whole.pt", trust=True)).__name__ == "Net"


def test_folders_pipes_and_unreadable_names(tmp_path):
    torch.save({}, tmp_path / "last.ckpt")
    os.mkfifo(tmp_path / "pipe")
    for place, message in (
        ("", r"folder.*last\.ckpt"),
        ("pipe", "pipe"),
        ("x" * 999, "cannot read"),
        ("a\0b", "no such|cannot"),
    ):
        with pytest.raises(NllcheckError, match=f"(?s){message}"):
            read(tmp_path / place)
