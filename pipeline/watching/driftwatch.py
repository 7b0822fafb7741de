"""Windows of texts, judged one after the other: each text once, in the order in which they came.

A window is open until it is old enough (``drift.every_hours``) and holds enough texts
(``drift.min_texts``). No text is in two windows, so that the stated rate of false alarms is that
of windows, and two that drifted in a row are two witnesses.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.i18n import Message, _
from pipeline.schema.watching import Drift as Knobs
from pipeline.watching import journal

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.watching.drift import Drift
    from pipeline.watching.reference import Reference
    from pipeline.watching.windows import Window

EVENT = "drift"  # kind of event
PAGES = Path("var/drift")
MOST_PAGES = 20
NAMES: dict[str, Message] = {
    "text": _("texts"),
    "label": _("answers"),
    "truth": _("right labels, as people gave them"),
    "length": _("length of texts"),
    "language": _("languages"),
    "confidence": _("confidence of answers"),
}


@dataclass(frozen=True)
class Judged:
    """A window that was judged, with what it was judged by."""

    event: journal.Event
    found: Drift
    reference: Reference
    window: Window


def judge(
    engine: Engine, version: str, folder: Path, knobs: Knobs, *, since: datetime, now: datetime
) -> Judged | None:
    """Judge the texts since the last window, and write down what was found.

    :param folder: of the release, with its reference.
    :param since: when the release began to serve.
    :param now: texts that come in from here on belong to the next window.
    :returns: None while the window is not complete.
    :raises ModelError: if the release's reference is missing or damaged.
    :raises StorageError: if the database cannot be read.
    """
    from pipeline.traffic import reading
    from pipeline.watching import drift, reference, windows

    last = latest(engine, version)
    start = journal.moment(last.data["until"]) if last is not None else since
    if now - start < timedelta(hours=knobs.every_hours):
        return None
    total = reading.count(engine, start, now, version=version)
    if total < knobs.min_texts:
        return None
    before = reference.read(folder)
    rows = reading.rows(engine, start, now, knobs.max_texts, knobs.seed, version=version)
    window = windows.collect(rows)
    found = drift.check(before, window, knobs)
    told = {"version": version, "since": exact(start), "until": exact(now), "came": total}
    event = journal.note(engine, EVENT, told | found.told(), now)
    return Judged(event, found, before, window)


def exact(at: datetime) -> str:
    """Return a moment to the microsecond: no text may fall between two windows."""
    return at.isoformat(timespec="microseconds")


def history(engine: Engine, version: str, most: int) -> list[journal.Event]:
    """Return the newest judged windows of a release, the newest last."""
    found = [one for one in journal.read(engine, (EVENT,)) if one.data["version"] == version]
    return found[-most:]


def latest(engine: Engine, version: str) -> journal.Event | None:
    """Return the newest judged window of a release."""
    return next(iter(history(engine, version, 1)), None)


def confirmed(engine: Engine, version: str, knobs: Knobs) -> list[journal.Event]:
    """Return the windows that confirm a drift; none when the last ones do not agree.

    The same kind must have drifted in each of the last ``drift.confirmed`` windows.
    """
    found = history(engine, version, knobs.confirmed)
    return found if len(found) == knobs.confirmed and common(found) else []


def common(events: list[journal.Event]) -> list[str]:
    """Return the kinds that drifted in every one of some windows."""
    each = [{kind for kind, one in event.data["kinds"].items() if one["drifted"]}
            for event in events]  # fmt: skip
    return sorted(set.intersection(*each)) if each else []


def scores(event: journal.Event | None) -> dict[str, float]:
    """Return the score of each kind in a judged window."""
    return {kind: one["score"] for kind, one in event.data["kinds"].items()} if event else {}


def sentences(events: list[journal.Event]) -> list[Message]:
    """Return what drifted, as a person reads it."""
    newest = events[-1].data
    lines = [
        _(
            "{name}: distance {score} from the training data, alike up to {threshold}",
            name=NAMES.get(kind, Message(kind)),
            score=f"{newest['kinds'][kind]['score']:.3f}",
            threshold=f"{newest['kinds'][kind]['threshold']:.3f}",
        )
        for kind in common(events)
    ]
    lines += [change(kind, one) for kind in common(events)
              for one in newest["kinds"][kind]["changes"][:2]]  # fmt: skip
    return [
        *lines,
        _(
            "In {windows} windows in a row, the last of {texts} texts of release {version}.",
            windows=len(events),
            texts=newest["came"],
            version=newest["version"],
        ),
    ]


def change(kind: str, told: Mapping[str, Any]) -> Message:
    """Return one share that changed, as a person reads it."""
    return _(
        "{name}, {bin}: {before} % of the training data, now {now} %",
        name=NAMES.get(kind, Message(kind)),
        bin=told["name"],
        before=f"{100 * told['before']:.1f}",
        now=f"{100 * told['now']:.1f}",
    )


def write_page(judged: Judged, knobs: Knobs) -> Path | None:
    """Write the page by Evidently about a window, and keep the newest ones.

    :returns: the folder; None where Evidently is not installed, as beside a bare service.
    """
    from importlib.util import find_spec

    if find_spec("evidently") is None:
        return None
    from pipeline.artifacts import output_folder
    from pipeline.watching import evidently_report

    name = f"{judged.event.at:%Y%m%d-%H%M%S}-{judged.event.id}"
    PAGES.mkdir(mode=0o700, parents=True, exist_ok=True)
    with output_folder(PAGES / name) as folder:
        evidently_report.write(folder, judged.reference, judged.window, knobs)
    kept = sorted(path for path in PAGES.iterdir() if not path.name.startswith("."))
    for old in kept[:-MOST_PAGES]:
        shutil.rmtree(old, ignore_errors=True)
    return PAGES / name
