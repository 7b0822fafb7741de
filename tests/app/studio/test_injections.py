"""Every field × a list of injections: refused, or stored as it is; nothing runs, nothing leaks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.studio.forms import present
from app.studio.forms.mattering import MISSING, value_at
from app.studio.forms.present import Present
from app.studio.forms.rewriting import rewritten, with_changes
from app.studio.forms.saving import save
from app.studio.forms.templates import OWN_FILE
from app.studio.project_files import Project
from app.studio.roles import Role, User
from pipeline.errors import ParamsError
from pipeline.params import Params
from tests.app.studio.forms_on_pages import NUMBERS, ODD, forms, params, values
from tests.app.studio.pages import assert_sound
from tests.helpers import ROOT

EDITOR = User("eve", Role.EDITOR)
SHELL = ["x; touch canary", "$(touch canary)", "`touch canary`", "| touch canary",
         "x && touch canary", "${oc.env:HOME}", "${train.epochs}", "%(canary)s",
         "{{ 7 * 7 }}", "{0.__class__}"]  # fmt: skip
YAML = ["!!python/object/apply:os.system ['touch canary']", "*alias", "&anchor x", "x\n  epochs: 9",
        "x\n---\ntrain: {}", "x\r\ny: z", "a # b", "{a: b}", "[]", "null", "no", "1e5", "<<",
        "%YAML 1.1", "'", '"', "- x", "? x", "|", "\x00", "a\x85b", "\ufeffx"]  # fmt: skip
HTML = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))",
        "![x](http://203.0.113.9/x.png)", ":material/home: :red[x]", "$\\href{x}{y}$"]  # fmt: skip
FORMULA = ["=1+1", "=cmd|'/c calc'!A1", "+1", "-1+2", "@SUM(1)", "\t=1+1", "\uff1d1+1"]
PATHS = ["../../etc/passwd", "..", "/etc/passwd", "data/raw/../../../etc/passwd", "~/.ssh/id_rsa",
         "file:///etc/passwd", "C:\\Windows", "data/raw/x\x00.csv"]  # fmt: skip
INJECTIONS = [*SHELL, *YAML, *HTML, *FORMULA, *PATHS]
CASES: dict[str, dict[str, Any]] = {"release": {}, "odd": ODD, "numbers": NUMBERS}


def places(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every value, in lists and mappings too."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        where = f"{path}.{name}" if path else str(name)
        if "." in str(name):
            continue  # a label's name, which a path cannot hold: it is changed with its mapping
        if isinstance(one, dict | list) and one:
            yield from places(one, where)
        yield where


@cache
def fields() -> dict[str, list[str]]:
    """Return the paths that are tried in each file; what two files share in the first of them."""
    known: set[str] = set()
    found: dict[str, list[str]] = {}
    for case, changes in CASES.items():
        mine = list(places(present.of(params(changes).encode()).values))
        general = {path: re.sub(r"\.\d+", ".*", path) for path in mine}
        found[case] = [path for path in mine if general[path] not in known]
        known |= set(general.values())
    return found


def allowed(known: Any, path: str, injection: str) -> bool:
    """Return whether the schema takes an injection in one place; what it refuses is not saved."""
    try:
        Params.model_validate(with_changes(known, {path: injection}))
    except ValidationError:
        return False
    return True


def accepted(now: Present, paths: list[str], injection: str) -> list[str]:
    """Return the places that take an injection, all at once."""
    while paths:
        wanted = with_changes(now.values, dict.fromkeys(paths, injection))
        found = present.problems(wanted, now.tree)
        if not found:
            break
        wrong = found.keys() & set(paths)
        if not wrong:  # a rule about several fields: who breaks it alone, else one of them
            near = [one for one in paths if any(f"{one}.".startswith(f"{at}.") for at in found)]
            near = near or paths
            wrong = {one for one in near if not allowed(now.values, one, injection)} or {near[-1]}
        paths = [one for one in paths if one not in wrong]
    return paths


def leaves(now: Present, case: str) -> list[str]:
    """Return the places of one file that hold no other places."""
    return [one for one in fields()[case] if not value_at(now.values, one)
            or not isinstance(value_at(now.values, one), dict | list)]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_text_is_no_list_and_no_group_whatever_it_says(case: str) -> None:
    now = present.of(params(CASES[case]).encode())
    held = set(fields()[case]) - set(leaves(now, case))
    assert held or case == "numbers"
    for path in held:
        for injection in (SHELL[0], YAML[0], HTML[0], FORMULA[0], PATHS[0], "[]", "{a: b}"):
            assert not allowed(now.values, path, injection), path


@pytest.mark.parametrize("case", CASES)
def test_an_injection_is_refused_or_stored_as_it_is(case: str) -> None:
    """Each field is tried with each injection; all that take it are written at once.

    Reading back takes most of the time: of the odd file it is done for each injection among the
    slow tests.
    """
    text = params(CASES[case])
    now = present.of(text.encode())
    assert len(fields()[case]) > (400 if case == "release" else 1)
    stored: set[str] = set()
    for turn, injection in enumerate(INJECTIONS):
        changes = dict.fromkeys(accepted(now, leaves(now, case), injection), injection)
        stored |= set(changes)
        if changes and (case == "release" or turn % 6 == 0):
            found = present.of(rewritten(part(text, changes), changes).encode()).values
            wanted = with_changes(now.values, changes)
            assert found == {name: wanted[name] for name in found}, injection
    assert len(stored) > 20 or case == "numbers"  # a hub's name and a commit's hash, for nothing


def part(text: str, paths: Iterable[str]) -> str:
    """Return the sections of a file that some paths lead to; reading the others takes time."""
    wanted = {path.partition(".")[0] for path in paths}
    pieces = re.split(r"(?m)^(?=\w+:)", text)
    return "".join(one for one in pieces if one.partition(":")[0] in wanted)


@pytest.mark.parametrize("injection", [SHELL[0], YAML[0], YAML[3], HTML[0], FORMULA[1], PATHS[0]])
def test_a_stored_injection_runs_nothing_on_its_way(project: Path, injection: str) -> None:
    save_everywhere(Project(project), "release", injection)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_each_stored_injection_runs_nothing_on_its_way(project: Path, case: str) -> None:
    for injection in INJECTIONS:
        save_everywhere(Project(project), case, injection)


def save_everywhere(here: Project, case: str, injection: str) -> None:
    """Save an injection in all places that take it, with all that saving does."""
    here.params.write_text(params(CASES[case]), encoding="utf-8")
    now = present.read(here)
    changes = dict.fromkeys(accepted(now, leaves(now, case), injection), injection)
    done = save(changes, now.sha256, here, EDITOR)
    assert done.changes or not changes
    assert present.read(here).values == with_changes(now.values, changes)
    assert not list(here.root.rglob("canary"))


@pytest.mark.parametrize("injection", INJECTIONS)
def test_a_refused_injection_leaves_no_trace(project: Path, injection: str) -> None:
    here = Project(project)
    here.params.write_bytes(OWN_FILE.read_bytes())
    seen = present.read(here).sha256
    for path in ("train.epochs", "init.pretrained.package", "train.costs.currency"):
        with pytest.raises(ParamsError):
            save({path: injection}, seen, here, EDITOR)
    assert here.params.read_bytes() == OWN_FILE.read_bytes()
    assert {one.name for one in project.iterdir()} == {"data", "params.yaml", "var"}


@pytest.mark.parametrize("injection", INJECTIONS)
def test_an_injected_name_is_stored_as_it_is_or_refused(project: Path, injection: str) -> None:
    """Labels, their definitions and the mapping are names that people give."""
    here = Project(project)
    here.params.write_bytes(OWN_FILE.read_bytes())
    known = values(here.params)
    changes = {
        "label.labels": [*known["label"]["labels"], injection],
        "label.definitions": {injection: {"meaning": injection, "examples": [injection]}},
        "label.mapping": {injection: injection},
    }
    try:
        save(changes, present.read(here).sha256, here, EDITOR)
    except ParamsError:
        assert here.params.read_bytes() == OWN_FILE.read_bytes()
    else:
        found = values(here.params)
        for path, value in changes.items():
            assert value_at(found, path) == value


def test_a_form_shows_injections_as_text(project: Path) -> None:
    """Markdown that a value holds means nothing on a page: no picture, link, colour or formula."""
    here = Project(project)
    here.params.write_bytes(OWN_FILE.read_bytes())
    seen = present.read(here).sha256
    marks = [one for one in [*HTML, *FORMULA] if one.isprintable()]
    changes = {
        "collect.sources.0.licence": " ".join(HTML),
        "label.labels": [*values(here.params)["label"]["labels"], *marks],
        "label.definitions": {one: {"meaning": one, "examples": [one]} for one in marks},
        "label.mapping": {one: one for one in marks},
    }
    save(changes, seen, here, EDITOR)
    page = forms(project, "collect", "label")
    assert_sound(page)
    page.session_state["label:form"].bases["label.labels"] = marks[:2]
    page.session_state["label:form"].version += 1
    page.run()
    assert_sound(page)
    read = [one.value for kind in ("markdown", "caption", "success", "info", "error", "warning")
            for one in page.get(kind)]  # fmt: skip
    assert any("script" in one for one in read), "the changes are shown"
    for text in read:
        for mark in ("<script", "<img", "](javascript", "![x](", ":red[", "$\\href"):
            assert mark not in text.replace("\\" + mark[0], ""), text


def test_no_page_of_the_studio_trusts_html() -> None:
    sources = sorted((ROOT / "app/studio").rglob("*.py"))
    assert len(sources) > 30
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert "unsafe_allow_html=True" not in text, path
        assert "shell=True" not in text, path
        assert "os.system" not in text, path


def test_a_missing_value_is_none_of_the_injections() -> None:
    assert value_at(values(OWN_FILE), "train.nothing") is MISSING
    assert "canary" not in os.listdir()
