"""No test may find the report of another or of the person who runs them, nor depend on how it was started."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

os.environ["NLLCHECK_DEBUG"] = "1"  # mistakes of our own are raised, see `errors.raise_own`
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded: idle threads leave the cores to others

# A shell starts background jobs with Ctrl-C ignored, and the processes that tests start would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NLLCHECK_CACHE_DIR", str(folder))
    return folder
