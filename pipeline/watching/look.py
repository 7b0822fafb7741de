"""One look of the monitor: judge what happened since the last one, tell people, propose.

The order is that of urgency: figures and what the service says of itself first, then drift, then
alerts, and only then what takes long (a page by Evidently, a proposal). A step that fails is an
alert itself and keeps none of the others from being done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.errors import BusyError, MofangError
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.locks import held
from pipeline.schema.watching import Alerts, Monitor
from pipeline.watching import (
    alerts,
    anomalies,
    driftwatch,
    figures,
    journal,
    proposal,
    quality,
    retraining,
)
from pipeline.watching.alerts import CRITICAL, INFO, WARNING, Alert, Said, Target

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.releases.ledger import State

LOOK = "look"  # kind of event
LOCK = Path("var/.monitor.lock")
GRACE = timedelta(seconds=30)  # the recorder writes in batches: a window is whole only after it
RECENT = timedelta(hours=2)  # older windows are judged too, but nobody is woken for them
KEPT = timedelta(days=35)  # looks and samples; windows keep what they came to
RELEASE_EVENTS: dict[str, tuple[str, Message]] = {
    "end_canary": (WARNING, _("the trial of release {version} was ended")),
    "rollback": (CRITICAL, _("release {version} was brought back")),
    "block": (INFO, _("release {version} is blocked")),
    "promote": (INFO, _("release {version} serves now")),
    "canary": (INFO, _("release {version} is tried as canary")),
}


@dataclass(frozen=True)
class Watch:
    """What is watched, by which knobs, and who is told."""

    engine: Engine
    monitor: Monitor
    alerts: Alerts
    targets: Sequence[Target]
    releases: Path


@dataclass
class Seen:
    """What a look found."""

    raised: list[Alert] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)
    drift: dict[str, float] = field(default_factory=dict)  # kind → score, of the last window
    judged: driftwatch.Judged | None = None
    verdict: quality.Verdict | None = None
    causes: list[proposal.Cause] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # steps
    outcome: dict[str, Any] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return it as the service and ``--json`` read it."""
        return {
            "windows": len(self.windows),
            "anomalies": [one["family"] for two in self.windows for one in two["anomalies"]],
            "drift": self.drift,
            "quality": dict(self.verdict.told()) if self.verdict else None,
            "failed": self.failed,
            **self.outcome,
        }


def look(watch: Watch, now: datetime, sample: Mapping[str, Any] | None = None) -> Seen:
    """Look once.

    :param sample: what the service says of itself, see ``app.service.schedule``; None by hand.
    :raises BusyError: if another look is under way.
    :raises StorageError: if the traffic database cannot be read or written.
    """
    from pipeline.releases.ledger import State

    seen = Seen()
    with only_one():
        if sample is not None:
            journal.note(watch.engine, figures.SAMPLE, sample, now)
            seen.raised += of_service(sample)
        before = journal.last(watch.engine, LOOK)
        since = before.at if before is not None else now - RECENT
        state = State()
        with step("releases", seen):
            state = State.read(watch.releases)
            seen.raised += of_releases(state, since)
        with step("figures", seen):
            seen.raised += of_windows(watch, seen, since, now)
        if state.stable is not None:
            judge_release(watch, seen, state, now)
        new = alerts.raised(watch.engine, seen.raised, watch.alerts, now)
        sent = alerts.deliver(watch.engine, watch.targets, watch.alerts, now)
        later = propose(watch, seen, state.stable, now)
        if later:
            new += alerts.raised(watch.engine, later, watch.alerts, now)
            more = alerts.deliver(watch.engine, watch.targets, watch.alerts, now)
            sent = {name: count + more[name] for name, count in sent.items()}
        seen.outcome |= {"alerts": [one.id for one in new], **sent}
        journal.note(watch.engine, LOOK, seen.told(), now)
        journal.forget(watch.engine, (LOOK, figures.SAMPLE), now - KEPT)
    return seen


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Let one process look at a time: two would raise the same alerts.

    :raises BusyError: if another one does.
    """
    busy = BusyError.at(
        LOCK,
        found=_("another look under way"),
        allowed=_("one at a time"),
        fix=_("Wait until it is done; the service looks by itself."),
    )
    LOCK.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(LOCK, busy):
        yield


@contextlib.contextmanager
def step(name: str, seen: Seen) -> Iterator[None]:
    """Turn what a step fails with into an alert, and go on.

    A database that is away stays an error: without it nothing can be judged or written down.
    """
    from pipeline.errors import StorageError

    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        seen.failed.append(name)
        told = (
            {one: error.render(one) for one in LANGUAGES}
            if isinstance(error, MofangError)
            else type(error).__name__  # no more: its words may hold a request's
        )
        title = _("a part of the monitor failed: {name}", name=name)
        seen.raised.append(Alert(f"monitor.{name}", WARNING, title, [Said.of(told)]))


def of_service(sample: Mapping[str, Any]) -> Iterator[Alert]:
    """Yield the alert about what the service has to do without."""
    reasons = sample.get("degraded") or []
    if reasons:
        title = _("the service is degraded")
        yield Alert("service.degraded", WARNING, title, [Said.of(one) for one in reasons])


def of_releases(state: State, since: datetime) -> Iterator[Alert]:
    """Yield what happened to releases since the last look."""
    for event in state.events:
        known = RELEASE_EVENTS.get(event.what)
        if known is None or journal.moment(event.at) <= since:
            continue
        severity, title = known
        values = {"version": event.version}
        lines = [Said.of(event.why)] if event.why else []
        key = f"release.{event.what}.{event.version}.{event.at}"
        yield Alert(key, severity, Message(title.text, values), lines, {"by": event.by} | values)


def of_windows(watch: Watch, seen: Seen, since: datetime, now: datetime) -> Iterator[Alert]:
    """Judge and keep every window that has ended; yield alerts about the recent ones."""
    from pipeline.traffic import reading

    knobs, engine = watch.monitor, watch.engine
    minutes = knobs.window_minutes
    before = figures.kept(engine, now, minutes, 1)
    after = now - timedelta(minutes=minutes * knobs.reference_windows)
    if before:
        after = max(after, journal.moment(before[-1]["until"]))
    for start in figures.due(engine, after, now - GRACE, minutes):
        window = figures.window(engine, start, start + timedelta(minutes=minutes))
        found = anomalies.check(window, references(engine, start, knobs), knobs)
        window["anomalies"] = [one.told() for one in found]
        figures.keep(engine, window)
        seen.windows.append(window)
        if now - journal.moment(window["until"]) <= max(RECENT, timedelta(minutes=2 * minutes)):
            yield from of_anomalies(window, found, knobs)
    lost = reading.dropped(engine, since, now)
    if lost:
        title = _("{count} entries of the request log were lost", count=lost)
        yield Alert("log.dropped", WARNING, title, (), {"count": lost})


def references(engine: Engine, before: datetime, knobs: Monitor) -> list[figures.Window]:
    """Return the sound windows before a moment: what was out of the ordinary is no measure.

    Unless somebody acknowledged it as the new normal (``ack ID --normal``).
    """
    known = figures.kept(engine, before, knobs.window_minutes, knobs.reference_windows)
    said = [one for one in journal.read(engine, (alerts.ACKNOWLEDGED,)) if one.data["normal"]]
    normal = {one.data["key"]: one.at for one in said}

    def sound(window: figures.Window) -> bool:
        until = journal.moment(window["until"])
        return all(
            (at := normal.get(f"anomaly.{one['family']}")) is not None and at >= until
            for one in window.get("anomalies", [])
        )

    return [one for one in known if sound(one)]


def of_anomalies(
    window: figures.Window, found: Sequence[anomalies.Anomaly], knobs: Monitor
) -> Iterator[Alert]:
    """Yield an alert for each family of figures that is out of the ordinary."""
    families: dict[str, list[anomalies.Anomaly]] = {}
    for one in found:
        families.setdefault(one.family, []).append(one)
    for family, some in families.items():
        severity = max((one.severity for one in some), key=alerts.rank)
        context = _(
            "From {since} to {until}, {requests} requests. Of sound windows {share} % raise an "
            "alarm, all figures together.",
            since=window["since"],
            until=window["until"],
            requests=window["requests"],
            share=f"{100 * knobs.false_alarms:g}",
        )
        lines = [*(one.sentence() for one in some[1:]), context]
        data = {"since": window["since"], "anomalies": [one.told() for one in some]}
        yield Alert(f"anomaly.{family}", severity, some[0].sentence(), lines, data)


def judge_release(watch: Watch, seen: Seen, state: State, now: datetime) -> None:
    """Judge the release that serves: what people say about it, and whether texts drifted."""
    version, engine, knobs = str(state.stable), watch.engine, watch.monitor
    with step("quality", seen):
        verdict = quality.judge(engine, version, knobs.quality, now)
        seen.verdict = verdict
        if verdict.bad:
            lines = [verdict.sentence()]
            title = _("people find too many answers wrong")
            seen.raised.append(
                Alert(f"quality.{version}", CRITICAL, title, lines, verdict.told())
            )  # fmt: skip
            seen.causes.append(
                proposal.Cause("quality", verdict.since, lines, verdict.told())
            )  # fmt: skip
    with step("drift", seen):
        seen.judged = driftwatch.judge(
            engine, version, watch.releases / version, knobs.drift,
            since=served_since(state, now), now=now - GRACE,
        )  # fmt: skip
        seen.drift = driftwatch.scores(driftwatch.latest(engine, version))
        events = driftwatch.confirmed(engine, version, knobs.drift)
        if events:
            lines = driftwatch.sentences(events)
            told = {"kinds": driftwatch.common(events), "windows": [one.id for one in events]}
            begun = journal.moment(events[0].data["since"])
            seen.causes.append(proposal.Cause("drift", begun, lines, told))
            if seen.judged is not None:  # once a window, not once a look
                title = _("requests are no longer like the training data")
                seen.raised.append(Alert(f"drift.{version}", WARNING, title, lines, told))


def served_since(state: State, now: datetime) -> datetime:
    """Return since when the stable release serves; long ago where nobody wrote it down."""
    found = [one.at for one in state.events
             if one.what in ("promote", "rollback") and one.version == state.stable]  # fmt: skip
    return journal.moment(found[-1]) if found else now - proposal.LOOKED_BACK


def propose(watch: Watch, seen: Seen, version: str | None, now: datetime) -> list[Alert]:
    """Write what takes long: the page by Evidently, and a proposal where one is due."""
    raised = len(seen.raised)
    knobs = watch.monitor
    with step("proposal", seen):
        retraining.settle(watch.engine, now, watch.releases)
        causes = [one for one in seen.causes if one.since >= last_over()]
        # Beside a bare service, as in a container, there is no project to propose a change of.
        if knobs.proposal.enabled and causes and artifacts.PARAMS.is_file():
            made = proposal.write(watch.engine, causes, knobs.proposal, now, version=version)
            if made is not None:
                seen.outcome["proposal"] = made["id"]
                seen.raised.append(of_proposal(made))
    with step("page", seen):
        if knobs.drift.report and seen.judged is not None and seen.judged.found.drifted:
            folder = driftwatch.write_page(seen.judged, knobs.drift)
            seen.outcome["page"] = None if folder is None else str(folder)
    return seen.raised[raised:]


def last_over() -> datetime:
    """Return when the last proposal was over: what came before has been answered."""
    ends = [one["steps"][-1]["at"] for one in proposal.every() if one["state"] in proposal.OVER]
    return max(map(journal.moment, ends), default=journal.moment("1970-01-01T00:00:00Z"))


def of_proposal(made: Mapping[str, Any]) -> Alert:
    """Return the alert about a new proposal."""
    sentences = zip(*(made["what_changed"][one] for one in LANGUAGES), strict=True)
    lines: list[Message] = [Said.of(dict(zip(LANGUAGES, one, strict=True))) for one in sentences]
    lines.append(
        _("Read it: {folder}/{id}.md. Approve it: python -m pipeline.monitor approve {id}",
          folder=proposal.FOLDER, id=made["id"])
    )  # fmt: skip
    title = _("a retraining is proposed")
    return Alert(f"proposal.{made['id']}", INFO, title, lines, {"proposal": made["id"]})
