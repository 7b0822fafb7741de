"""Releases: ``python -m pipeline.release create|promote|canary|rollback|list|show|remove``.

What passed every gate becomes a sealed copy; which copy serves stands in one small file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.console import Commands, say, table, whoami
from pipeline.errors import ModelError, MofangError, Text
from pipeline.i18n import Message, _, current_language
from pipeline.params import load
from pipeline.releases import golden, state, store, tags
from pipeline.releases.ledger import Event, State
from pipeline.releases.ledger import say as why_in
from pipeline.releases.reading import GOLDEN, root

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


def releases() -> Path:
    """Return where releases lie, as the service reads it."""
    return root(os.environ)


def create(wanted: argparse.Namespace) -> None:
    """Make a release, tag it, and promote it if asked to."""
    params = load()
    made = store.create(
        wanted.version, params.release, params.monitor.drift, by=whoami(), root=releases()
    )
    say(_("Release {version} is made: {folder}", version=made.version, folder=made.folder))
    if wanted.promote:
        put_to_work(made.version, wanted.force)  # which tags both
    else:
        if params.release.tags:
            say(tags.register(made))
        say(_("It serves after: python -m pipeline.release promote {version}",
               version=made.version))  # fmt: skip


def promote(wanted: argparse.Namespace) -> None:
    """Let a release answer all requests."""
    put_to_work(wanted.version, wanted.force)


def put_to_work(version: str, force: bool) -> None:
    """Promote a release and tag its commit."""
    before = State.read(releases()).stable
    state.promote(version, whoami(), force, root=releases())
    if before == version:
        say(_("Release {version} serves already.", version=version))
        return
    say(_("Release {version} serves; before it: {before}", version=version, before=before or "–"))
    assigned(version)


def assigned(version: str) -> None:
    """Tag the commit of what serves now, unless params say not to."""
    if load().release.tags:
        say(tags.assign(store.read(version, releases(), verify=False)))


def canary(wanted: argparse.Namespace) -> None:
    """Let a release answer some clients."""
    knobs = load().canary
    share = knobs.share if wanted.share is None else wanted.share
    shadow = wanted.shadow or knobs.shadow
    now = state.start_canary(wanted.version, share, shadow, whoami(), wanted.force, root=releases())
    values = {"version": wanted.version, "share": share, "stable": now.stable}
    if shadow:
        say(_("Release {version} answers copies of {share}% of all requests; clients get the "
               "answers of {stable}.", **values))  # fmt: skip
    else:
        say(_("Release {version} answers {share}% of all clients, {stable} the others.", **values))


def rollback(wanted: argparse.Namespace) -> None:
    """Bring back what served before, or end the canary."""
    before = State.read(releases())
    now = state.rollback(whoami(), wanted.why, wanted.canary, root=releases())
    if wanted.canary and before.canary:
        say(_("Release {version} is tried no more and blocked; {stable} answers all.",
               version=before.canary.version, stable=now.stable))  # fmt: skip
    elif now.stable is not None:
        say(_("Release {version} serves again; {before} is blocked.",
               version=now.stable, before=before.stable))  # fmt: skip
        assigned(now.stable)


def remove(wanted: argparse.Namespace) -> None:
    """Remove a release that nobody needs."""
    store.remove(wanted.version, whoami(), wanted.force, root=releases())
    say(_("Release {version} is removed.", version=wanted.version))
    told = tags.deregister(wanted.version)
    if told is not None:
        say(told)


def listing(wanted: argparse.Namespace) -> None:
    """Print all releases and the latest events."""
    now = State.read(releases())
    rows = [row(version, now) for version in reversed(store.versions(releases()))]
    if not rows:
        say(_("There is no release yet: python -m pipeline.release create makes one."))
        return
    header = (_("version"), _("serves"), _("made"), _("variant"), _("figure, test part"),
              _("size"), _("commit"))  # fmt: skip
    table(_("Releases"), header, rows)
    show_events(now.events[-LATEST:])


def row(version: str, now: State) -> tuple[Text, ...]:
    """Return one line of the list; a release that cannot be read says so."""
    try:
        one = store.read(version, releases(), verify=False)
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
    one, now = store.read(wanted.version, releases()), State.read(releases())
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
        rows.append((_("blocked"), f"{entry.at} {why_in(entry.why, language)}"))
    table(_("Release {version}", version=one.version), ("", ""), rows)
    figures: Rows = [(name, f"{value:.4f}") for name, value in one.figures.items()]
    table(_("Figures of the test part"), ("", ""), figures)
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
            why_in(one.why, current_language()),
        )
        for one in reversed(events)
    ]
    header = (_("time, UTC"), _("version"), _("event"), _("before"), _("by"), _("why"))
    table(_("What happened"), header, rows)


def commands() -> Commands:
    """Return all subcommands."""
    made = Commands("pipeline.release", _("Releases: what may serve."))
    force = str(_("also where it is blocked"))

    def add(name: str, does: Any, help: Message) -> argparse.ArgumentParser:
        one = made.add(name, does, help)
        one.add_argument("version", metavar="VERSION", help=str(_("as in 1.2.0")))
        return one

    one = made.add("create", create, _("make a release of what models/ holds"))
    one.add_argument(
        "--version", help=str(_("its version, as in 1.2.0; without it the next minor one"))
    )
    one.add_argument("--promote", action="store_true", help=str(_("then let it serve")))
    one.add_argument("--force", action="store_true", help=force)
    one = add("promote", promote, _("let a release answer all requests"))
    one.add_argument("--force", action="store_true", help=force)
    one = add("canary", canary, _("let a release answer some clients"))
    one.add_argument(
        "--share", type=int, metavar="PERCENT", help=str(_("of clients; without it canary.share"))
    )
    one.add_argument(
        "--shadow", action="store_true", help=str(_("answer copies, which no client sees"))
    )
    one.add_argument("--force", action="store_true", help=force)
    one = made.add("rollback", rollback, _("bring back what served before"))
    one.add_argument("--why", help=str(_("the reason, for the record")))
    one.add_argument("--canary", action="store_true", help=str(_("only end and block the canary")))
    made.add("list", listing, _("all releases, and what happened"))
    add("show", show, _("one release, verified and asked"))
    one = add("remove", remove, _("remove a release that does not serve"))
    one.add_argument(
        "--force", action="store_true", help=str(_("also the one a rollback would bring back"))
    )
    return made


def main(given: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    commands().run(given)


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
