"""What the monitor knows, for people: figures by window and release, drift, alerts, proposals.

As JSON for programs and as one page for any browser: offline, without a script, in both languages,
everything escaped. No text of a request stands in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.evaluation.blocks import Block, Cell, Say, Section, Table, count, number, share
from pipeline.i18n import Message, _
from pipeline.watching import alerts, driftwatch, figures, journal, proposal
from pipeline.watching.alerts import Said

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.schema.watching import Monitor

FOLDER = Path("var/monitoring")
DATA, PAGE = "report.json", "report.html"
MOST_WINDOWS = 400  # on the page
Report = dict[str, Any]


def gather(
    engine: Engine, knobs: Monitor, *, since: datetime, now: datetime, stable: str | None
) -> Report:
    """Return what the monitor knows since a moment.

    :param stable: version of the release that serves.
    :raises StorageError: if the traffic database cannot be read.
    """
    most = int((now - since) / timedelta(minutes=knobs.window_minutes)) + 1
    kept = figures.kept(engine, now, knobs.window_minutes, most)
    windows = [one for one in kept if journal.moment(one["since"]) >= since]
    drift = journal.read(engine, (driftwatch.EVENT,), since=since)
    return {
        "at": journal.iso(now),
        "since": journal.iso(since),
        "stable": stable,
        "false_alarms": knobs.false_alarms,
        "whole": figures.window(engine, since, now),
        "windows": windows,
        "drift": [{"at": journal.iso(one.at), **one.data} for one in drift],
        "alerts": alerts.listed(engine, since),
        "proposals": [one for one in proposal.every() if one["created"] >= journal.iso(since)],
    }


def write(found: Report) -> Path:
    """Write a report as JSON and as a page; return the page."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    artifacts.write_json(FOLDER / DATA, found)
    artifacts.write_bytes(FOLDER / PAGE, render(found).encode())
    return FOLDER / PAGE


def render(found: Report) -> str:
    """Return the page."""
    from pipeline.evaluation.report import TAGS, environment

    waiting = [one for one in found["alerts"] if one["acknowledged_by"] is None]
    tone = "yes" if not waiting else "unclear"
    if any(one["severity"] == alerts.CRITICAL for one in waiting):
        tone = "no"
    return environment().get_template("report.html.j2").render(
        title=_("Monitor"),
        result=_("{count} alerts that nobody acknowledged", count=len(waiting))
        if waiting
        else _("Nothing is out of the ordinary"),
        tone=tone,
        verdict=[*summary(found), *(Said.of(one["title"]) for one in waiting[:5])],
        sections=sections(found),
        images={},
        languages=list(TAGS.items()),
        foot=_("Written by python -m pipeline.monitor report. It holds no text of a request."),
    )  # fmt: skip


def summary(found: Report) -> list[Message]:
    """Return the whole time in a few sentences."""
    whole = found["whole"]
    lines = [
        _(
            "From {since} to {until}: {requests} requests with {texts} texts, {failed} failed, "
            "{refused} refused.",
            since=found["since"],
            until=found["at"],
            requests=f"{whole['requests']:,}",
            texts=f"{whole['texts']:,}",
            failed=whole["failed"],
            refused=whole["refused"],
        )
    ]
    if whole["seconds"]:
        lines.append(
            _(
                "Half of the answers took less than {p50}, 95 % less than {p95}, 99 % less than "
                "{p99} ms.",
                **{name: f"{1000 * one:.1f}" for name, one in whole["seconds"].items()},
            )
        )
    if whole["dropped"]:
        lines.append(_("{count} entries of the log were lost.", count=whole["dropped"]))
    return lines


def sections(found: Report) -> list[Section]:
    """Return the parts of the page; on a terminal they are printed one after the other."""
    return [
        Section("versions", _("By release"), [versions(found["whole"])]),
        Section("windows", _("By window"), windows(found)),
        Section("labels", _("Answers"), [labels(found["whole"])]),
        Section("drift", _("Drift"), [drift(found["drift"])]),
        Section("alerts", _("Alerts"), [listed(found["alerts"])]),
        Section("proposals", _("Proposals"), [proposals(found["proposals"])]),
    ]


def versions(whole: Mapping[str, Any]) -> Table:
    """Return the figures of each release."""
    header = [
        _("release"), _("requests"), _("of them unseen"), _("errors"), _("p50, ms"), _("p95, ms"),
        _("p99, ms"), _("confidence"), _("disagreement"), _("judged"), _("right"),
    ]  # fmt: skip
    rows = [
        [Cell(version), count(one["requests"]), count(one["shadow"]), part(one["failed_share"]),
         *latency(one), *people(one)]
        for version, one in whole["versions"].items()
    ]  # fmt: skip
    return Table(_("Figures of each release"), header, rows)


def latency(one: Mapping[str, Any]) -> list[Cell]:
    """Return the cells of p50, p95 and p99, in milliseconds."""
    known = one["seconds"] or {}
    return [number(1000 * known[name] if name in known else None, 1) for name in figures.QUANTILES]


def people(one: Mapping[str, Any]) -> list[Cell]:
    """Return the cells of confidence, disagreement with stable, and what people said."""
    said = one["feedback"]
    return [
        number((one["confidence"] or {}).get("mean")),
        part(one["disagreement"]),
        count(said["verdicts"] if said else 0),
        part(said["accuracy"] if said else None),
    ]


def part(value: float | None) -> Cell:
    """Return a share, or a dash where there is none."""
    return number(None) if value is None else share(value)


def windows(found: Report) -> list[Block]:
    """Return the figures of each window, the newest first."""
    header = [
        _("from, UTC"), _("requests"), _("a second"), _("errors"), _("p50, ms"), _("p95, ms"),
        _("p99, ms"), _("confidence"), _("disagreement"), _("judged"), _("right"),
        _("memory, MB"), _("processor"), _("out of the ordinary"),
    ]  # fmt: skip
    rows = []
    for one in reversed(found["windows"][-MOST_WINDOWS:]):
        used = one["resources"] or {}
        memory = used.get("memory_bytes")
        odd = ", ".join(sorted({two["family"] for two in one["anomalies"]}))
        rows.append(
            [Cell(one["since"]), count(one["requests"]), number(one["per_second"], 2),
             part(one["failed_share"]), *latency(one), *people(one),
             number(None if memory is None else memory / 1e6, 0),
             number(used.get("cpu_share"), 2), Cell(odd or "–")]
        )  # fmt: skip
    said = Say(
        _(
            "Of sound windows {share} % raise an alarm, all figures together, when windows before "
            "them are of the same kind.",
            share=f"{100 * found['false_alarms']:g}",
        )
    )
    return [said, Table(_("Figures of each window"), header, rows)]


def labels(whole: Mapping[str, Any]) -> Table:
    """Return how often each label was the answer."""
    total = sum(whole["labels"].values())
    rows = [[Cell(label), count(n), share(n / total)] for label, n in whole["labels"].items()]
    return Table(_("How often each answer was given"), [_("answer"), _("texts"), _("share")], rows)


def drift(events: Sequence[Mapping[str, Any]]) -> Table:
    """Return the distances of each judged window from the training data, the newest first."""
    header = [_("until, UTC"), _("release"), _("texts"), _("of what"), _("distance"),
              _("alike up to"), _("drifted")]  # fmt: skip
    rows = [
        [Cell(one["at"]), Cell(one["version"]), count(two["texts"]),
         Cell(driftwatch.NAMES.get(kind, kind)), number(two["score"]), number(two["threshold"]),
         Cell(_("yes") if two["drifted"] else _("no"))]
        for one in reversed(events) for kind, two in one["kinds"].items()
    ]  # fmt: skip
    return Table(_("Requests beside the training data"), header, rows)


def listed(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the alerts, the newest first."""
    header = [_("number"), _("time, UTC"), _("severity"), _("what"), _("sent to"),
              _("acknowledged by")]  # fmt: skip
    rows = [
        [Cell(str(one["id"]), numeric=True), Cell(one["at"]), Cell(alerts.WORDS[one["severity"]]),
         Cell(Said.of(one["title"])),
         Cell(", ".join(name if good else f"({name})" for name, good in one["sent"].items())
              or "–"),
         Cell(one["acknowledged_by"] or "–")]
        for one in found
    ]  # fmt: skip
    return Table(_("Alerts; a target in brackets did not take it"), header, rows)


def proposals(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the proposals, the newest first."""
    header = [_("name"), _("state"), _("release"), _("followed by"), _("to be labelled")]
    rows = [
        [Cell(one["id"]), Cell(proposal.STATES[one["state"]]), Cell(one["version"] or "–"),
         Cell(one["new_version"] or "–"), count(one["label"]["texts"])]
        for one in reversed(found)
    ]  # fmt: skip
    return Table(_("Proposals to retrain"), header, rows)
