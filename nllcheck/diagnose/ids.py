"""The ids that can be named in a comment, a baseline or `--select`."""

from __future__ import annotations

from functools import cache


@cache
def known_ids(folders: tuple[str, ...] = ()) -> frozenset[str]:
    """Of the shipped rules, those of `folders`, and the built-in ones. Raises NllcheckError for a bad rule file."""
    from nllcheck.diagnose.builtin import BUILTINS
    from nllcheck.rules import load

    return frozenset(rule.id for rule in load(folders)) | {builtin.id for builtin in BUILTINS}
