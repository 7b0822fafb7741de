"""What pages call a run, its states, its stages and its figures."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from app.studio import run_states
from app.studio.drawn_graph import title_of
from app.studio.forms import describing
from app.studio.runs import figures, records
from app.studio.runs.comparing import Row
from app.studio.runs.records import METRICS, Run
from app.studio.speech import date, number, plain
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import Message, _

CURVES: Mapping[str, Text] = {
    "train/loss": _("training part"),
    "validation/loss": _("validation part"),
}
DEVICES: Mapping[str, Message] = {"auto": _("automatic"), "cpu": _("processor")}
PIECES: Mapping[str, Message] = {
    "train": _("training"),
    "baselines": _("cheap models to compare with"),
    "embed": _("reading texts with the pretrained model"),
    "contrastive": _("first step for few records"),
    "learning_curve": _("learning curve"),
    "teacher": _("asking the teacher"),
    "search": _("search"),
}
COSTS: Mapping[str, Message] = {
    "size_mb": _("size in MB"),
    "memory_mb": _("memory in MB"),
    "peak_memory_mb": _("memory at the peak in MB"),
    "cold_start_s": _("seconds to start"),
    "latency_ms_p50": _("milliseconds a text, usually"),
    "latency_ms_p95": _("milliseconds a text, slowest 5 %"),
    "texts_per_second": _("texts a second"),
    "wh_per_1000_texts": _("Wh for 1,000 texts"),
    "agreement": _("same answers as the original"),
    "points_lost": _("points lost against the original"),
    "train_seconds": _("seconds of training"),
    "train_kg_co2": _("kg of CO₂ of training"),
    "train_cost": _("money for training"),
    "difference_to_baseline": _("ahead of the best cheap model"),
}


def device(chosen: str) -> Text:
    """Return what a device is called."""
    return DEVICES.get(chosen) or _("GPU {number}", number=chosen)


def figure(name: str) -> Text:
    """Return what a figure of a stage is called: ``test.macro_f1`` is macro-F1 of the test."""
    stage, _dot, own = name.partition(".")
    called = COSTS.get(own) or naming.figure(own)
    return _("{stage}: {figure}", stage=title_of(stage), figure=called)


def name(row: Row) -> str:
    """Return a run's name for people: when, by whom, how it ended."""
    best = figures.headline(row.metrics)
    told = f" · {plain(naming.figure(best[0].partition('.')[2]))} {number(best[1])}" if best else ""
    state = f"{run_states.SIGNS[row.state]} {plain(run_states.STATES[row.state])}"
    origin = state if row.origin == "run" else f"Git {row.id[:7]}"
    return f"{date(row.began)} · {row.by} · {origin}{told}"


def result(run: Run) -> str:
    """Return the figure that a run is known by; empty where it has none."""
    kept = records.read_json(run.folder / METRICS) or {}
    best = figures.headline(kept.get("figures", {}))
    return f"{plain(figure(best[0]))} {number(best[1])}" if best else ""


def field(path: str) -> Text:
    """Return the title of a parameter with those of the groups around it."""
    titles = known_titles()
    steps = path.split(".")
    heads = [".".join(steps[: end + 1]) for end in range(len(steps))]
    found = [plain(titles[one]) for one in heads if titles.get(one)]
    return " › ".join(found) if heads[-1] in titles else path


@functools.cache
def known_titles() -> Mapping[str, Text]:
    """Return the titles of all parameters by their dotted names."""
    views = [*describing.sections().values()]
    return {one.path: one.title for one in describing.every(views)}


def value(found: Any) -> str:
    """Return a parameter's value in one short line."""
    if found is None:
        return "–"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, list):
        return ", ".join(map(value, found))
    return f"{found:g}" if isinstance(found, float) else str(found)
