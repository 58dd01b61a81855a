"""Rule files: one YAML file a rule, read with the place of every error.

A rule names an offence, says by which patterns it is known, and carries an example that fires and one that stays
silent. No Python of a rule runs when it is loaded; its examples run only under `nllcheck rules test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from nllcheck import resources, yamltree
from nllcheck.errors import NllcheckError
from nllcheck.rules.model import Examples, Rule, schema, validated
from nllcheck.rules.texts import check_texts

__all__ = ["Examples", "Rule", "files", "load", "read", "schema"]


def load(folders: Sequence[str | Path] = ()) -> tuple[Rule, ...]:
    """The shipped rules and those of `folders`, by id. Raises NllcheckError with file, line and column."""
    ids: dict[str, Rule] = {}
    names: dict[str, Rule] = {}
    for path in [file for place in (resources.folder("rules"), *map(Path, folders)) for file in files(place)]:
        rule = read(path)
        for key, own, taken in (("id", rule.id, ids), ("name", rule.name, names)):
            if own in taken:
                message = f"the {key} {own} is taken by {taken[own].path}"
                raise NllcheckError(message, where=str(path), hint="choose another")
            taken[own] = rule
    return tuple(rule for _, rule in sorted(ids.items()))


def files(place: Path) -> list[Path]:
    """Rule files of a folder (or the one file), sorted. Raises NllcheckError if there is no such folder."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise NllcheckError(f"there is no rule folder '{place}'", hint="--rules takes a folder of YAML files")
    found = sorted(p for p in place.iterdir() if p.suffix in (".yaml", ".yml"))
    if not found:
        raise NllcheckError("there is no rule in this folder", where=str(place), hint="rules are files named *.yaml")
    return found


def read(path: Path) -> Rule:
    """One rule from its file. Raises NllcheckError."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise NllcheckError("this is no file", where=str(path), hint="rules are files named *.yaml")
        return _parsed(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NllcheckError(f"cannot read the rule: {error}", where=str(path)) from None


@lru_cache(maxsize=1024)  # a process that checks many losses parses each rule once
def _parsed(path: Path, text: str) -> Rule:
    tree = yamltree.read(text, str(path))
    rule = validated(tree, path)
    check_texts(rule, tree, text)
    return rule
