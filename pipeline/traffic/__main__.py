"""``python -m pipeline.traffic show | sweep | forget``: look at the traffic database, or empty it.

``MOFANG_DATABASE_URL`` names it; without that it is the SQLite file below ``var``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from pipeline.console import Commands, table
from pipeline.errors import DataError, MofangError, Text
from pipeline.i18n import _
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


def show(engine: Engine, _wanted: argparse.Namespace) -> None:
    """Print what the database holds."""
    found = reading.summary(engine)
    rows: list[tuple[Text, str]] = [
        (TITLES[name], f"{count:,}") for name, count in found["rows"].items()
    ]
    rows.append((_("size"), f"{found['bytes'] / sweeping.MEGABYTE:,.1f} MB"))
    for title, at in ((_("oldest request"), found["oldest"]), (_("newest"), found["newest"])):
        rows.append((title, "–" if at is None else at.isoformat(timespec="seconds")))
    table(_("Traffic"), ("", _("rows")), rows, numbers=True)
    versions = [
        (version or _("none answered"), f"{one['requests']:,}", f"{one['texts']:,}")
        for version, one in found["versions"].items()
    ]
    table(_("By release"), ("", _("requests"), _("texts")), versions, numbers=True)


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


def sweep(engine: Engine, _wanted: argparse.Namespace) -> None:
    """Delete what is too old or too much."""
    count = sweeping.sweep(engine, load().traffic, datetime.now(UTC))
    print(_("Deleted: {rows} rows that were too old or too much.", rows=count))


def commands() -> Commands:
    """Return what the command line may hold."""
    made = Commands(
        "pipeline.traffic", _("Look at what the service wrote down about requests, or delete it.")
    )
    made.add("show", opened(show), help=_("how much there is, and from when"))
    made.add("sweep", opened(sweep), help=_("delete what is too old or too much, now"))
    one = made.add("forget", opened(forget), help=_("delete a request, or all of a client"))
    which = one.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help=str(_("of the request, as its answer names it")))
    which.add_argument("--client", help=str(_("as it names itself, or its key's name or address")))
    return made


def opened(
    does: Callable[[Engine, argparse.Namespace], None],
) -> Callable[[argparse.Namespace], None]:
    """Return what opens the database, does it and closes the database."""

    def done(wanted: argparse.Namespace) -> None:
        engine = database.open(os.environ.get(VARIABLE, ""), Path())
        try:
            does(engine, wanted)
        finally:
            engine.dispose()

    return done


if __name__ == "__main__":
    try:
        commands().run()
    except MofangError as error:
        sys.exit(str(error))
