"""Changes of what serves: promote, canary, rollback, block.

``releases/state.json`` is one small file, replaced whole; readers need no lock. Who changes it
holds the lock beside it, and has asked the release its golden questions before, so that a release
that answers otherwise than it was made never comes into the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.errors import StorageError, Text
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.locks import held
from pipeline.releases import golden
from pipeline.releases.ledger import STATE, Block, Canary, Event, State, What, Why, say
from pipeline.releases.reading import RELEASES, Release, folder_of, read, versions
from pipeline.releases.refusing import (
    busy,
    freed,
    identity,
    nothing_to_undo,
    refuse_blocked,
    refuse_share,
    refuse_trial,
)

__all__ = ["Block", "Canary", "Event", "State", "block", "end_canary", "promote", "record",
           "rollback", "say", "start_canary"]  # fmt: skip

LOCK = ".state.lock"
SECONDS_TO_WAIT = 30  # for another writer; one needs milliseconds
MOST_EVENTS = 1_000
BY_HAND = _("rolled back by hand")


def promote(
    version: str, by: str, force: bool = False, *, why: Text | None = None, root: Path = RELEASES
) -> State:
    """Let a release answer all requests, after it answered its golden questions.

    :param by: who wants it.
    :param force: also where it is blocked, which ends the block; its golden questions hold anyway.
    :raises GateError: if it is blocked, or does not answer as it was made.
    :raises ModelError: if it is not there, or not whole.
    """
    release = asked(version, root)
    with changing(root) as now:
        refuse_blocked(now, release, force)
        if now.stable == version:
            return now
        canary = None if now.canary and now.canary.version == version else now.canary
        event = happened("promote", version, by, why, before=now.stable)
        return write(now, root, event, stable=version, canary=canary, blocked=freed(now, release))


def start_canary(
    version: str,
    share: int,
    shadow: bool,
    by: str,
    force: bool = False,
    *,
    why: Text | None = None,
    root: Path = RELEASES,
) -> State:
    """Let a release answer some clients beside stable, or change how many, after golden questions.

    :param share: percent.
    :raises GateError: if there is no stable release, if this one is stable, if another one is tried
        already, or as ``promote``.
    :raises ModelError: if it is not there, or not whole.
    """
    refuse_share(share)
    release = asked(version, root)
    with changing(root) as now:
        refuse_blocked(now, release, force)
        refuse_trial(now, version)
        same = now.canary is not None and now.canary.shadow == shadow
        since = now.canary.since if now.canary is not None and same else moment()
        canary = Canary(version=version, share=share, shadow=shadow, since=since)
        if now.canary == canary:
            return now
        event = happened("canary", version, by, why)
        return write(now, root, event, canary=canary, blocked=freed(now, release))


def end_canary(
    why: Text,
    by: str,
    *,
    version: str | None = None,
    since: str | None = None,
    block: bool = False,
    root: Path = RELEASES,
) -> State:
    """Give all requests back to stable; nothing happens where no such canary runs.

    :param version: only where this one is tried, because another was not meant; None for any.
    :param since: only the trial that began then; None for any.
    :param block: also block the canary, in the same write, so that nothing can come between.
    """
    with changing(root) as now:
        if now.canary is None:
            return now
        there = now.canary.version, now.canary.since
        if there != (version or there[0], since or there[1]):
            return now
        version, blocked = now.canary.version, now.blocked
        events = [happened("end_canary", version, by, why)]
        if block:
            events.append(happened("block", version, by, why))
            blocked = blocked | {version: blocking(version, why, root)}
        return write(now, root, *events, canary=None, blocked=blocked)


def block(version: str, why: Text, by: str, *, root: Path = RELEASES) -> State:
    """Refuse a release, and the same model under any number, until somebody forces it.

    What serves goes on: ``end_canary`` and ``rollback`` change that.
    """
    with changing(root) as now:
        if version in now.blocked:
            return now
        blocked = now.blocked | {version: blocking(version, why, root)}
        return write(now, root, happened("block", version, by, why), blocked=blocked)


def rollback(
    by: str, why: Text | None, only_canary: bool = False, *, root: Path = RELEASES
) -> State:
    """Bring the stable release back that served before, and block the one that serves now.

    A canary ends with it: after a rollback only a release that has proved itself answers.

    :param only_canary: end and block the canary, and leave stable as it is.
    :raises GateError: if there is nothing to go back to, or it does not answer as it was made.
    :raises ModelError: if it is not whole.
    """
    now = State.read(root)
    if only_canary:
        if now.canary is None:
            raise nothing_to_undo(_("no canary"))
        tried = now.canary
        return end_canary(
            why or BY_HAND, by, version=tried.version, since=tried.since, block=True, root=root
        )
    target = now.earlier(versions(root))
    if target is None:
        raise nothing_to_undo(_("no earlier release that may serve"))
    release = asked(target, root)
    with changing(root) as now:
        left = now.stable
        if left is None or now.earlier(versions(root)) != target:
            raise busy(root, _("another change in the same moment"))
        refuse_blocked(now, release, force=False)
        event = happened("rollback", target, by, why, before=left)
        blocked = now.blocked | {left: blocking(left, why or BY_HAND, root)}
        return write(now, root, event, stable=target, canary=None, blocked=blocked)


def record(what: What, version: str, by: str, *, root: Path = RELEASES) -> State:
    """Write down what happened to a release; what serves stays."""
    with changing(root) as now:
        return write(now, root, happened(what, version, by, None))


def asked(version: str, root: Path) -> Release:
    """Return a release that is whole and answers its golden questions.

    :raises ModelError: if it is not there, or not whole.
    :raises GateError: if it answers otherwise.
    """
    release = read(version, root)
    golden.ask(release)
    return release


def blocking(version: str, why: Text, root: Path) -> Block:
    """Return the entry that blocks a version."""
    return Block(why=kept(why), at=moment(), model=identity(folder_of(version, root)))


def happened(
    what: What, version: str, by: str, why: Text | None, *, before: str | None = None
) -> Event:
    """Return an event of this moment."""
    return Event(at=moment(), what=what, version=version, before=before, by=by, why=kept(why))


def kept(why: Text | None) -> Why:
    """Return a reason as the file holds it: Mofang's own in each language."""
    if isinstance(why, Message):
        return {language: why.render(language) for language in LANGUAGES}
    return why


def moment() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write(now: State, root: Path, *events: Event, **changes: Any) -> State:
    """Replace the file by a state with other values and more events; who calls holds the lock."""
    new = State.model_validate(dict(now) | changes | {"events": newest([*now.events, *events])})
    artifacts.write_json(root / STATE, new.model_dump())
    return new


def newest(events: list[Event]) -> list[Event]:
    """Return the newest events; older promotions outlive others, because a rollback needs them."""
    surplus = len(events) - MOST_EVENTS
    if surplus <= 0:
        return events
    gone = set([at for at, one in enumerate(events) if one.what != "promote"][:surplus])
    return [one for at, one in enumerate(events) if at not in gone][-MOST_EVENTS:]


@contextlib.contextmanager
def changing(root: Path) -> Iterator[State]:
    """Hold the right to change the file, and yield what it says now.

    :raises BusyError: if somebody else holds it for half a minute.
    :raises StorageError: if the folder cannot be written.
    """
    told = _("another change for {seconds} seconds", seconds=SECONDS_TO_WAIT)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with held(root / LOCK, busy(root, told), SECONDS_TO_WAIT):
            yield State.read(root)
    except OSError as error:
        raise StorageError.at(
            root,
            found=error.strerror or str(error),
            allowed=_("a folder that can be written"),
            fix=_("Mend its rights or free some space; what serves goes on."),
        ) from error
