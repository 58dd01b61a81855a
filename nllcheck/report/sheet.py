"""A sheet of so many cells: text wrapped, labelled and ruled, as `rich.text.Text` and never as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LABEL = 9  # "instead" and two blanks
INDENT = 2


def console(width: int) -> Console:
    from rich.console import Console

    return Console(
        width=width,
        color_system="standard",
        force_terminal=True,
        force_jupyter=False,  # in a notebook it would display instead of returning text
        no_color=False,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def styled(*parts: str | Text | tuple[str, str]) -> Text:
    from rich.text import Text

    return Text.assemble(*parts)


class Sheet:
    """Building blocks; every method returns lines that fit `width`."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.room = width - INDENT - LABEL - 1  # cells for what stands beside a label; one stays free
        self.console = console(width)

    def wrap(self, text: str | Text, room: int) -> list[Text]:
        body = styled(text) if isinstance(text, str) else text
        return list(body.wrap(self.console, room, overflow="fold", tab_size=1))

    def block(self, label: str, *texts: str | Text) -> list[Text]:
        """A dim label and, hanging beside it, the texts: each on lines of its own, wrapped."""
        wrapped = [line for text in texts for line in self.wrap(text, self.room)]
        heads = [label, *[""] * len(wrapped)]
        margin = " " * INDENT
        return [styled((margin + head.ljust(LABEL), "dim"), line) for head, line in zip(heads, wrapped, strict=False)]

    def paragraph(self, text: str) -> list[Text]:
        return [styled(" " * INDENT).append_text(line) for line in self.wrap(text, self.width - INDENT - 1)]

    def rule(self, head: Text) -> Text:
        head.truncate(self.width - 4, overflow="ellipsis")
        return head.append(" " + "─" * (self.width - head.cell_len - 1), "dim")
