"""`nllcheck init`: the first `[tool.nllcheck]`, from what the repository shows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from nllcheck.cli.output import say
from nllcheck.config import toml_of
from nllcheck.errors import NllcheckError

if TYPE_CHECKING:
    from nllcheck.scan import Found

SHOWN = 6  # other candidates


def init() -> None:
    """Write a first block of settings into pyproject.toml, after reading (never running) what the repository holds."""
    from nllcheck.report.formats import write
    from nllcheck.scan import look

    path = Path("pyproject.toml")
    before = _before(path)
    found = look(Path.cwd())
    text = before + block(found)
    _check(text, path)
    write(text, path)
    missing = [name for name, some in _candidates(found) if not some and name != "batch"]
    said = [f"{path}: [tool.nllcheck] written; read it, correct it, then: nllcheck run"]
    said += [f"nothing found for: {', '.join(missing)}; fill it in"] if missing else []
    said += [f"not readable as Python: {name}" for name in found.unreadable]
    say("\n".join(said))


def _check(text: str, path: Path) -> None:
    """Raises NllcheckError where a table of its own cannot stand behind what the file says already."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        hint = "write [tool] and its tables out, not as tool = {...}"
        raise NllcheckError("no [tool.nllcheck] can be added to it", where=str(path), hint=hint) from None


def _before(path: Path) -> str:
    """The file as it is, which must not have the table yet. Raises NllcheckError."""
    content = toml_of(path)
    if content is None:
        return ""
    text, tools = path.read_text(encoding="utf-8-sig"), content.get("tool", {})
    if isinstance(tools, dict) and "nllcheck" in tools:
        raise NllcheckError("it has a [tool.nllcheck] already", where=str(path), hint="edit it; nllcheck run uses it")
    return text if not text or text.endswith("\n\n") else text.rstrip("\n") + "\n\n"


def _candidates(found: Found) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("checkpoint", found.checkpoints),
        ("model", found.models),
        ("loss", found.losses),
        ("batch", found.batches),
    ]


def block(found: Found) -> str:
    """The table: what was found is set, other candidates and what is missing stand in comments."""
    lines = [
        "# nllcheck looks here for what to check: `nllcheck run` checks every target.",
        "[tool.nllcheck]",
        '# fail_on = "error"                   # error, warning, note or never',
        '# ignore = ["NLL002"]                 # rules, or their beginnings: "NLL4"',
        '# baseline = "nllcheck-baseline.toml" # `nllcheck baseline` writes it: only new findings fail',
        "",
        "# [tool.nllcheck.severity]",
        '# NLL405 = "note"',
        "",
        "[tool.nllcheck.targets.main]",
    ]
    examples = {"checkpoint": "runs/last.pt", "model": "model.py:build", "loss": "losses.py:nll", "batch": "batch.pt"}
    for name, some in _candidates(found):
        lines += _setting(name, some, examples[name])
    return "\n".join(lines) + "\n"


def _setting(name: str, some: tuple[str, ...], example: str) -> list[str]:
    if not some:
        why = (
            "a file with (inputs, targets): torch.save((inputs, targets), ...)" if name == "batch" else "none was found"
        )
        return [f'# {name} = "{example}"  # {why}']
    others = [f"#   or {json.dumps(one)}" for one in some[1 : SHOWN + 1]]
    more = [f"#   or {len(some) - SHOWN - 1} more"] if len(some) > SHOWN + 1 else []
    return [f"{name} = {json.dumps(some[0])}", *others, *more]
