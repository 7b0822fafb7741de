"""Releases as the page Deploy shows them: what there is, what serves, what could be made.

Only files are read here; what changes something stands in ``releasing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.studio.project_files import Project
from app.studio.stamps import Stamps, stamps_of
from pipeline import artifacts
from pipeline.errors import ModelError, MofangError, Text
from pipeline.i18n import Message, _
from pipeline.releases import reading
from pipeline.releases.ledger import Event, State
from pipeline.releases.reading import Release

WHAT: Mapping[str, Message] = {
    "create": _("made"),
    "promote": _("promoted"),
    "canary": _("tried"),
    "end_canary": _("trial ended"),
    "rollback": _("brought back"),
    "block": _("blocked"),
    "remove": _("removed"),
}


@dataclass(frozen=True)
class Line:
    """A release in the list."""

    version: str
    serves: Text  # what it does at the moment; "" for nothing
    created: str = ""
    by: str = ""
    variant: str = ""
    main: str = ""  # the figure by which models are compared
    value: float | None = None  # of it, on the test part
    bytes: int = 0
    commit: str = ""
    dirty: bool = False
    problem: Text | None = None  # why it cannot be read


@dataclass(frozen=True)
class Overview:
    """What is served, and what could be."""

    state: State
    versions: tuple[str, ...]  # that lie there whole, the newest number first
    back_to: str | None  # the release that a rollback would bring back
    damaged: tuple[str, ...] = ()  # folders of releases in which a file is missing or cut

    @property
    def candidates(self) -> tuple[str, ...]:
        """Versions that do not serve and that nothing speaks against."""
        taken = {*self.state.serving(), *self.state.blocked}
        return tuple(one for one in self.versions if one not in taken)


@dataclass(frozen=True)
class Source:
    """What the last run left to make a release of."""

    variant: str = ""
    main: str = ""
    value: float | None = None
    bytes: int = 0
    gates: tuple[tuple[str, bool], ...] = ()  # each gate of validate, and whether it held
    problem: Text | None = None
    parity: bool = True
    stages: tuple[str, ...] = ()  # that have not run yet

    @property
    def ready(self) -> bool:
        """Whether nothing that is known here speaks against a release."""
        held = all(good for _name, good in self.gates)
        return not self.stages and self.problem is None and held and self.parity


def overview(project: Project) -> Overview:
    """Return what serves and what lies there.

    :raises ModelError: if ``releases/state.json`` is damaged.
    """
    state = State.read(project.releases)
    there = reading.versions(project.releases)
    damaged = sorted(named(project) - set(there), key=reading.order, reverse=True)
    return Overview(state, tuple(reversed(there)), state.earlier(there), tuple(damaged))


def named(project: Project) -> set[str]:
    """Return the versions of all folders of releases, whole or not."""
    names = (path.name for path in project.releases.glob("*"))
    return {name for name in names if reading.SEMVER.fullmatch(name)}


def stamp(project: Project) -> Stamps:
    """Return what changes when a release comes, goes, or begins to serve."""
    return stamps_of((project.releases, project.releases / "state.json"))


def lines(project: Project, limit: int = 20, offset: int = 0) -> list[Line]:
    """Return a page of the list of releases, the newest number first."""
    known = overview(project)
    return [line(project, one, known.state) for one in known.versions[offset : offset + limit]]


def line(project: Project, version: str, state: State | None = None) -> Line:
    """Return a release for the list; one that cannot be read says why.

    :param state: what serves; None leaves out what the release does.
    """
    serves = role_of(version, state) if state else ""
    try:
        one = reading.read(version, project.releases, verify=False)
    except ModelError as error:
        return Line(version, serves, problem=error.problems[0].found)
    return Line(
        version,
        serves,
        created=one.created,
        by=str(one.origin.get("by", "")),
        variant=str(one.origin.get("variant", "")),
        main=one.main,
        value=one.figures.get(one.main),
        bytes=artifacts.folder_bytes(one.model),
        commit=(one.commit or "")[:8],
        dirty=bool(one.origin.get("dirty")),
    )


def role_of(version: str, state: State) -> Text:
    """Return what a release does at the moment; ``""`` for nothing."""
    if version == state.stable:
        return _("all requests") if not takes_clients(state) else _("all other requests")
    if state.canary is not None and version == state.canary.version:
        if state.canary.shadow:
            return _("{share}% in shadow", share=state.canary.share)
        return _("{share}% of clients", share=state.canary.share)
    return _("blocked") if version in state.blocked else ""


def takes_clients(state: State) -> bool:
    """Return whether a canary answers clients instead of stable."""
    return state.canary is not None and not state.canary.shadow


def opened(project: Project, version: str) -> Release:
    """Return a release for its details, without comparing its files.

    :raises ModelError: if it is not there, or not as it should be.
    """
    return reading.read(version, project.releases, verify=False)


def examples(project: Project, version: str, most: int = 6) -> list[str]:
    """Return short texts of the test part to try a release with; none where it has none."""
    try:
        return [one["text"] for one in opened(project, version).examples()[:most]]
    except (ModelError, LookupError, TypeError):
        return []


def events(state: State, limit: int = 20, offset: int = 0) -> list[Event]:
    """Return a page of what happened, the newest first."""
    return list(reversed(state.events))[offset : offset + limit]


def source(project: Project) -> Source:
    """Return what a release would be made of, and what speaks against it at first sight.

    The command itself looks far closer: every file, one and the same run, the figures again.
    """
    missing = tuple(one for one in ("validate", "test", "optimize")
                    if not project.report(one).is_file())  # fmt: skip
    if missing:
        return Source(stages=missing)
    try:
        told = artifacts.read_json(project.report("optimize"))
        gates = artifacts.read_json(project.report("validate"))["gates"]
        ships = told["shipped"]
        row, main = told["table"][ships], str(told["main"])
        model = project.stage("optimize") / reading.MODEL
        return Source(
            variant=str(ships),
            main=main,
            value=(row.get("test") or {}).get(main),
            bytes=artifacts.folder_bytes(model) if model.is_dir() else 0,
            gates=tuple((gate_of(one), bool(one["passed"])) for one in gates),
            parity=row["unavailable"] is None and bool(row["parity"]["holds"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, MofangError) as error:
        return Source(problem=str(error))


def gate_of(told: Mapping[str, Any]) -> str:
    """Return a gate in signs, as in ``macro_f1 >= 0.8``; what it is about is a name of data."""
    group = f" [{told['group']}]" if told.get("group") else ""
    return f"{told['figure']}{group} {told['sign']} {told['bound']:g}"


def next_version(project: Project) -> str:
    """Return the version that the next release gets where nobody names one."""
    state = State.read(project.releases)
    known = named(project) | {one.version for one in state.events}
    if not known:
        return "0.1.0"
    major, minor, _patch = max(map(reading.order, known))
    return f"{major}.{minor + 1}.0"
