"""Releases: ``python -m pipeline.release create|promote|canary|rollback|list|show|remove``.

What passed every gate becomes a sealed copy; which copy serves stands in one small file.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline import artifacts
from pipeline.errors import ModelError, MofangError, Text, words
from pipeline.i18n import Message, _, current_language
from pipeline.params import load
from pipeline.quiet import be_quiet
from pipeline.releases import golden, state, store, tags
from pipeline.releases.ledger import Event, State, say
from pipeline.releases.reading import GOLDEN, RELEASES

LATEST = 10  # events that list shows
WHAT: dict[str, Message] = {
    "create": _("made"),
    "promote": _("promoted"),
    "canary": _("tried"),
    "end_canary": _("trial ended"),
    "rollback": _("brought back"),
    "block": _("blocked"),
    "remove": _("removed"),
}

Rows = list[tuple[Text, ...]]


def whoami() -> str:
    """Return who types: ``MOFANG_USER``, or the user that the system knows."""
    try:
        return os.environ.get("MOFANG_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number and no name
        return f"uid {os.getuid()}"


def root() -> Path:
    """Return where releases lie: ``MOFANG_RELEASES``, as the service reads it, or ``releases``."""
    return Path(os.environ.get("MOFANG_RELEASES") or RELEASES)


def create(wanted: argparse.Namespace) -> None:
    """Make a release, tag it, and promote it if asked to."""
    params = load()
    made = store.create(
        wanted.version, params.release, params.monitor.drift, by=whoami(), root=root()
    )
    tell(_("Release {version} is made: {folder}", version=made.version, folder=made.folder))
    if wanted.promote:
        put_to_work(made.version, wanted.force)  # which tags both
    else:
        if params.release.tags:
            tell(tags.register(made))
        tell(_("It serves after: python -m pipeline.release promote {version}",
               version=made.version))  # fmt: skip


def promote(wanted: argparse.Namespace) -> None:
    """Let a release answer all requests."""
    put_to_work(wanted.version, wanted.force)


def put_to_work(version: str, force: bool) -> None:
    """Promote a release and tag its commit."""
    before = State.read(root()).stable
    state.promote(version, whoami(), force, root=root())
    if before == version:
        tell(_("Release {version} serves already.", version=version))
        return
    tell(_("Release {version} serves; before it: {before}", version=version, before=before or "–"))
    assigned(version)


def assigned(version: str) -> None:
    """Tag the commit of what serves now, unless params say not to."""
    if load().release.tags:
        tell(tags.assign(store.read(version, root(), verify=False)))


def canary(wanted: argparse.Namespace) -> None:
    """Let a release answer some clients."""
    knobs = load().canary
    share = knobs.share if wanted.share is None else wanted.share
    shadow = wanted.shadow or knobs.shadow
    now = state.start_canary(wanted.version, share, shadow, whoami(), wanted.force, root=root())
    values = {"version": wanted.version, "share": share, "stable": now.stable}
    if shadow:
        tell(_("Release {version} answers copies of {share}% of all requests; clients get the "
               "answers of {stable}.", **values))  # fmt: skip
    else:
        tell(_("Release {version} answers {share}% of all clients, {stable} the others.", **values))


def rollback(wanted: argparse.Namespace) -> None:
    """Bring back what served before, or end the canary."""
    before = State.read(root())
    now = state.rollback(whoami(), wanted.why, wanted.canary, root=root())
    if wanted.canary and before.canary:
        tell(_("Release {version} is tried no more and blocked; {stable} answers all.",
               version=before.canary.version, stable=now.stable))  # fmt: skip
    elif now.stable is not None:
        tell(_("Release {version} serves again; {before} is blocked.",
               version=now.stable, before=before.stable))  # fmt: skip
        assigned(now.stable)


def remove(wanted: argparse.Namespace) -> None:
    """Remove a release that nobody needs."""
    store.remove(wanted.version, whoami(), wanted.force, root=root())
    tell(_("Release {version} is removed.", version=wanted.version))
    told = tags.deregister(wanted.version)
    if told is not None:
        tell(told)


def listing(wanted: argparse.Namespace) -> None:
    """Print all releases and the latest events."""
    now = State.read(root())
    rows = [row(version, now) for version in reversed(store.versions(root()))]
    if not rows:
        tell(_("There is no release yet: python -m pipeline.release create makes one."))
        return
    header = (_("version"), _("serves"), _("made"), _("variant"), _("figure, test part"),
              _("size"), _("commit"))  # fmt: skip
    show_table(_("Releases"), header, rows)
    show_events(now.events[-LATEST:])


def row(version: str, now: State) -> tuple[Text, ...]:
    """Return one line of the list; a release that cannot be read says so."""
    try:
        one = store.read(version, root(), verify=False)
    except ModelError as error:
        return (version, serving(version, now), "–", error.problems[0].found, "–", "–", "–")
    value = one.figures.get(one.main)
    commit = (one.commit or "–")[:8] + ("*" if one.origin["dirty"] else "")
    return (
        version,
        serving(version, now),
        one.created[:16].replace("T", " "),
        str(one.origin["variant"]),
        "–" if value is None else f"{one.main} {value:.4f}",
        f"{artifacts.folder_bytes(one.model) / 1e6:.1f} MB",
        commit,
    )


def serving(version: str, now: State) -> Text:
    """Return what a release does at the moment."""
    if version == now.stable:
        return _("all requests")
    if now.canary is not None and version == now.canary.version:
        if now.canary.shadow:
            return _("{share}% in shadow", share=now.canary.share)
        return _("{share}% of clients", share=now.canary.share)
    return _("blocked") if version in now.blocked else ""


def show(wanted: argparse.Namespace) -> None:
    """Verify a release, ask its golden questions, and print what is known of it."""
    one, now = store.read(wanted.version, root()), State.read(root())
    golden.ask(one)
    origin, language = one.origin, current_language()
    questions = len(artifacts.read_json(one.folder / GOLDEN)["questions"])
    rows: Rows = [
        (_("serves"), serving(one.version, now) or "–"),
        (_("made"), f"{one.created} ({origin['by']})"),
        (_("commit"), f"{one.commit or '–'}{' *' if origin['dirty'] else ''}"),
        ("dvc.lock", origin["dvc_lock"] or "–"),
        (_("variant"), _("{variant}, which kept every gate", variant=origin["variant"])
         if origin["kept_every_gate"]
         else _("{variant}, because no variant kept every gate", variant=origin["variant"])),
        (_("labels"), ", ".join(one.card.labels) or "–"),
        (_("whole"), _("yes, each file is as it was made")),
        (_("golden questions"), _("{count}, all answered", count=questions)),
        (_("size"), f"{artifacts.folder_bytes(one.folder) / 1e6:.1f} MB"),
    ]  # fmt: skip
    if one.version in now.blocked:
        entry = now.blocked[one.version]
        rows.append((_("blocked"), f"{entry.at} {say(entry.why, language)}"))
    show_table(_("Release {version}", version=one.version), ("", ""), rows)
    figures: Rows = [(name, f"{value:.4f}") for name, value in one.figures.items()]
    show_table(_("Figures of the test part"), ("", ""), figures)
    show_events([event for event in now.events if event.version == one.version][-LATEST:])


def show_events(events: Sequence[Event]) -> None:
    """Print what happened, the latest first."""
    rows: Rows = [
        (
            one.at[:19].replace("T", " "),
            one.version,
            WHAT[one.what],
            one.before or "–",
            one.by,
            say(one.why, current_language()),
        )
        for one in reversed(events)
    ]
    header = (_("time, UTC"), _("version"), _("event"), _("before"), _("by"), _("why"))
    show_table(_("What happened"), header, rows)


def show_table(title: Text, header: Sequence[Text], rows: Rows) -> None:
    """Print one table."""
    language = current_language()
    console = Console(
        width=None if sys.stdout.isatty() else 120, highlight=False, markup=False, emoji=False
    )
    table = Table(title=words(title, language), title_justify="left", title_style="bold",
                  show_header=any(header))  # fmt: skip
    for column in header:
        table.add_column(words(column, language))
    for cells in rows:
        table.add_row(*(words(cell, language) for cell in cells))
    console.print(table)


def tell(message: Message) -> None:
    """Print one line in the reader's language."""
    print(message, flush=True)


def arguments() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.release", description=str(_("Releases: what may serve."))
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    force = str(_("also where it is blocked"))

    def command(name: str, does: Any, help: Message, *, version: bool) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=str(help), description=str(help))
        made.set_defaults(does=does)
        if version:
            made.add_argument("version", metavar="VERSION", help=str(_("as in 1.2.0")))
        return made

    made = command("create", create, _("make a release of what models/ holds"), version=False)
    made.add_argument(
        "--version", help=str(_("its version, as in 1.2.0; without it the next minor one"))
    )
    made.add_argument("--promote", action="store_true", help=str(_("then let it serve")))
    made.add_argument("--force", action="store_true", help=force)
    made = command("promote", promote, _("let a release answer all requests"), version=True)
    made.add_argument("--force", action="store_true", help=force)
    made = command("canary", canary, _("let a release answer some clients"), version=True)
    made.add_argument(
        "--share", type=int, metavar="PERCENT", help=str(_("of clients; without it canary.share"))
    )
    made.add_argument(
        "--shadow", action="store_true", help=str(_("answer copies, which no client sees"))
    )
    made.add_argument("--force", action="store_true", help=force)
    made = command("rollback", rollback, _("bring back what served before"), version=False)
    made.add_argument("--why", help=str(_("the reason, for the record")))
    made.add_argument(
        "--canary", action="store_true", help=str(_("only end and block the canary"))
    )  # fmt: skip
    command("list", listing, _("all releases, and what happened"), version=False)
    command("show", show, _("one release, verified and asked"), version=True)
    made = command("remove", remove, _("remove a release that does not serve"), version=True)
    made.add_argument(
        "--force", action="store_true", help=str(_("also the one a rollback would bring back"))
    )
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    be_quiet()
    wanted = arguments().parse_args(given)
    wanted.does(wanted)


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
