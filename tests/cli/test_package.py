"""`import nllcheck`: everything by name, nothing paid for before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nllcheck
from nllcheck.errors import NllcheckError

CODE = """
import sys, nllcheck
assert "torch" not in sys.modules
assert set(nllcheck.__all__) <= set(dir(nllcheck))
assert not hasattr(nllcheck, "nosuch")
assert "torch" not in sys.modules
{first}
assert callable(nllcheck.check) and callable(nllcheck.save)
from nllcheck.check import run
from nllcheck.options import Options
import nllcheck.check
assert callable(nllcheck.check) and nllcheck.check.run is run
try:
    nllcheck.check(lambda o, t: o)
except nllcheck.NllcheckError as error:
    assert "needs a model" in str(error)
from nllcheck import *
assert callable(check) and callable(check_function) and callable(save) and Report
"""


@pytest.mark.parametrize("first", ["from nllcheck.check import run", "import nllcheck.save", "nllcheck.check_function"])
def test_names_hold_whatever_was_imported_first(first):
    done = subprocess.run([sys.executable, "-c", CODE.format(first=first)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_error_is_the_same_everywhere():
    assert nllcheck.NllcheckError is NllcheckError


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nosuch"):
        _ = nllcheck.nosuch
