"""The command line called in this process, as a user would call it."""

from __future__ import annotations

import sys

import pytest

from nllcheck import cli


@pytest.fixture
def call(monkeypatch, capsys):
    """Words of a command line -> exit code, standard output, standard error."""

    def _call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nllcheck", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return _call
