"""YAML text -> plain values with the place of every key, by YAML 1.2's rules for scalars.

Stock PyYAML reads `1e-3` as a string and `on` as true, and lets the last of two equal keys win; rule files are
written by people who expect none of this. Nodes are composed, never constructed: no tag can build an object.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from nllcheck.errors import NllcheckError

LONGEST = 200_000  # characters
DEEPEST = 20  # nested lists and mappings: the C loader recurses, and 100,000 brackets end the process
MOST_NODES = 20_000  # counts every use of an alias: bounds its expansion
_INT = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_WORDS: dict[str, bool | None] = {"~": None, "": None}
for _word, _meant in (("true", True), ("false", False), ("null", None)):
    _WORDS |= {_word: _meant, _word.capitalize(): _meant, _word.upper(): _meant}
_PLAIN_TAGS = tuple(
    f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "value")
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, from 1


@dataclass(frozen=True, slots=True)
class Tree:
    """A document: its value, the place of every key and item, and the place where each value itself begins."""

    value: Any
    places: dict[Path, Place]
    values: dict[Path, Place]


def read(text: str, name: str) -> Tree:
    """Parse one document. Raises NllcheckError with `name:line:column`."""
    if len(text) > LONGEST:
        raise NllcheckError(f"longer than {LONGEST} characters", where=name)
    try:
        _bound(text, name)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise NllcheckError(f"not valid YAML: {error.problem}", where=where) from None
    except yaml.YAMLError as error:
        raise NllcheckError(f"not valid YAML: {' '.join(str(error).split())}", where=name) from None
    builder = _Builder(name)
    return Tree(builder.build(node, ()), builder.places, builder.values)


def _bound(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            line, column = _place(event)
            raise NllcheckError(f"nested more than {DEEPEST} deep", where=f"{name}:{line}:{column}")


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.count = 0

    def build(self, node: yaml.Node | None, path: Path) -> Any:
        self.count += 1
        if node is None:
            return None
        if self.count > MOST_NODES or len(path) > DEEPEST:
            raise self._error(node, f"more than {MOST_NODES} values (an alias that expands itself?)")
        if node.tag not in _PLAIN_TAGS and node.tag != "!":
            raise self._error(node, f"the tag '{node.tag}' is not allowed")
        self.places.setdefault(path, _place(node))
        self.values[path] = _place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
        return _scalar(node)  # type: ignore[arg-type]  # a node that is no collection is a scalar

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be plain text")
            if key.value in found:
                raise self._error(key, f"the key '{key.value}' stands here twice")
            self.places[(*path, key.value)] = _place(key)
            found[key.value] = self.build(value, (*path, key.value))
        return found

    def _error(self, node: yaml.Node, message: str) -> NllcheckError:
        line, column = _place(node)
        return NllcheckError(message, where=f"{self.name}:{line}:{column}")


def _place(node: Any) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.style:  # quoted or a block: always text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text) if len(text) < 400 else math.inf
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.match(text) else text
