"""What a run would do, before it is started: which stages, why, how long, at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.studio import layout, overview, speech
from app.studio.before_asking import Status, status
from app.studio.dotted import value_at
from app.studio.forms.present import differences
from app.studio.forms.showing import value_text
from app.studio.forms.templates import like
from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.speech import literal, plain, say
from app.studio.stamps import readable
from pipeline.i18n import Message, _

COMMAND = "dvc repro"
SHOWN = 4  # parameters that are named as a reason
FILES_SHOWN = 2
LATEST = "~"  # sorts after the id of every run
SECONDS_BETWEEN_LOOKS = 1.0
HOUR = 3_600.0


@dataclass(frozen=True)
class Step:
    """One stage."""

    stage: str
    runs: bool
    why: tuple[Message, ...]  # why it runs; empty when it does not
    seconds: float | None  # expected, 0.0 when it does not run; None when nothing tells


@dataclass(frozen=True)
class Preview:
    """What ``dvc repro`` would do now."""

    steps: tuple[Step, ...]  # in the order of a run
    seconds: float | None  # of all that runs; None when a stage is unknown and nothing else tells
    unknown: tuple[str, ...]  # stages that run and whose time nothing tells
    memory: int | None  # bytes at the peak
    money: float | None
    currency: str
    co2: float | None  # kg
    command: str = COMMAND

    @property
    def stale(self) -> tuple[str, ...]:
        """The stages that will run."""
        return tuple(step.stage for step in self.steps if step.runs)


def preview(project: Project) -> Preview:
    """Return what a run would do; asks DVC in a child process and waits for it (about 2 s).

    :raises ModelError: if DVC cannot tell.
    """
    found = status(project, wait=True)
    return of(project, found or {})


def of(project: Project, found: Status) -> Preview:
    """Return what a run would do, from what DVC says has changed."""
    values = following.values(project.params) or {}
    known = timed(project, values)
    steps: list[Step] = []
    running: set[str] = set()
    for stage, before in overview.graph(project).items():
        why = (
            *reasons(project, stage, found.get(stage, ()), values),
            *(_("{stage} runs before it", stage=one) for one in before if one in running),
        )
        if why:
            running.add(stage)
        steps.append(Step(stage, bool(why), why, known.get(stage) if why else 0.0))
    unknown = tuple(one.stage for one in steps if one.runs and one.seconds is None)
    seconds: float | None = sum(one.seconds or 0.0 for one in steps)
    if unknown:
        seconds = bundled_seconds(values) if len(unknown) == len(steps) else None
    return Preview(tuple(steps), seconds, unknown, *costs(project, running, seconds, values))


def reasons(
    project: Project, stage: str, entries: Any, values: Mapping[str, Any]
) -> Iterator[Message]:
    """Yield why a stage is not up to date, in words."""
    if entries and stage not in overview.used_params(project.lock) and is_new(entries):
        yield _("it never ran")
        return
    for entry in entries:
        if entry == "changed command":
            yield _("its command is another one")
        elif entry == "always changed":
            yield _("it always runs")
        elif isinstance(entry, Mapping):
            yield from of_files(project, stage, entry, values)


def is_new(entries: Any) -> bool:
    """Return whether DVC calls all outputs of a stage new or deleted: nothing is recorded."""
    return any(isinstance(one, Mapping) and "changed outs" in one for one in entries)


def of_files(
    project: Project, stage: str, entry: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[Message]:
    """Yield the reasons that lie in parameters, data, code and results."""
    files = {
        str(path): how
        for path, how in entry.get("changed deps", {}).items()
        if path != "params.yaml"
    }
    if "params.yaml" in entry.get("changed deps", {}):
        yield from of_params(project, stage, values)
    code = [path for path in files if path.startswith("pipeline/")]
    data = [path for path in files if path not in code]
    if code:
        yield _("its code changed ({files})", files=named([Path(one).name for one in code]))
    if data:
        yield _("other data ({files})", files=named(data))
    outs = list(map(str, entry.get("changed outs", {})))
    if outs:
        yield _("its result is missing or was changed ({files})", files=named(outs))


def of_params(project: Project, stage: str, values: Mapping[str, Any]) -> Iterator[Message]:
    """Yield the parameters that differ from those of the last result."""
    used = overview.used_params(project.lock).get(stage, {})
    found = [
        one for key, old in used.items()
        for one in differences(old, value_at(values, key), key).items()
    ]  # fmt: skip
    for path, new in found[:SHOWN]:
        yield _("{path} is now {value}", path=path, value=value_text(new))
    if len(found) > SHOWN:
        yield _("and {count} more parameters", count=len(found) - SHOWN)
    if not found:
        yield _("its parameters changed")


def named(paths: Sequence[str]) -> str:
    """Return a few of the paths."""
    shown = ", ".join(paths[:FILES_SHOWN])
    return f"{shown}, …" if len(paths) > FILES_SHOWN else shown


def timed(project: Project, values: Mapping[str, Any]) -> dict[str, float]:
    """Return how long stages took the last time, by runs of the studio or by their reports.

    Training grows with its epochs.
    """
    found: dict[str, float] = {}
    collect, train = readable(project.report("collect")), readable(project.report("train"))
    if collect is not None:
        times = [one.get("seconds") for one in collect.get("sources", []) if isinstance(one, dict)]
        found["collect"] = sum(one for one in times if isinstance(one, int | float))
    if train is not None and isinstance(train.get("seconds"), int | float):
        found["train"] = float(train["seconds"])
    found |= following.durations(project, LATEST)
    used = overview.used_params(project.lock).get("train", {}).get("train")
    before, now = value_at(used, "epochs"), value_at(values, "train.epochs")
    if "train" in found and isinstance(before, int) and isinstance(now, int) and before > 0:
        found["train"] *= now / before
    return found


def bundled_seconds(values: Mapping[str, Any]) -> float | None:
    """Return about how long a bundled project takes as a whole; None for any other."""
    found = like(values)
    return None if found is None or found.minutes is None else found.minutes * 60.0


def costs(
    project: Project, running: set[str], seconds: float | None, values: Mapping[str, Any]
) -> tuple[int | None, float | None, str, float | None]:
    """Return memory, money, its currency and CO2, from what the last training measured."""
    report = readable(project.report("train")) or {}
    actual = report.get("actual")
    actual = actual if isinstance(actual, dict) else {}
    memory = actual.get("peak_memory_bytes") if "train" in running else None
    price = value_at(values, "train.costs.price_per_hour")
    currency = str(value_at(values, "train.costs.currency") or "")
    money = price * seconds / HOUR if isinstance(price, int | float) and seconds else None
    kg, took = actual.get("co2_kg"), actual.get("seconds")
    co2 = kg / took * seconds if kg and took and seconds else None
    return int(memory) if memory else None, money, currency, co2


def draw(project: Project, key: str = "before") -> None:
    """Draw the preview; while DVC is asked the page goes on and the answer appears by itself."""
    found = status(project)
    if found is None:
        layout.live(draw_waiting, SECONDS_BETWEEN_LOOKS, project)
    else:
        draw_known(of(project, found), key)


def draw_waiting(project: Project) -> None:
    """Say that DVC is asked; its answer draws the whole page anew."""
    if status(project) is not None:
        st.rerun(scope="app")
    st.caption(f":material/hourglass_top: {say(_('DVC is asked what has changed …'))}")


def draw_known(shown: Preview, key: str) -> None:
    """Draw what a run would do."""
    with st.container(key=f"{key}-preview"):
        draw_steps(shown)
        if shown.stale:
            draw_costs(shown)
            st.caption(say(_("The same in a terminal:")))
            st.code(shown.command, language="bash")


def draw_steps(shown: Preview) -> None:
    """Draw which stages run, and why."""
    if not shown.stale:
        text = say(_("All stages are up to date: a run has nothing to do."))
        st.success(text, icon=":material/check_circle:")
        return
    lines = []
    for step in shown.steps:
        if step.runs:
            why = "; ".join(map(say, step.why))
            time = (
                speech.duration(step.seconds)
                if step.seconds is not None
                else say(_("time unknown"))
            )
            lines.append(f"- :material/play_circle: **{literal(step.stage)}** · {time} · {why}")
    st.markdown("\n".join(lines))
    rest = [step.stage for step in shown.steps if not step.runs]
    if rest:
        skipped = _("Up to date, will be skipped: {stages}.", stages=", ".join(rest))
        st.markdown(f":material/check: {say(skipped)}")


def draw_costs(shown: Preview) -> None:
    """Draw what the run will take; each figure is as wide as its words."""
    unknown = plain(_("unknown"))
    known = sum(step.seconds or 0.0 for step in shown.steps)
    longer = f"> {speech.duration(known)}" if known else unknown
    time = longer if shown.seconds is None else f"≈ {speech.duration(shown.seconds)}"
    memory = unknown if shown.memory is None else f"≈ {speech.size(shown.memory)}"
    money = unknown if shown.money is None else f"≈ {speech.money(shown.money, shown.currency)}"
    grams = None if shown.co2 is None else speech.number(shown.co2 * 1_000, 1)
    co2 = unknown if grams is None else f"≈ {grams} {plain(_('g'))}"
    about_time = say(_("From earlier runs on this machine; training grows with its epochs."))
    about_money = say(_("From train.costs, the price of an hour of this machine."))
    with st.container(horizontal=True, gap="large"):
        st.metric(plain(_("Time")), time, help=about_time, width="content")
        st.metric(plain(_("Memory")), memory, width="content")
        st.metric(plain(_("Money")), money, help=about_money, width="content")
        st.metric("CO₂", co2, width="content")
    if shown.unknown and shown.seconds is None:
        names = ", ".join(shown.unknown)
        st.caption(say(_("Nothing tells yet how long these take: {stages}.", stages=names)))
