"""Names and numbers as a person would write them: captures, thresholds, templates."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping

from nllcheck.graphs import refs
from nllcheck.types import Axis, Event, Graph, Node, Ref, Site

Captures = Mapping[str, Ref | float]
_NAMELESS = re.compile(r"the \w+|output\.\d+")  # how something is called that has no name and no source line
_FIELD = re.compile(r"\{([^{}]+)\}")


def number(value: float) -> str:
    """The shortest decimal that a float32 reads back as the same number; 6 digits where it is none."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    try:
        exact = struct.pack("f", value)
        shortest = (f"{value:.{digits}g}" for digits in range(1, 10))
        return _plain(next(s for s in shortest if struct.pack("f", float(s)) == exact))
    except (OverflowError, StopIteration):
        return f"{value:.6g}"


def _plain(text: str) -> str:
    """Without an exponent where a person would write none: 10, not 1e+01."""
    return repr(float(text)).removesuffix(".0") if "e" in text and 1e-4 <= abs(float(text)) < 1e7 else text


def spelled(graph: Graph, value: Ref | float) -> str:
    """A capture in the user's own words: a variable, the expression on its line, else what it is."""
    if not isinstance(value, Ref):
        return f"{value:g}" if isinstance(value, (int, float)) else str(value)
    node = graph.nodes[value.index]
    while node.name is None and node.op in ("view", "select") and node.args and isinstance(node.args[0], Ref):
        if node.op == "select" and not _is_internal(graph, node):
            break
        node = graph.nodes[node.args[0].index]
    if node.name:
        return node.name
    if _is_internal(graph, node):
        return f"the {node.op} inside {node.inside[-1]}"
    if node.site and node.site.span and not is_library(node.site):
        return node.site.source[slice(*node.site.span)]
    return f"the {node.op}" if node.op not in ("input", "constant") else "the input"


def _is_internal(graph: Graph, node: Node) -> bool:
    """Does it stand in a library's function, and is it not what that function returns?"""
    readers = (n for n in graph.nodes[node.index + 1 :] if node.index in refs(n))
    return bool(node.inside) and any(n.inside[-1:] == node.inside[-1:] and n.site == node.site for n in readers)


def is_library(site: Site) -> bool:
    """Is the line inside an installed package, and so not one for the user to edit?"""
    return "site-packages" in site.path or "dist-packages" in site.path


def filled(template: str, graph: Graph, event: Event | None, captures: Captures, reach: float) -> str:
    """A rule's message with its fields replaced; a field without a value reads as a plain word."""
    ranges = {i: (low, high) for i, low, high in event.ranges} if event else {}

    text = _located(" ".join(template.split()), event)

    def field(match: re.Match[str]) -> str:
        said = _field(match[1].strip(), graph, event, captures, reach, ranges)
        return _bracketed(said) if _in_formula(text, match) else said

    return sentence(_FIELD.sub(field, text))


def _in_formula(text: str, match: re.Match[str]) -> bool:
    """Is the field an operand of the template's own formula?"""
    before, after = text[: match.start()], text[match.end() :]
    return bool(re.search(r"(^|[\w)}])\s*[-+*/]\s*$", before) or re.match(r"\s*[-+*/]\s*[\w({]", after))


def _located(template: str, event: Event | None) -> str:
    """A failure on the batch itself has no axis and no threshold to name; one near 0 goes on towards 0."""
    if event is None:
        return template
    if event.axis is not None and not event.axis.is_special:
        good, bad = event.threshold or (0.0, 0.0)
        if event.threshold is None or bad == 0 != good:
            return template.replace("from {axis} = {threshold} on", "at {axis} = {threshold}")
        return template.replace("{threshold} on", "{threshold} towards 0") if abs(bad) < abs(good) else template
    place = "on the batch itself" if event.axis is None else f"{special(event.axis)} {event.axis.label}"
    for phrase in ("from {axis} = {threshold} on", "at {axis} = {threshold}"):
        template = template.replace(phrase, place)
    return template.replace("{axis} = {threshold}", place.removeprefix("on "))


def special(axis: Axis) -> str:
    """The word between a failure and the label of a special place."""
    return "on" if axis.mode == "batch" else "where"


def sentence(text: str) -> str:
    """With a full stop, and a capital unless it begins with code."""
    first = text.split(" ", 1)[0]
    head = (
        text[0].upper() + text[1:] if (first.isalpha() and first.islower() and len(first) > 1) or first == "a" else text
    )
    return head if head.endswith((".", "!", "?")) else f"{head}."


def _field(
    name: str,
    graph: Graph,
    event: Event | None,
    captures: Captures,
    reach: float,
    ranges: Mapping[int, tuple[float, float]],
) -> str:
    inner = re.fullmatch(r"range\((\w+)\)", name)
    if inner:
        return _range(captures.get(inner[1]), ranges)
    if name in captures:
        said = spelled(graph, captures[name])
        return _moved(graph, captures[name], event, ranges) or said if _NAMELESS.fullmatch(said) else said
    at = (event.threshold[1] if event.threshold else event.witness) if event else math.nan
    node = graph.nodes[event.node] if event else None
    words = {
        "threshold": number(at) if not math.isnan(at) else "some value",
        "axis": event.axis.label if event and event.axis else "the batch",
        "reach": f"{reach:.3g}",
        "op": node.op if node else "the expression",
        "line": str(node.site.line) if node and node.site else "?",
    }
    return words.get(name, name)


def _moved(graph: Graph, capture: Ref | float, event: Event | None, ranges: Mapping[int, tuple[float, float]]) -> str:
    """The axis' own label, where the capture is what the axis moves: all of it holds the witness' value then."""
    if event is None or event.axis is None or event.axis.mode != "set" or not isinstance(capture, Ref):
        return ""
    node = graph.nodes[capture.index]
    while node.index != event.axis.node and node.op in ("view", "select") and refs(node):
        node = graph.nodes[refs(node)[0]]
    low, high = ranges.get(capture.index, (math.nan, math.nan))
    is_all = low == high and math.isclose(low, event.witness, rel_tol=1e-6)
    return event.axis.label if node.index == event.axis.node and is_all else ""


def _range(capture: Ref | float | None, ranges: Mapping[int, tuple[float, float]]) -> str:
    if isinstance(capture, Ref) and capture.index in ranges:
        low, high = ranges[capture.index]
        return f"[{low:.4g}, {high:.4g}]"
    return f"{capture:g}" if isinstance(capture, (int, float)) else "its values"


def substituted(expression: str, graph: Graph, captures: Captures) -> str:
    """A rule's fix with the captures replaced by the user's own names."""
    names = {name: _in_code(spelled(graph, value)) for name, value in captures.items()}
    return re.sub(r"\b[a-z_]\w*\b(?!\s*\()", lambda m: _bracketed(names.get(m[0], m[0])), expression)


def _in_code(text: str) -> str:
    """What has no name gets one: "the linear" is no code."""
    return text[4:].replace(" ", "_") + "_output" if _NAMELESS.fullmatch(text) and text.startswith("the ") else text


def _bracketed(text: str) -> str:
    return text if re.fullmatch(r"[\w.\[\], :]+|.*\)", text) and not re.search(r"[-+*/] ", text) else f"({text})"
