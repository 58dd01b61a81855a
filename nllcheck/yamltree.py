"""YAML text -> plain values with the place of every key, by YAML 1.2's rules for scalars.

Stock PyYAML reads `1e-3` as a string and `on` as true, and lets the last of two equal keys win; rule files are
written by people who expect none of this. Nodes are composed, never constructed: no tag can build an object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from nllcheck.errors import NllcheckError

MOST_NODES = 20_000  # counts every use of an alias: bounds its expansion
_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_PLAIN_TAGS = tuple(
    f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]
Places = dict[Path, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tree:
    """A document: its value, and line and column (from 1) of every key and item."""

    value: Any
    places: Places


def read(text: str, name: str) -> Tree:
    """Parse one document. Raises NllcheckError with `name:line:column`."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise NllcheckError(f"not valid YAML: {error.problem}", where=where) from None
    except yaml.YAMLError as error:
        raise NllcheckError(f"not valid YAML: {error}", where=name) from None
    places: Places = {}
    return Tree(_Builder(name, places).build(node, ()), places)


class _Builder:
    def __init__(self, name: str, places: Places) -> None:
        self.name = name
        self.places = places
        self.count = 0

    def build(self, node: yaml.Node | None, path: Path) -> Any:
        self.count += 1
        if node is None:
            return None
        if self.count > MOST_NODES:
            raise self._error(node, f"more than {MOST_NODES} values (an alias that expands itself?)")
        if node.tag not in _PLAIN_TAGS and node.tag != "!":
            raise self._error(node, f"the tag '{node.tag}' is not allowed")
        self.places.setdefault(path, _place(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
        return _scalar(node)

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


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.style is not None:  # quoted or a block: always text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text
