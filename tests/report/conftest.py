"""Golden files: `NLLCHECK_RENEW_GOLDEN=1 pytest tests/report` writes them anew; read the diff."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for report_cases


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if os.environ.get("NLLCHECK_RENEW_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{name} changed; renew with NLLCHECK_RENEW_GOLDEN=1"

    return compare
