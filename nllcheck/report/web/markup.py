"""HTML as values: what is not `Safe` is escaped, so a user's text can never become markup."""

from __future__ import annotations

import html

from nllcheck.report.spelling import clean

VOID = ("meta", "input", "br")


class Safe(str):
    """Text that is markup already. Only `tag` and `join` make it, and the page's own style and script."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: object) -> Safe:
    """`<name attributes>children</name>`. A trailing underscore is dropped, others become hyphens.

    An attribute that is None or False is left out, True stands alone. A child that is None is left out.
    """
    given = {key: value for key, value in attributes.items() if value is not None and value is not False}
    told = "".join(_attribute(key, value) for key, value in given.items())
    body = join(*children)
    return Safe(f"<{name}{told}>" if name in VOID else f"<{name}{told}>{body}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f" {name}" if value is True else f' {name}="{html.escape(clean(text))}"'


def join(*children: str | None) -> Safe:
    return Safe("".join(c if isinstance(c, Safe) else _escaped(c) for c in children if c is not None))


def _escaped(text: str) -> str:
    """Line breaks stay: code is shown in `pre`. All else that steers is made visible."""
    return html.escape("\n".join(map(clean, text.split("\n"))))
