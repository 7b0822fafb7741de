"""What Home tells: how each stage stands, what the last result is, what to do next.

Everything is read from the project's files, which are small; nothing here draws.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from app.studio.dotted import value_at
from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.runs.records import Run
from app.studio.stamps import Stamp, readable, stamp_of
from pipeline.artifacts import METRICS
from pipeline.i18n import LANGUAGES, Message, _

Standing = Literal[
    "missing", "changed", "ready", "waiting", "running", "done", "skipped", "cached", "failed",
    "stopped",
]  # fmt: skip
MOST_CACHED = 64


@dataclass(frozen=True)
class Gate:
    """A figure that the model must reach."""

    figure: str
    group: str | None
    sign: str
    bound: float
    found: float | None
    state: Literal["passed", "failed", "not judged"]


@dataclass(frozen=True)
class Verdict:
    """What the last model came to."""

    passed: bool
    gates: Sequence[Gate]
    main: str  # the figure that models of this task are compared by
    value: float | None  # on the test part
    interval: tuple[float, float] | None
    gain: tuple[float, float] | None  # over the strongest baseline, as an interval
    sentences: Mapping[str, Sequence[str]]  # by language, the most important first
    ships: str | None  # the variant
    why: Mapping[str, str]  # why it ships, by language


@dataclass(frozen=True)
class Facts:
    """What the next step depends on."""

    data: bool  # there is something to collect
    run: str | None  # state of the newest run
    model: bool  # a model was tested
    passed: bool | None  # None without a verdict
    changed: bool  # parameters differ from those of the last result
    released: bool
    proposed: bool  # a proposal to train again is open


@dataclass(frozen=True)
class Step:
    """Something to do, and the view to do it in."""

    view: str
    title: Message
    why: Message
    done: bool = False


def graph(project: Project) -> dict[str, tuple[str, ...]]:
    """Return the stages in the order of a run, each with those that it builds on directly."""
    stamp = stamp_of(project.graph)
    return graph_of(stamp) if stamp else {}


@functools.lru_cache(maxsize=MOST_CACHED)
def graph_of(stamp: Stamp) -> dict[str, tuple[str, ...]]:
    """Return the stages of a ``dvc.yaml`` as it was at this moment; who asks changes nothing."""
    content = value_at(following.values(Path(stamp.path)), "stages")
    stages = {
        name: stage
        for name, stage in (content if isinstance(content, dict) else {}).items()
        if isinstance(stage, dict)
    }
    outputs = {
        path: name
        for name, stage in stages.items()
        for path in (next(iter(one)) if isinstance(one, dict) else one
                     for kind in ("outs", "metrics", "plots") for one in stage.get(kind, ()))
    }  # fmt: skip
    found = {
        name: {
            outputs[above]
            for path in stage.get("deps", ())
            for above in (path, *map(str, Path(path).parents))
            if above in outputs and outputs[above] != name
        }
        for name, stage in stages.items()
    }
    return {
        name: tuple(one for one in found if one in before and not passed_on(one, before, found))
        for name, before in found.items()
    }


def passed_on(stage: str, before: set[str], found: Mapping[str, set[str]]) -> bool:
    """Return whether another of the stages before already builds on ``stage``."""
    return any(stage in above(other, found) for other in before if other != stage)


def above(stage: str, found: Mapping[str, set[str]]) -> set[str]:
    """Return all stages that one builds on."""
    direct = found.get(stage, set())
    return direct.union(*(above(one, found) for one in direct))


def standings(
    project: Project, run: Mapping[str, Standing] | None = None, stale: Sequence[str] | None = None
) -> dict[str, Standing]:
    """Return how each stage stands.

    :param run: the states of a run that works or did not end well; None where there is none.
    :param stale: the stages that would run again, where DVC has told.
    """
    stages = graph(project)
    again = changed(project) if stale is None else set(stale)
    found: dict[str, Standing] = {}
    for name in stages:
        if run and name in run:
            found[name] = run[name]
        elif not project.report(name).exists():
            found[name] = "missing"
        else:
            found[name] = "changed" if name in again else "ready"
    return found


def newest_run(project: Project) -> Run | None:
    """Return the run that works, or else the last one; the folder of runs is read once."""
    found = list(following.newest(project, following.NEWEST))
    working = next((one for one in found if one.works), None)
    if working is not None:
        following.heal(working)
    return working or next(iter(found), None)


def changed(project: Project) -> set[str]:
    """Return the stages whose parameters differ from those of their result, and all after them.

    DVC knows more (data and code), and needs seconds to say so.
    """
    values = following.values(project.params)
    used = used_params(project.lock)
    found: set[str] = set()
    for name, before in graph(project).items():
        mine = used.get(name)
        differs = mine is not None and any(
            value_at(values, key) != one for key, one in mine.items()
        )
        if differs or found.intersection(before):
            found.add(name)
    return found


def used_params(lock: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters that ``dvc.lock`` holds, by stage."""
    stamp = stamp_of(lock)
    return used_params_of(stamp) if stamp else {}


@functools.lru_cache(maxsize=MOST_CACHED)
def used_params_of(stamp: Stamp) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters of ``dvc.lock``; the most of it, hashes of files, is not read."""
    kept: list[str] = []
    inside = False
    for line in Path(stamp.path).read_text(encoding="utf-8").splitlines():
        indent = len(line) - len(line.lstrip())
        if indent == 2 and line.endswith(":"):
            kept.append(line)
        elif indent == 4:
            inside = line.strip() == "params:"
            kept += [line] if inside else []
        elif inside and indent > 4:
            kept.append(line)
    try:
        stages = YAML(typ="safe", pure=True).load("\n".join(kept))
    except YAMLError:
        return {}
    if not isinstance(stages, dict):
        return {}
    return {
        name: stage["params"]["params.yaml"]
        for name, stage in stages.items()
        if isinstance(value_at(stage, "params"), dict) and "params.yaml" in stage["params"]
    }


def verdict(project: Project) -> Verdict | None:
    """Return what the last model came to; None before the first one was judged."""
    validated = readable(project.report("validate"))
    if validated is None:
        return None
    gates = [gate_of(one) for one in validated.get("gates", ())]
    passed = all(gate.state != "failed" for gate in gates)
    # A failed gate stops the run, and what the test part said is of an earlier model.
    tested = readable(project.report("test")) if passed else None
    optimized = (readable(project.report("optimize")) if tested else None) or {}
    main = str(validated.get("main", ""))
    if tested is None:
        return Verdict(passed, gates, main, None, None, None, {}, None, {})
    interval = tested.get("intervals", {}).get("model", {}).get(main)
    gain = (tested.get("worth_it") or {}).get("difference")
    said = tested.get("verdict") or {}
    return Verdict(
        passed=passed,
        gates=gates,
        main=main,
        value=tested.get("figures", {}).get(main),
        interval=tuple(interval) if interval else None,
        gain=tuple(gain) if gain else None,
        sentences={one: said.get(one, ()) for one in LANGUAGES},
        ships=optimized.get("shipped"),
        why=optimized.get("why") or {},
    )


def gate_of(content: Mapping[str, Any]) -> Gate:
    """Return a gate of the report."""
    state: Literal["passed", "failed", "not judged"] = "passed" if content["passed"] else "failed"
    return Gate(
        figure=content["figure"],
        group=content.get("group"),
        sign=content["sign"],
        bound=content["bound"],
        found=content.get("found"),
        state="not judged" if content.get("skipped") else state,
    )


def facts(project: Project, run: str | None) -> Facts:
    """Return what the next step depends on.

    :param run: the state of the newest run.
    """
    found = verdict(project)
    sources = value_at(following.values(project.params), "collect.sources")
    state = readable(project.releases / "state.json") or {}
    return Facts(
        data=bool(sources),
        run=run,
        model=(project.stage("test") / METRICS).exists(),
        passed=found.passed if found else None,
        changed=bool(changed(project)),
        released=bool(state.get("stable")),
        proposed=is_proposed(project),
    )


def is_proposed(project: Project) -> bool:
    """Return whether a proposal to train again waits for somebody's decision."""
    folder = project.var / "proposals"
    found = (readable(path) for path in folder.glob("*.json"))
    return any((one or {}).get("state") == "proposed" for one in found)


def next_step(now: Facts) -> Step:
    """Return the one thing to do next."""
    for holds, step in (
        (not now.data, Step("start", _("Bring data"),
            _("The project has nothing to learn from yet."))),
        (now.run == "running", Step("runs", _("Watch the run"),
            _("It goes on by itself, also when this page is closed."))),
        (now.run == "failed" and now.passed is not False, Step("runs", _("See why the run failed"),
            _("The page says the cause and what to do."))),
        (now.passed is None, Step("runs", _("Start the first run"),
            _("It goes from raw text to a tested model."))),
        (now.passed is False, Step("validate", _("See which gate failed"),
            _("The model does not reach what the project asks for, so nothing can be released."))),
        (now.changed, Step("runs", _("Run again"),
            _("Parameters were changed since the last result."))),
        (not now.model, Step("runs", _("Start the run again"),
            _("The last one did not come to its end."))),
        (now.proposed, Step("monitor", _("Decide on a proposal"),
            _("What people send has changed; training again is proposed."))),
        (not now.released, Step("deploy", _("Make a release"),
            _("The model passed all gates. A release lets people use it."))),
    ):  # fmt: skip
        if holds:
            return step
    return Step(
        "monitor", _("Look how it serves"), _("A release is made; see how well it answers.")
    )


def guide(project: Project, now: Facts) -> list[Step]:
    """Return the way from nothing to a watched model, with what is done already."""
    labelled = any(project.annotations.glob("*.jsonl"))
    return [
        Step("start", _("Bring data"),
             _("Upload a table, or start from a template."), now.data),
        Step("project", _("Say what it is for"),
             _("Goal, users and what counts as success."), project.plan.exists()),
        Step("runs", _("Run"),
             _("From raw text to a tested model, in one go."), now.passed is not None),
        Step("test", _("Read the result"),
             _("How good it is, for whom, and how sure that is."), now.model),
        Step("label", _("Mend labels"),
             _("Label the records that look wrong; each makes the model better."), labelled),
        Step("deploy", _("Release it"),
             _("Let people use it, at first only a share of them."), now.released),
        Step("monitor", _("Watch it"),
             _("See how it does, and when it should learn again."), now.released),
    ]  # fmt: skip
