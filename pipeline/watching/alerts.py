"""Alerts: recorded always, sent through apprise to mail, DingTalk, Feishu, WeCom or a webhook.

Targets stand in ``MOFANG_ALERTS``, one a line, as apprise writes them; a severity before one says
from which it wants to be told::

    dingtalk://TOKEN/
    critical mailtos://name:password@example.org

An alert is written down before it is sent and again when a target took it. After a crash in
between it is sent once more: rather twice than never. A target is only ever shown by its number and
its service, because its address is a secret.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.console import plain
from pipeline.errors import DataError, Problem, StorageError
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.schema.watching import Alerts as Knobs
from pipeline.watching import journal

if TYPE_CHECKING:
    from sqlalchemy import Engine

TARGETS = "MOFANG_ALERTS"
INFO, WARNING, CRITICAL = "info", "warning", "critical"
SEVERITIES = (INFO, WARNING, CRITICAL)
ALERT, SENT, ACKNOWLEDGED = "alert", "alert_sent", "alert_acknowledged"  # kinds of events
HORIZON = timedelta(hours=24)  # an alert that no target took in it is not tried again
LONGEST_TITLE, LONGEST_LINE, MOST_LINES = 150, 500, 20
MOST_TARGETS = 20
TALKATIVE = ("apprise", "urllib3", "requests")  # write addresses, which are secrets, into logs
LAST_RESORT = Path("var/.told-without-database")
WORDS: dict[str, Message] = {INFO: _("Information"), WARNING: _("Warning"), CRITICAL: _("Critical")}


@dataclass(frozen=True)
class Alert:
    """Something that people should know.

    ``key`` names what comes again: alerts with the same key share one cool-down.
    """

    key: str
    severity: str
    title: Message
    lines: Sequence[Message] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return it as an event keeps it, in every language."""
        return {
            "key": self.key,
            "severity": self.severity,
            "title": {one: plain(self.title.render(one), LONGEST_TITLE) for one in LANGUAGES},
            "lines": {
                one: [plain(line.render(one), LONGEST_LINE) for line in self.lines[:MOST_LINES]]
                for one in LANGUAGES
            },
            "data": dict(self.data),
        }


@dataclass(frozen=True)
class Said(Message):
    """A sentence that was put into words elsewhere: its values are the words, by language."""

    def render(self, language: str) -> str:
        """Return the words."""
        return str(self.values.get(language, ""))

    @classmethod
    def of(cls, why: Mapping[str, str] | str | None) -> Said:
        """Return a sentence of words by language, or of words that are the same in each."""
        words = why if isinstance(why, Mapping) else dict.fromkeys(LANGUAGES, why or "")
        return cls("", words)


@dataclass(frozen=True)
class Target:
    """Somewhere alerts go. Its address holds a secret and is never shown."""

    number: int  # of its line
    url: str = field(repr=False)
    lowest: str = INFO

    @property
    def name(self) -> str:
        """Its number and its service; a question mark for an address that is none."""
        return f"{self.number} {service_of(self.url) or '?'}"


def lines(text: str) -> list[Target]:
    """Return the targets that the environment names, whether they are any or not.

    What apprise knows takes it a second to load: it is asked only when there is something to send.

    :param text: of ``MOFANG_ALERTS``.
    """
    found: list[Target] = []
    stated = (line.strip() for line in text.splitlines())
    for number, line in enumerate((one for one in stated if one and one[0] != "#"), 1):
        first, _space, rest = line.partition(" ")
        lowest, url = (first, rest.strip()) if first in SEVERITIES else (INFO, line)
        found.append(Target(number, url, lowest))
    return found[:MOST_TARGETS]


def targets(text: str) -> list[Target]:
    """Return the targets that the environment names.

    :raises DataError: naming every line, by its number only, that is no target.
    """
    found = lines(text)
    problems = [
        Problem(
            f"{TARGETS}, {one.number}",
            _("an address that apprise does not know"),
            _("up to {count} addresses, one a line", count=MOST_TARGETS),
            _("Write it as apprise's documentation says, as in dingtalk://TOKEN/."),
        )
        for one in found
        if service_of(one.url) is None
    ]
    if problems:
        raise DataError(*problems)
    return found


@functools.cache
def service_of(url: str) -> str | None:
    """Return the name of the service that an address belongs to, None for what is no address."""
    made = silent().Apprise.instantiate(url, suppress_exceptions=True) if url else None
    return plain(str(made.service_name), 40) if made is not None else None


@functools.cache
def silent() -> Any:
    """Return apprise; it logs addresses and what servers answer, which nobody may read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about imports of its own
        import apprise

        apprise.Apprise.instantiate("json://localhost")  # loads what it knows, once
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return apprise


def raised(
    engine: Engine, alerts: Iterable[Alert], knobs: Knobs, now: datetime
) -> list[journal.Event]:
    """Write down the alerts that are not repetitions, and return those.

    An alert is a repetition within the cool-down after one with the same key, or longer where that
    one was acknowledged; a graver one is none.
    """
    cool = timedelta(minutes=knobs.cooldown_minutes)
    quiet = timedelta(hours=knobs.acknowledged_hours)
    since = now - max(cool, quiet, HORIZON)
    before = latest(journal.read(engine, (ALERT,), since=since))
    said = journal.read(engine, (ACKNOWLEDGED,), since=now - quiet) if quiet else []
    accepted = {one.data["key"]: one for one in said}
    new: list[journal.Event] = []
    for alert in alerts:
        earlier, accept = before.get(alert.key), accepted.get(alert.key)
        graver = earlier is not None and rank(alert.severity) > rank(earlier.data["severity"])
        if accept is not None and rank(alert.severity) <= rank(accept.data["severity"]):
            continue
        if earlier is not None and not graver and now - earlier.at < cool:
            continue
        event = journal.note(engine, ALERT, alert.told(), now)
        before[alert.key] = event
        new.append(event)
    return new


def latest(events: Iterable[journal.Event]) -> dict[str, journal.Event]:
    """Return the newest alert of each key."""
    return {one.data["key"]: one for one in sorted(events, key=lambda one: (one.at, one.id))}


def rank(severity: str) -> int:
    """Return how grave a severity is."""
    return SEVERITIES.index(severity)


def deliver(engine: Engine, to: Sequence[Target], knobs: Knobs, now: datetime) -> dict[str, int]:
    """Send what was raised to every target that wants it and has not got it yet.

    :returns: ``{"sent": n, "not_taken": n}``.
    """
    counts = {"sent": 0, "not_taken": 0}
    if not knobs.enabled or not to:
        return counts
    tried: dict[tuple[int, int], list[bool]] = {}
    for one in journal.read(engine, (SENT,), since=now - HORIZON):
        number = int(one.data["target"].split()[0])
        tried.setdefault((one.data["alert"], number), []).append(one.data["ok"])
    work = [
        (event, target)
        for event in journal.read(engine, (ALERT,), since=now - HORIZON)
        for target in to
        if rank(event.data["severity"]) >= max(rank(knobs.lowest), rank(target.lowest))
        and not any(before := tried.get((event.id, target.number), []))
        and len(before) < knobs.attempts
    ]
    if not work:
        return counts
    with ThreadPoolExecutor(max_workers=8) as threads:
        outcomes = threads.map(lambda pair: send(pair[1], pair[0].data, knobs), work)
        for (event, target), good in zip(work, outcomes, strict=True):
            told = {"alert": event.id, "target": target.name, "ok": good}
            journal.note(engine, SENT, told, now)
            counts["sent" if good else "not_taken"] += 1
    return counts


def send(target: Target, told: Mapping[str, Any], knobs: Knobs) -> bool:
    """Send one alert to one target and return whether it was taken; never raises."""
    apprise = silent()
    kinds = apprise.NotifyType
    kind = {INFO: kinds.INFO, WARNING: kinds.WARNING, CRITICAL: kinds.FAILURE}[told["severity"]]
    asset = apprise.AppriseAsset(
        app_id="Mofang", app_desc="Mofang", app_url="", image_url_mask="", image_url_logo="",
        http_redirects=False, pgp_autogen=False, pem_autogen=False,
    )  # fmt: skip
    title, body = written(told, knobs.language)
    try:
        sender = apprise.Apprise(asset=asset)
        service = apprise.Apprise.instantiate(target.url, asset=asset)
        # What a stuck server holds is a thread that the process has to wait for at its end.
        service.socket_connect_timeout = service.socket_read_timeout = knobs.timeout_seconds
        sender.add(service)
        text = apprise.NotifyFormat.TEXT
        return bool(
            sender.notify(
                body, title, notify_type=kind, body_format=text, timeout=knobs.timeout_seconds
            )
        )
    except Exception:  # dozens of services, each with errors of its own; all mean "not taken"
        return False


def last_resort(why: StorageError, text: str, knobs: Knobs, now: datetime) -> int:
    """Tell people that the monitor has no database, in which all other alerts are kept.

    A file holds when that was last told. Returns how many targets took it.

    :param text: of ``MOFANG_ALERTS``.
    """
    cool = timedelta(minutes=knobs.cooldown_minutes).total_seconds()
    with contextlib.suppress(OSError):
        if now.timestamp() - LAST_RESORT.stat().st_mtime < cool:
            return 0
    told = Alert(
        "monitor.database",
        CRITICAL,
        _("the monitor cannot reach its database"),
        [Said.of({one: why.render(one) for one in LANGUAGES})],
    ).told()
    to = lines(text) if knobs.enabled else []
    taken = sum(send(target, told, knobs) for target in to)
    with contextlib.suppress(OSError):
        LAST_RESORT.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        LAST_RESORT.touch()
    return taken


def written(told: Mapping[str, Any], language: str) -> tuple[str, str]:
    """Return title and body of an alert in one language or in both."""
    chosen = LANGUAGES if language == "both" else (language,)
    titles = [f"{WORDS[told['severity']].render(one)}: {told['title'][one]}" for one in chosen]
    bodies = ["\n".join(told["lines"][one]) for one in chosen]
    return "Mofang · " + " / ".join(titles), "\n\n".join(one for one in bodies if one) or titles[-1]


def test(to: Sequence[Target], knobs: Knobs) -> list[tuple[str, bool]]:
    """Send a test alert to every target at once and return which took it."""
    alert = Alert(
        "test",
        INFO,
        _("this is a test"),
        [_("Whoever reads this gets alerts of Mofang. Nothing has happened.")],
    )
    told = alert.told()
    with ThreadPoolExecutor(max_workers=8) as threads:
        outcomes = list(threads.map(lambda target: send(target, told, knobs), to))
    return [(target.name, good) for target, good in zip(to, outcomes, strict=True)]


def acknowledge(
    engine: Engine, number: int, now: datetime, *, by: str, normal: bool = False, note: str = ""
) -> journal.Event:
    """Write down that somebody knows of an alert, which then stays quiet for a while.

    :param normal: what was out of the ordinary is the new normal: the windows that raised alarms
        under this alert's key become references again.
    :raises DataError: if there is no such alert.
    """
    event = journal.one(engine, number)
    if event is None or event.kind != ALERT:
        raise DataError.at(
            str(number),
            found=_("no alert of this number"),
            allowed=_("the number of an alert"),
            fix=_("python -m pipeline.monitor alerts lists them."),
        )
    told = {"alert": number, "key": event.data["key"], "severity": event.data["severity"],
            "by": plain(by, 100), "normal": normal, "note": plain(note, LONGEST_LINE)}  # fmt: skip
    return journal.note(engine, ACKNOWLEDGED, told, now)


def listed(engine: Engine, since: datetime) -> list[dict[str, Any]]:
    """Return the alerts since a moment, newest first, with who got them and who knows of them."""
    sent: dict[int, dict[str, bool]] = {}
    for one in journal.read(engine, (SENT,), since=since):
        found = sent.setdefault(one.data["alert"], {})
        found[one.data["target"]] = found.get(one.data["target"], False) or one.data["ok"]
    known = {one.data["alert"]: one for one in journal.read(engine, (ACKNOWLEDGED,), since=since)}
    return [
        {
            "id": one.id,
            "at": journal.iso(one.at),
            **one.data,
            "sent": sent.get(one.id, {}),
            "acknowledged_by": known[one.id].data["by"] if one.id in known else None,
        }
        for one in reversed(journal.read(engine, (ALERT,), since=since))
    ]
