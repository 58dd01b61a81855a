"""Import paths: the user's own code as Python and pytest would import it, and its errors at its own lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nllcheck.errors import NllcheckError
from nllcheck.load.imports import resolve


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(autouse=True)
def same_path_afterwards(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_file_and_its_neighbours_share_classes(tmp_path):
    write(tmp_path, netzz="class Net: pass", losszz="from netzz import Net\n")
    assert resolve("netzz.py:Net", "model", tmp_path) is resolve("losszz.py:Net", "loss", tmp_path)


def test_a_neighbour_may_be_imported_late(tmp_path):
    write(tmp_path, latezz="def nll(o, t):\n    import helperzz\n    return helperzz.VALUE", helperzz="VALUE = 3")
    assert resolve("latezz.py:nll", "loss", tmp_path)(0, 0) == 3


def test_relative_imports_inside_a_package(tmp_path):
    (tmp_path / "pkgzz").mkdir()
    (tmp_path / "pkgzz" / "__init__.py").write_text("")
    (tmp_path / "pkgzz" / "utils.py").write_text("def nll(): pass")
    (tmp_path / "pkgzz" / "losses.py").write_text("from .utils import nll")
    found = resolve("pkgzz/losses.py:nll", "loss", tmp_path)
    assert found is resolve("pkgzz.utils:nll", "loss", tmp_path) and found.__module__ == "pkgzz.utils"


def test_two_projects_with_the_same_names(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, losses=f"import helper\nNAME = helper.NAME\nOWN = '{name}'", helper=f"NAME = '{name}'")
    for name in ("one", "two", "one"):
        assert resolve("losses.py:NAME", "loss", tmp_path / name) == name
        assert resolve("losses:OWN", "loss", tmp_path / name) == name


@pytest.mark.parametrize("name", ["random", "torch", "nllcheck", "my-loss", "2nd", "pytest"])
def test_names_that_belong_to_others_are_left_alone(tmp_path, name):
    before = sys.modules.get(name)
    (tmp_path / f"{name}.py").write_text("MINE = 1")
    assert resolve(f"{name}.py:MINE", "loss", tmp_path) == 1
    assert sys.modules.get(name) is before


def test_the_folder_comes_last_on_the_path_afterwards(tmp_path):
    write(tmp_path, innerzz="VALUE = 1", calendar="raise SystemError('shadows the standard library')")
    resolve("innerzz.py:VALUE", "loss", tmp_path)
    assert sys.path[-1] == str(tmp_path) and sys.path.count(str(tmp_path)) == 1


BAD = {
    "syntax": ("def f(:\n", "SyntaxError", "badzz.py:1"),
    "its import": ("\nimport no_such_package_zz\n", "No module named 'no_such_package_zz'", "badzz.py:2"),
    "raises in a library": ("import json\n\njson.loads('{')\n", "JSONDecodeError", "badzz.py:3"),
    "exits": ("import sys\nsys.exit(0)\n", "calls sys.exit", "badzz.py:2"),
    "no message": ("raise ValueError\n", "ValueError", "badzz.py:1"),
}


@pytest.mark.parametrize("spec", ["badzz.py:f", "badzz:f"])
@pytest.mark.parametrize("case", BAD)
def test_errors_are_told_at_the_users_line(tmp_path, case, spec):
    text, message, place = BAD[case]
    write(tmp_path, badzz=text)
    with pytest.raises(NllcheckError) as caught:
        resolve(spec, "loss", tmp_path)
    assert message in caught.value.message and caught.value.where == str(tmp_path / place)
    assert "badzz" not in sys.modules


MISSING = {
    "losszz.py:nl": "did you mean 'nll'?",
    "loss_zz.py:nll": "did you mean 'losszz.py'?",
    "nowherezz:nll": "give a file instead",
    "losszz": "write --loss",
    "losszz.py:": "write --loss",
    ":nll": "write --loss",
}


@pytest.mark.parametrize("spec", MISSING)
def test_what_is_missing_is_named(tmp_path, spec):
    write(tmp_path, losszz="def nll(): pass")
    with pytest.raises(NllcheckError) as caught:
        resolve(spec, "loss", tmp_path)
    assert MISSING[spec] in caught.value.hint


def test_a_missing_submodule_of_an_existing_package_is_its_own_error(tmp_path):
    (tmp_path / "packzz").mkdir()
    (tmp_path / "packzz" / "__init__.py").write_text("")
    (tmp_path / "packzz" / "losses.py").write_text("import packzz.gone\n")
    with pytest.raises(NllcheckError, match=r"importing packzz\.losses failed.*packzz\.gone") as caught:
        resolve("packzz.losses:nll", "loss", tmp_path)
    assert caught.value.where.endswith("losses.py:1")
