"""What a person who types commands meets: subcommands, sentences and tables in his language."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from pipeline.errors import Text, words
from pipeline.i18n import Message, current_language
from pipeline.quiet import be_quiet

WIDTH = 160  # characters of a table, where the output is no terminal
LONGEST_CELL = 200  # characters


class Commands:
    """The subcommands of a module.

    :param module: as in ``pipeline.release``.
    :param does: what they are for.
    """

    def __init__(self, module: str, does: Message) -> None:
        self.parser = argparse.ArgumentParser(prog=f"python -m {module}", description=str(does))
        self._commands = self.parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        self, name: str, does: Callable[[argparse.Namespace], None], help: Message
    ) -> argparse.ArgumentParser:
        """Add a command and return its parser, which takes what may follow its name."""
        made = self._commands.add_parser(name, help=str(help), description=str(help))
        made.set_defaults(does=does)
        return made

    def run(self, given: Sequence[str] | None = None) -> None:
        """Do what the command line asks for."""
        be_quiet()
        wanted = self.parser.parse_args(given)
        wanted.does(wanted)


def whoami() -> str:
    """Return who types: ``MOFANG_USER``, or the user that the system knows."""
    try:
        return os.environ.get("MOFANG_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number and no name
        return f"uid {os.getuid()}"


def say(text: Text) -> None:
    """Print one line in the reader's language."""
    print(words(text, current_language()), flush=True)


def table(
    title: Text, header: Sequence[Text], rows: Iterable[Sequence[Text]], *, numbers: bool = False
) -> None:
    """Print a table in the reader's language; signs that could forge or hide a line are left out.

    :param header: of empty texts only, it is not shown.
    :param numbers: all columns but the first hold numbers, which end at the same place.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text as Line

    language = current_language()
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, emoji=False)
    made = Table(
        title=Line(words(title, language), style="bold"), title_justify="left",
        show_header=any(header),
    )  # fmt: skip
    for at, column in enumerate(header):
        made.add_column(
            Line(words(column, language)), justify="right" if numbers and at else "left"
        )
    for cells in rows:
        made.add_row(*(Line(plain(words(cell, language), LONGEST_CELL)) for cell in cells))
    console.print(made)


def plain(text: str, most: int) -> str:
    """Return a text on one line, without what cannot be seen and could forge or turn around words.

    Labels and names come from data, and what shows them may be a terminal or a mail header.
    """
    line = "".join(one if one.isprintable() else " " for one in text)
    return line if len(line) <= most else line[: most - 1] + "…"
