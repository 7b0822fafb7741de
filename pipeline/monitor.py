"""Watch what serves: ``python -m pipeline.monitor [run|report|alerts|ack|propose|approve|…]``.

The service looks by itself every ``monitor.every_minutes``; by hand ``run`` does the same. It reads
and writes the traffic database and ``var/``, and ``params.yaml`` only when a proposal is approved.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.console import Commands, say, table, whoami
from pipeline.errors import MofangError, StorageError
from pipeline.i18n import Message, _
from pipeline.params import load
from pipeline.schema.watching import Alerts, Monitor
from pipeline.watching import alerts, proposal, retraining
from pipeline.watching.alerts import Target

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.evaluation.blocks import Table as Block
    from pipeline.watching.look import Watch

LOWEST_PRIORITY = 19
SHOWN = 10  # rows of a table on a terminal


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def releases() -> Path:
    """Return where releases lie, as the service reads it."""
    from pipeline.releases.reading import root

    return root(os.environ)


def opened() -> Engine:
    """Return what connects to the traffic database.

    :raises StorageError: if it cannot be reached.
    """
    from pipeline.traffic import address, database

    return database.open(os.environ.get(address.VARIABLE, ""), Path())


def stable() -> str | None:
    """Return the version of the release that serves."""
    from pipeline.releases.ledger import State

    return State.read(releases()).stable


def watch(monitor: Monitor, knobs: Alerts, to: Sequence[Target]) -> Watch:
    """Return what is watched, by these knobs.

    :raises StorageError: if the traffic database cannot be reached.
    """
    from pipeline.watching.look import Watch

    return Watch(opened(), monitor, knobs, to, releases())


def addresses() -> str:
    """Return where alerts go, as the environment says."""
    return os.environ.get(alerts.TARGETS, "")


def run(wanted: argparse.Namespace) -> None:
    """Look once, by the knobs of ``params.yaml``."""
    from pipeline.watching.look import look

    params = load()
    to = alerts.targets(addresses())
    told = look(watch(params.monitor, params.alerts, to), now()).told()
    if wanted.json:
        print(json.dumps(told))
        return
    say(_("{count} windows judged; out of the ordinary: {odd}", count=told["windows"],
          odd=", ".join(told["anomalies"]) or _("none")))  # fmt: skip
    for kind, score in told["drift"].items():
        say(_("distance from the training data, {kind}: {score}", kind=kind, score=f"{score:.3f}"))
    say(_("alerts: {new} new, {sent} sent, {refused} not taken", new=len(told["alerts"]),
          sent=told["sent"], refused=told["not_taken"]))  # fmt: skip
    for name in told["failed"]:
        say(_("a part of the monitor failed: {name}", name=name))
    if told.get("proposal"):
        say(_("A retraining is proposed: {path}", path=proposal.FOLDER / f"{told['proposal']}.md"))


def look_once(wanted: argparse.Namespace) -> None:
    """Look once for the service, by what it passes on, see ``app.service.schedule``."""
    from pipeline.watching.look import look

    os.nice(LOWEST_PRIORITY)
    given = json.load(sys.stdin)
    sections = given["sections"]
    knobs = Alerts.model_validate(sections["alerts"])
    try:
        # A target that is none shall not keep the others from being told.
        to = alerts.lines(addresses())
        watched = watch(Monitor.model_validate(sections["monitor"]), knobs, to)
        told = look(watched, now(), given["sample"]).told()
    except StorageError as error:
        # Without its database the monitor cannot know what it said before; a file tells it.
        alerts.last_resort(error, addresses(), knobs, now())
        raise
    print(json.dumps(told), flush=True)


def report(wanted: argparse.Namespace) -> None:
    """Print what the monitor knows, and write it as a page and as JSON."""
    from pipeline.evaluation.blocks import Table
    from pipeline.watching import report as reports

    at = now()
    found = reports.gather(
        opened(), load().monitor, since=at - timedelta(days=wanted.days), now=at, stable=stable()
    )
    for line in reports.summary(found):
        say(line)
    for section in reports.sections(found):
        for block in section.blocks:
            if isinstance(block, Table) and block.rows:
                show(block)
    say(_("The whole report: {path}", path=reports.write(found)))


def alerting(wanted: argparse.Namespace) -> None:
    """List the alerts, or send a test to every target."""
    from pipeline.watching import report as reports

    if wanted.action == "test":
        to = alerts.targets(addresses())
        if not to:
            say(_("No target: {variable} is empty.", variable=alerts.TARGETS))
            sys.exit(1)
        outcomes = alerts.test(to, load().alerts)
        for name, good in outcomes:
            say(_("{name}: taken", name=name) if good else _("{name}: not taken", name=name))
        sys.exit(0 if all(good for _name, good in outcomes) else 1)
    at = now()
    show(reports.listed(alerts.listed(opened(), at - timedelta(days=wanted.days))))


def acknowledge(wanted: argparse.Namespace) -> None:
    """Write down that somebody knows of an alert."""
    done = alerts.acknowledge(
        opened(), wanted.id, now(), by=wanted.by or whoami(), normal=wanted.normal, note=wanted.note
    )
    hours = load().alerts.acknowledged_hours
    say(_("Alert {id} ({key}) is acknowledged and stays quiet for {hours} hours.", id=wanted.id,
          key=done.data["key"], hours=hours))  # fmt: skip


def propose(wanted: argparse.Namespace) -> None:
    """Write a proposal to retrain, whatever the limits say."""
    from pipeline.watching import driftwatch

    params, at, engine = load(), now(), opened()
    version = stable()
    events = driftwatch.history(engine, version, 1) if version is not None else []
    lines: list[Message] = driftwatch.sentences(events) if driftwatch.common(events) else []
    lines.append(_("{name} asked for it: {why}", name=whoami(), why=wanted.why or "–"))
    since = at - timedelta(days=wanted.days)
    cause = proposal.Cause("by-hand", since, lines, {"by": whoami()})
    made = proposal.write(engine, [cause], params.monitor.proposal, at, version=version)
    if made is None:
        say(_("A proposal is open already; approve or reject it first."))
        sys.exit(1)
    say(_("A retraining is proposed: {path}", path=proposal.FOLDER / f"{made['id']}.md"))


def approve(wanted: argparse.Namespace) -> None:
    """Do what a proposal says about ``params.yaml`` and ``data/raw``."""
    done = proposal.approve(opened(), wanted.id, now(), by=wanted.by or whoami())
    print(done["params"]["diff"])
    say(_("Approved. Go on with: python -m pipeline.monitor continue {id}", id=wanted.id))


def reject(wanted: argparse.Namespace) -> None:
    """End a proposal."""
    proposal.reject(opened(), wanted.id, now(), by=wanted.by or whoami(), why=wanted.why)
    say(_("Rejected."))


def go_on(wanted: argparse.Namespace) -> None:
    """Run the steps of an approved proposal that need no person."""
    steps = retraining.proceed(
        opened(), wanted.id, now, by=wanted.by or whoami(), labelled=wanted.labelled,
        releases=releases(),
    )  # fmt: skip
    for line in steps:
        say(line)


def journals(wanted: argparse.Namespace) -> None:
    """Print the proposals and what was done about each."""
    from pipeline.evaluation.blocks import Cell, Table

    engine = opened()
    retraining.settle(engine, now(), releases())
    found = proposal.every()
    rows = [
        [Cell(one["id"]), Cell(line["at"]), Cell(line["step"]), Cell(line["outcome"]),
         Cell(line["by"]), Cell(line["note"])]
        for one in found if wanted.id in (None, one["id"]) for line in one["steps"]
    ]  # fmt: skip
    header = (_("proposal"), _("time, UTC"), _("step"), _("outcome"), _("by"), _("note"))
    show(Table(_("What was done"), header, rows), most=1_000)
    for one in found:
        say(_("{id}: {state}", id=one["id"], state=proposal.STATES[one["state"]]))


def show(block: Block, most: int = SHOWN) -> None:
    """Print one table, its first rows."""
    rows = [[cell.text for cell in row] for row in block.rows[:most]]
    table(block.caption, block.header, rows)


def commands() -> Commands:
    """Return all subcommands."""
    all_of = Commands("pipeline.monitor", _("Watch what serves."))
    command = all_of.add

    def person(made: argparse.ArgumentParser, kind: type = str) -> None:
        made.add_argument("id", type=kind, metavar="ID", help=str(_("as the list shows it")))
        made.add_argument("--by", metavar="NAME", help=str(_("who does it")))

    def days(made: argparse.ArgumentParser, default: float) -> None:
        made.add_argument(
            "--days", type=float, default=default, metavar="DAYS", help=str(_("how far back"))
        )

    made = command("run", run, _("look once, as the service does by itself"))
    made.add_argument("--json", action="store_true", help=str(_("for programs: one line of JSON")))
    made = command("look", look_once, _("look once for the service; reads JSON"))
    days(command("report", report, _("what happened, as tables, as a page and as JSON")), 7.0)
    made = command("alerts", alerting, _("list alerts, or send a test to every target"))
    made.add_argument("action", nargs="?", choices=("list", "test"), default="list")
    days(made, 30.0)
    made = command("ack", acknowledge, _("say that you know of an alert"))
    person(made, int)
    made.add_argument(
        "--normal", action="store_true", help=str(_("from now on this is not out of the ordinary"))
    )
    made.add_argument("--note", default="", help=str(_("what you found")))
    made = command("propose", propose, _("propose to retrain, whatever the limits say"))
    made.add_argument("--why", default="", help=str(_("the reason, for the record")))
    days(made, 30.0)
    person(command("approve", approve, _("do what a proposal says about params.yaml")))
    made = command("reject", reject, _("end a proposal"))
    person(made)
    made.add_argument("--why", default="", help=str(_("the reason, for the record")))
    made = command("continue", go_on, _("run the next steps of an approved proposal"))
    person(made)
    made.add_argument("--labelled", action="store_true", help=str(_("people are done labelling")))
    made = command("journal", journals, _("proposals, and what was done about each"))
    made.add_argument("id", nargs="?", metavar="ID", help=str(_("only this proposal")))
    return all_of


def main(given: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    commands().run(given)


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
