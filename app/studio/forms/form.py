"""What one form knows between two draws: the file as it was seen, and what was typed since.

A widget begins with a value of the file. Whenever it has to begin anew (after saving, a reset,
somebody else's change) its name changes, because Streamlit keeps values by name.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.studio.forms import present, templates
from app.studio.forms.describing import FieldView, blank, same, sections
from app.studio.forms.mattering import MISSING, matters, value_at
from app.studio.forms.present import Present
from app.studio.forms.rewriting import put
from app.studio.forms.saving import Change, settled_values
from app.studio.project_files import Project
from pipeline.errors import ParamsError, Problem


@dataclass
class Memory:
    """What stays in the session."""

    seen: Present
    version: int = 0  # of all widgets
    turns: dict[str, int] = field(default_factory=dict)  # of the widget of one path
    bases: dict[str, Any] = field(default_factory=dict)  # what widgets begin with instead
    items: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)  # of lists, by number
    pending: tuple[str, ...] = ()  # paths that differed at the last draw
    wrong: tuple[str, ...] = ()  # paths with problems at the last draw
    kept: dict[str, Any] = field(default_factory=dict)  # of tables, which pages forget


class Form:
    """One form on one page, for one draw."""

    def __init__(self, section: str, project: Project, key: str) -> None:
        self.section, self.project, self.key = section, project, key
        self.memory = remembered(section.partition(".")[0], project, key)
        self.defaults = templates.defaults(project)
        self.wanted = self.begun()
        self.aliases: dict[str, str] = {}
        self.doubles: dict[str, list[str]] = {}

    def begun(self) -> dict[str, Any]:
        """Return the values that widgets begin with; what an older file does not have is added."""
        section = self.section.partition(".")[0]
        values = dict(self.memory.seen.values)  # only its own section is changed
        if section in values:
            values[section] = copy.deepcopy(values[section])
        for path, value in self.memory.bases.items():
            with contextlib.suppress(ParamsError):  # the place is gone from the file
                put(values, path, copy.deepcopy(value))
        complete(values, [sections()[section]], self.defaults)
        return values

    def widget(self, path: str) -> str:
        """Return the name of a path's widget."""
        turn = sum(
            count for one, count in self.memory.turns.items() if f"{path}.".startswith(f"{one}.")
        )
        return f"{self.key}.{self.alias(path)}@{self.memory.version}.{turn}"

    def alias(self, path: str) -> str:
        """Return a path with an item's number instead of its place, so that it can move."""
        for known in sorted(self.aliases, key=len, reverse=True):
            if f"{path}.".startswith(f"{known}."):
                return self.aliases[known] + path[len(known) :]
        return path

    def put(self, path: str, value: Any) -> None:
        """Take what a widget holds."""
        put(self.wanted, path, value)

    def matters(self, view: FieldView) -> bool:
        """Return whether a field changes anything, or has a problem that must be mended."""
        return matters(view.path, self.wanted) or self.is_wrong(view)

    def is_wrong(self, view: FieldView) -> bool:
        """Return whether the last draw found a problem in a field."""
        return any(f"{one}.".startswith(f"{view.path}.") for one in self.memory.wrong)

    def is_pending(self, view: FieldView) -> bool:
        """Return whether a field differed from the file at the last draw."""
        return any(f"{one}.".startswith(f"{view.path}.") for one in self.memory.pending)

    def default(self, path: str) -> Any:
        """Return the default of a path; of a list's items only those of the same source."""
        steps = path.split(".")
        for depth, step in enumerate(steps):
            if step.isdecimal():
                place = ".".join(steps[: depth + 1])
                mine, theirs = value_at(self.wanted, place), value_at(self.defaults, place)
                if not same_item(mine, theirs):
                    return MISSING
        return value_at(self.defaults, path)

    def reset(self, path: str) -> None:
        """Let a field begin anew with its default."""
        self.memory.bases[path] = self.default(path)
        self.memory.turns[path] = self.memory.turns.get(path, 0) + 1
        self.memory.items.pop(path, None)

    def discard(self) -> None:
        """Forget all that was typed."""
        self.show(present.read(self.project))

    def show(self, seen: Present, bases: Mapping[str, Any] | None = None) -> None:
        """Begin anew with a state of the file, and perhaps with values of one's own on top."""
        self.memory.seen, self.memory.bases = seen, dict(bases or {})
        self.memory.version += 1
        self.memory.turns.clear()
        self.memory.items.clear()
        self.memory.kept.clear()

    def changes(self) -> tuple[dict[str, Any], tuple[Change, ...], Mapping[str, Any]]:
        """Return what was typed, all that changes with what follows from it, and all values."""
        typed = present.differences(self.memory.seen.values, self.wanted)
        try:
            wanted, done = settled_values(self.memory.seen.values, typed)
        except ParamsError:
            return typed, (), self.wanted
        return typed, done, wanted

    def problems(self, wanted: Mapping[str, Any]) -> dict[str, list[Problem]]:
        """Return what is not allowed, by path, and remember where."""
        seen = self.memory.seen
        same = wanted is seen.values or not present.differences(seen.values, wanted)
        known = {path: list(several) for path, several in seen.problems.items()}
        found = known if same else present.problems(wanted, seen.tree)
        self.memory.wrong = tuple(found)
        return found

    def theirs(self) -> Present | None:
        """Return the file as it is now, where it is another one than this form has seen."""
        now = present.read(self.project)
        return now if now.sha256 != self.memory.seen.sha256 else None


def remembered(section: str, project: Project, key: str) -> Memory:
    """Return what the session knows of a form, or the start of it.

    What changed in other sections only, perhaps through another form of the same reader, is no
    matter of this form: it goes on with the file as it is now, and with all that was typed.

    :raises ParamsError: if the file cannot be read.
    """
    name, now = f"{key}:form", present.read(project)
    memory = st.session_state.get(name)
    if not isinstance(memory, Memory):
        memory = Memory(now)
        st.session_state[name] = memory
    elif not present.differences(memory.seen.values.get(section), now.values.get(section)):
        memory.seen = now
    return memory


def same_item(mine: Any, theirs: Any) -> bool:
    """Return whether two items of a list are about the same thing."""
    if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
        return False
    return all(same(mine.get(name), theirs.get(name)) for name in ("name", "kind"))


def complete(values: dict[str, Any], views: Sequence[FieldView], defaults: Any) -> None:
    """Give the fields that an older file does not have their defaults, in place."""
    for view in views:
        name = view.name
        if name not in values:
            usual = value_at(defaults, view.path)
            values[name] = blank(view) if usual is MISSING else copy.deepcopy(usual)
        elif view.kind == "group" and isinstance(values[name], dict):
            complete(values[name], view.fields, defaults)
