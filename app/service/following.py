"""Follows ``releases/state.json``: loads what it names, and lets go of what it no longer names.

A new release is loaded aside and asked some of its golden questions; then one reference is
replaced, and the old model is closed when it has answered all that it was asked. Whatever is wrong
with the new one, the old one goes on. No more than two models are there beside one that is being
loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.service import lanes, trials
from app.service.guard import CANARY, STABLE, Trial, happens
from app.service.lanes import Lane
from pipeline.errors import GateError, MofangError, Text, words
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.releases import state
from pipeline.releases.ledger import STATE, Canary, State
from pipeline.releases.reading import versions

if TYPE_CHECKING:
    from pipeline.schema.serving import Serve

LOG = logging.getLogger("mofang.service")

PAUSE = 0.25  # seconds between two looks at the file
RETRY = 30.0  # seconds after which what failed is tried again
BY = "guard"  # who ends trials, in the file's events
FILE = "file"  # what a trouble is about, beside the roles

Event = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Serving:
    """What answers at one moment; replaced as a whole."""

    stable: Lane | None = None
    canary: Lane | None = None
    share: int = 0  # percent
    shadow: bool = False
    since: str = ""  # when the trial of the canary began, as the file says

    @property
    def trial(self) -> Trial | None:
        """Of the canary; None where there is none."""
        return None if self.canary is None else Trial(self.canary.version, self.since)

    def lanes(self) -> list[Lane]:
        """Return the releases that are loaded: stable, then the canary."""
        return [lane for lane in (self.stable, self.canary) if lane is not None]


@dataclass(frozen=True)
class Over:
    """A trial that has ended, whatever the file still says."""

    trial: Trial
    why: Text


class Follower:
    """Keeps ``now`` as the file says, as far as releases can be loaded; on one event loop.

    :param serve: section of ``params.yaml``.
    :param root: folder of releases.
    :param event: gets what happens: ``loaded``, ``not_loaded``, ``canary_ended``.
    :param tried: gets a trial when it begins, None when it has ended.
    """

    def __init__(
        self, serve: Serve, root: Path, event: Event, tried: Callable[[Trial | None], None]
    ) -> None:
        self.serve, self.root, self.event, self.tried = serve, root, event, tried
        self.now = Serving()
        self.troubles: dict[str, Text] = {}  # what health tells, by what it is about
        self._stamp: tuple[int, ...] | None = None  # of the file when it was followed last
        self._again = 0.0  # when to try again what failed, on the loop's clock; 0 for never
        self._over: Over | None = None
        self._quiet = 0.0  # when a trial has run long enough, on the loop's clock; 0 for never
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Load what the file names, then follow it; nothing that is wrong with it is raised."""
        await self.look()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="follower")

    async def stop(self) -> None:
        """Answer what was asked, then let go of all models."""
        self._stopping.set()
        if self._task is not None:  # a model that is being loaded cannot be let go of half-way
            await asyncio.wait([self._task])
        if self.now.canary is not None:
            self._trial_over()
        there, self.now = self.now.lanes(), Serving()
        for lane in there:
            await lane.close()

    async def _run(self) -> None:
        while not await happens(self._stopping, PAUSE):
            await self.look()

    async def look(self) -> None:
        """Follow the file if it has changed, or if it is time to try again."""
        await self._forget_deaths()
        stamp, now = stamp_of(self.root / STATE), asyncio.get_running_loop().time()
        if stamp == self._stamp and not 0 < self._again <= now:
            return
        self._stamp, self._again = stamp, 0.0
        try:
            await self.follow(await asyncio.to_thread(State.read, self.root))
            self.troubles.pop(FILE, None)
        except Exception as error:  # nothing that is wrong with the file ends this
            LOG.exception("%s could not be followed", STATE)
            self._trouble(FILE, reason(error))

    async def follow(self, wanted: State) -> None:
        """Let those releases answer that ``wanted`` names."""
        await self._follow_stable(wanted)
        await self._follow_canary(wanted)

    async def _follow_stable(self, wanted: State) -> None:
        now = self.now
        if wanted.stable is None:
            if now.stable is not None:  # the file was removed: no reason to fall silent
                self._trouble(STABLE, _("{file} names no release", file=STATE))
            return
        if now.stable is not None and now.stable.version == wanted.stable:
            self.troubles.pop(STABLE, None)
            return
        if now.canary is not None and now.canary.version == wanted.stable:
            lane: Lane | None = replace(now.canary, role=STABLE)  # promoted, and loaded already
        else:
            lane = await self._load(wanted.stable)
            if lane is None and now.stable is None:
                lane = await self._load_earlier(wanted)
        if lane is not None:
            if lane.version == wanted.stable:
                self.troubles.pop(STABLE, None)
            await self._replace_stable(lane)

    async def _load(self, version: str) -> Lane | None:
        """Return a loaded release; None when it cannot be, and then what serves goes on."""
        try:
            return await asyncio.to_thread(lanes.load, version, STABLE, self.root, self.serve)
        except Exception as error:
            why = _("release {version} could not be loaded: {reason}",
                    version=version, reason=reason(error))  # fmt: skip
            if self.troubles.get(STABLE) != why:  # it is tried again and again
                LOG.warning("release %s could not be loaded", version, exc_info=error)
                self._tell("not_loaded", version, STABLE, reason(error))
            self._trouble(STABLE, why)
            return None

    async def _load_earlier(self, wanted: State) -> Lane | None:
        """Return the release that a rollback would bring back: at the start better than none."""
        version = wanted.earlier(await asyncio.to_thread(versions, self.root))
        return None if version is None else await self._load(version)

    async def _replace_stable(self, lane: Lane) -> None:
        now = self.now  # as it is by now: the guard may have ended a trial while this was loading
        promoted = now.canary is not None and now.canary.batcher is lane.batcher
        self.now = replace(now, stable=lane, canary=None if promoted else now.canary)
        if promoted:
            self._trial_over()
        self._tell("loaded", lane.version, STABLE)
        if now.stable is not None:
            await now.stable.close()

    async def _follow_canary(self, wanted: State) -> None:
        trial, now = wanted.canary, self.now
        if trial is not None and self._over is not None and named(trial) == self._over.trial:
            await self._write_end(self._over)  # the file could not be written when it ended
        elif trial is None or now.stable is None or now.stable.version == trial.version:
            await self._let_go()
        elif now.trial == named(trial):
            self.now = replace(now, share=trial.share)
        else:
            await self._try(trial)

    async def _try(self, trial: Canary) -> None:
        """Begin a trial; a release that cannot be loaded ends its own.

        A model that is loaded is taken as it is: it answered copies until now, and from now on
        clients, or the reverse.
        """
        version = trial.version
        if self.now.canary is not None and self.now.canary.version != version:
            await self._let_go()
        try:
            await asyncio.to_thread(begin, trial, self.root)
            lane = self.now.canary  # asked now: meanwhile the guard may have ended its trial
            if lane is None:
                lane = await asyncio.to_thread(lanes.load, version, CANARY, self.root, self.serve)
                self._tell("loaded", version, CANARY)
        except Exception as error:
            LOG.warning("release %s could not be tried", version, exc_info=error)
            self._tell("not_loaded", version, CANARY, reason(error))
            why = _("it could not be tried: {reason}", reason=reason(error))
            self._over = Over(named(trial), why)
            self._trial_over()
            await self._let_go()
            await self._write_end(self._over)
        else:
            self._trial_begins(lane, trial)

    def _trial_begins(self, lane: Lane, trial: Canary) -> None:
        self.tried(named(trial))
        self._quiet = asyncio.get_running_loop().time() + trials.QUIET
        self.now = replace(
            self.now, canary=lane, share=trial.share, shadow=trial.shadow, since=trial.since
        )

    def _trial_over(self) -> None:
        self.tried(None)
        self._quiet = 0.0
        with contextlib.suppress(OSError):
            trials.end(self.root)

    async def _forget_deaths(self) -> None:
        """Let a trial that has run for a while begin with a clean slate."""
        if 0 < self._quiet <= asyncio.get_running_loop().time():
            self._quiet = 0.0
            with contextlib.suppress(OSError, MofangError):
                await asyncio.to_thread(trials.write, self.root, self.now.since, 0)

    async def end(self, trial: Trial, why: Message) -> None:
        """Give a canary's requests back to stable at once, then write it down and block it.

        Where the file cannot be written that is tried until it can; the trial stays over.
        """
        now = self.now
        if now.canary is None or now.trial != trial:
            return
        LOG.warning("the trial of release %s ends: %s", trial.version, why.render("en"))
        self._over = Over(trial, why)
        self.now = replace(now, canary=None)
        self._trial_over()
        self._tell("canary_ended", trial.version, CANARY, why)
        await self._write_end(self._over)
        await now.canary.close()

    async def _let_go(self) -> None:
        """Let go of a canary that the file does not name."""
        old = self.now.canary
        if old is not None:
            self.now = replace(self.now, canary=None)
            self._trial_over()
            await old.close()

    async def _write_end(self, over: Over) -> None:
        """End and block a trial in the file."""
        try:
            await asyncio.to_thread(write_end, over, self.root)
            self.troubles.pop(CANARY, None)
        except Exception as error:
            LOG.exception("%s could not be written", STATE)
            self._trouble(
                CANARY,
                _("the trial of {version} is over, but {file} cannot be written: {reason}",
                  version=over.trial.version, file=STATE, reason=reason(error)),
            )  # fmt: skip

    def _trouble(self, about: str, why: Text) -> None:
        """Tell health of something, and try again later."""
        self.troubles[about] = why
        self._again = asyncio.get_running_loop().time() + RETRY

    def _tell(self, kind: str, version: str, role: str, why: Text = "") -> None:
        told = {language: words(why, language) for language in LANGUAGES}
        try:
            self.event(kind, {"version": version, "role": role, "why": told})
        except Exception:  # whoever listens must not stop what happens
            LOG.exception("an event could not be told")


def begin(trial: Canary, root: Path) -> None:
    """Mark that a trial runs.

    :raises GateError: if the service died in it too often.
    """
    try:
        deaths = trials.begin(root, trial.since)
    except (OSError, MofangError):  # a folder that cannot be written is no reason against it
        return
    if deaths >= trials.MOST:
        raise GateError.at(
            f"release {trial.version}",
            found=_("a service that died {count} times while it was tried", count=deaths),
            allowed=_("fewer than {limit}", limit=trials.MOST),
            fix=_("Look into the log of the service and the system for what ended it."),
        )


def write_end(over: Over, root: Path) -> None:
    """End a trial in the file and block its release; nothing happens where it is gone already."""
    trial = over.trial
    state.end_canary(over.why, BY, version=trial.version, since=trial.since, block=True, root=root)


def named(trial: Canary) -> Trial:
    """Return which trial the file speaks of."""
    return Trial(trial.version, trial.since)


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def reason(error: BaseException) -> Text:
    """Return what was found wrong, in few words; of a stranger's error only what kind it is."""
    return error.problems[0].found if isinstance(error, MofangError) else type(error).__name__
