"""``python -m pipeline.traffic show | sweep | forget``: look at the traffic database, or empty it.

``MOFANG_DATABASE_URL`` names it; without that it is the SQLite file below ``var``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from pipeline.errors import DataError, MofangError, Text, words
from pipeline.i18n import _, current_language
from pipeline.params import load
from pipeline.traffic import database, privacy, reading, sweeping
from pipeline.traffic.address import VARIABLE

TITLES = {
    "requests": _("requests"),
    "predictions": _("answers"),
    "feedback": _("feedback"),
    "events": _("events"),
    "windows": _("windows of figures"),
}


def show(engine: Engine) -> None:
    """Print what the database holds."""
    found = reading.summary(engine)
    rows: list[tuple[Text, str]] = [
        (TITLES[name], f"{count:,}") for name, count in found["rows"].items()
    ]
    rows.append((_("size"), f"{found['bytes'] / sweeping.MEGABYTE:,.1f} MB"))
    for title, at in ((_("oldest request"), found["oldest"]), (_("newest"), found["newest"])):
        rows.append((title, "–" if at is None else at.isoformat(timespec="seconds")))
    printed(_("Traffic"), ("", _("rows")), rows)
    versions = [
        (version or _("none answered"), f"{one['requests']:,}", f"{one['texts']:,}")
        for version, one in found["versions"].items()
    ]
    printed(_("By release"), ("", _("requests"), _("texts")), versions)


def printed(title: Text, header: Sequence[Text], rows: Sequence[Sequence[Text]]) -> None:
    """Print a table in the reader's language."""
    language = current_language()
    table = Table(title=words(title, language), title_justify="left", title_style="bold")
    for at, column in enumerate(header):
        table.add_column(words(column, language), justify="right" if at else "left")
    for row in rows:
        table.add_row(*(words(cell, language) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False, markup=False)
    console.print(table)


def forget(engine: Engine, wanted: argparse.Namespace) -> None:
    """Delete a request, or all of a client.

    :raises DataError: if there is nothing of that name.
    """
    counts = privacy.forget(engine, wanted.id, client=wanted.client, root=Path())
    if not any(counts.values()):
        raise DataError.at(
            "forget",
            found=_("nothing of that name"),
            allowed=_("the id of a request, or the name of a client, as the service knows it"),
            fix=_(
                "Ask again in a second if it was just answered: it may still wait to be written."
            ),
        )
    print(
        _("Deleted: {requests} requests, {predictions} answers, {feedback} words of feedback.",
          **counts)
    )  # fmt: skip


def sweep(engine: Engine) -> None:
    """Delete what is too old or too much."""
    count = sweeping.sweep(engine, load().traffic, datetime.now(UTC))
    print(_("Deleted: {rows} rows that were too old or too much.", rows=count))


def arguments() -> argparse.ArgumentParser:
    """Return what the command line may hold."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.traffic",
        description=str(_("Look at what the service wrote down about requests, or delete it.")),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show", help=str(_("how much there is, and from when")))
    commands.add_parser("sweep", help=str(_("delete what is too old or too much, now")))
    one = commands.add_parser("forget", help=str(_("delete a request, or all of a client")))
    which = one.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help=str(_("of the request, as its answer names it")))
    which.add_argument("--client", help=str(_("as it names itself, or its key's name or address")))
    return parser


def main(words_given: Sequence[str] | None = None) -> None:
    """Do what the command line asks for.

    :raises MofangError: if that cannot be done.
    """
    wanted = arguments().parse_args(words_given)
    engine = database.open(os.environ.get(VARIABLE, ""), Path())
    try:
        if wanted.command == "show":
            show(engine)
        elif wanted.command == "sweep":
            sweep(engine)
        else:
            forget(engine, wanted)
    finally:
        engine.dispose()


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
