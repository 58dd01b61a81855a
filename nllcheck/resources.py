"""Where the shipped folders are: beside the checkout, else inside the installed package."""

from __future__ import annotations

from pathlib import Path

from nllcheck.errors import NllcheckError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The shipped folder `rules` or `fixtures`.

    A checkout comes first: an editable install copies data once and goes stale. Raises NllcheckError.
    """
    for place in (_PACKAGE.parent / name, _PACKAGE / "_data" / name):
        if place.is_dir():
            return place
    raise NllcheckError(f"the folder '{name}' is missing from this installation", hint="install nllcheck again")
