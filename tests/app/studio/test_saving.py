"""Saving: only the bytes of what changed, the whole checked before, nobody overwritten."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from app.studio import audit, roles
from app.studio.forms import present
from app.studio.forms.describing import same
from app.studio.forms.present import differences
from app.studio.forms.rewriting import rewritten, with_changes
from app.studio.forms.saving import ChangedMeanwhileError, Saved, save
from app.studio.forms.templates import OWN_FILE
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User
from pipeline.editing import number, written
from pipeline.errors import ParamsError
from tests.app.studio.forms_on_pages import ODD, params, values

TEXT = OWN_FILE.read_text(encoding="utf-8")
EDITOR = User("eve", Role.EDITOR)


@pytest.fixture
def here(project: Path) -> Project:
    (project / "params.yaml").write_bytes(OWN_FILE.read_bytes())
    return Project(project)


def seen(here: Project) -> str:
    return present.read(here).sha256


def saved(here: Project, changes: dict[str, Any], by: User = EDITOR) -> Saved:
    return save(changes, seen(here), here, by)


# --- writing values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-5, "1e-5"), (2e-4, "2e-4"), (2.55e-4, "2.55e-4"), (0.001, "0.001"), (0.7, "0.7"),
        (5.0, "5.0"), (0.0, "0.0"), (-1e-7, "-1e-7"), (1e15, "1000000000000000.0"),
        (1e17, "1e17"), (0.30000000000000004, "0.30000000000000004"), (1e100, "1e100"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert number(value) == text
    read = YAML(typ="safe", pure=True).load(f"a: {text}")["a"]
    assert isinstance(read, float)
    assert read == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.2.0", "1.2.0"), ("a, b", "'a, b'"), (["no", "a, b"], "['no', 'a, b']"),
        ("12:30:45", "'12:30:45'"), ({"on": 1e-5}, "{'on': 1e-5}"), ("x\ny", '"x\\U0000000ay"'),
    ],
)  # fmt: skip
def test_texts_are_quoted_where_a_reader_could_take_them_for_something_else(
    value: Any, text: str
) -> None:
    assert written(value) == text


scalars = (
    st.none() | st.booleans() | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8"))
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(trees)
@settings(max_examples=200)
def test_any_value_reads_as_it_was_written(value: Any) -> None:
    read = YAML(typ="safe", pure=True).load(f"a: {written(value)}\nb: [{written(value)}]\n")
    assert same(read["a"], value)
    assert same(read["b"], [value])


DOCUMENT = """\
# of the whole
first: 1   # one
section:            # two
  list:             # three
    - a             # four
    # before b
    - b: 1          # five
      c: [1, 2]
    - 'x: y'        # six
  names:            # seven
    "k:1": {u: 1}   # eight
    two: 2          # nine
  empty: []         # ten
  none: null        # eleven
last: "end"         # twelve
"""


@given(data=st.data())
@settings(max_examples=150)
def test_changes_of_all_kinds_give_what_was_wanted(data: st.DataObject) -> None:
    known = YAML(typ="safe", pure=True).load(DOCUMENT)
    paths = ["first", "section.list", "section.list.0", "section.list.1.b", "section.list.1.c",
             "section.names", "section.names.two", "section.empty", "section.none",
             "last"]  # fmt: skip
    chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True))
    changes: dict[str, Any] = {}
    for path in chosen:
        if any(path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in changes):
            continue
        changes[path] = data.draw(
            st.lists(trees, max_size=3) if path.endswith("list") else trees, label=path
        )
    result = rewritten(DOCUMENT, changes)
    found = YAML(typ="safe", pure=True).load(result)
    wanted = with_changes(known, changes)
    assert found == wanted
    if "first" not in changes:
        assert "first: 1   # one\n" in result
    assert result.startswith("# of the whole\n")


def test_entries_are_added_and_removed_where_they_stand() -> None:
    known = YAML(typ="safe", pure=True).load(DOCUMENT)
    items = known["section"]["list"]
    changed = rewritten(
        DOCUMENT,
        {"section.list": ["new", *items[1:], "more"], "section.names": {"two": 2, "three": "3"}},
    )
    wanted = (
        DOCUMENT.replace("- a  ", "- new  ")
        .replace("# six\n", "# six\n    - more\n")
        .replace('    "k:1": {u: 1}   # eight\n', "")
        .replace("# nine\n", "# nine\n    three: '3'\n")
    )
    assert changed == wanted


def other(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1
    return f"{value}, other: # x"


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        where = f"{path}.{name}" if path else str(name)
        if isinstance(one, dict | list) and one:
            found |= leaves(one, where)
        elif not isinstance(one, dict | list):
            found[where] = one
    return found


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("source", ["release", "odd"])
def test_every_value_can_change_and_no_comment_moves(source: str, ends: str) -> None:
    text = (TEXT if source == "release" else params(ODD)).replace("\n", ends)
    known = present.of(text.encode()).values
    changes = {path: other(one) for path, one in leaves(known).items()}
    assert len(changes) > 300
    result = rewritten(text, changes)
    assert same(present.of(result.encode()).values, with_changes(known, changes))
    before, after = text.split(ends), result.split(ends)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        comment = re.search(r" +# [^'\"]*$", old)
        assert comment is None or new.endswith(comment[0])
        assert re.match(r"[ -]*", old)[0] == re.match(r"[ -]*", new)[0]  # type: ignore[index]
    assert same(present.of(rewritten(result, leaves(known)).encode()).values, known)


def test_no_change_changes_no_byte() -> None:
    known = values(OWN_FILE)
    assert rewritten(TEXT, {}) == TEXT
    assert rewritten(TEXT, leaves(known)) == TEXT
    assert rewritten(TEXT, dict(known)) == TEXT


def test_differences_are_the_smallest_ones() -> None:
    known = values(OWN_FILE)
    changes = {"train.epochs": 4, "collect.sources.0.limit": 5, "label.labels": ["a", "b"]}
    assert differences(known, with_changes(known, changes)) == changes
    assert differences({"a": 1}, {"a": 1.0}) == {}
    assert differences({"a": 1}, {"a": True}) == {"a": True}


# --- saving -------------------------------------------------------------------------------------


def test_several_values_that_only_fit_together_are_saved_at_once(here: Project) -> None:
    found = saved(here, {"split.strategy": "column", "split.column": "part"})
    assert [one.path for one in found.changes] == ["split.strategy", "split.column"]
    assert found.sha256 == seen(here)
    known = values(here.params)
    assert (known["split"]["strategy"], known["split"]["column"]) == ("column", "part")


def test_saving_what_is_there_already_writes_nothing(here: Project) -> None:
    before = here.params.stat().st_mtime_ns
    found = saved(here, {"train.epochs": 3})
    assert found.changes == ()
    assert here.params.stat().st_mtime_ns == before


WRONG: list[dict[str, Any]] = [
    {"train.epochs": 0}, {"train.epochs": "3"}, {"train.epochs": None}, {"train.epochs": True},
    {"train.learning_rate": float("nan")}, {"split.shares.train": 0.9}, {"label.labels": ["a"]},
    {"validate.gates": ["accuracy"]}, {"collect.sources": []}, {"train.nothing": 3},
    {"nothing.at.all": 3}, {"collect.sources.7.limit": 3}, {"collect.sources.0.licence": "\ud800"},
    {"collect.sources.0.licence": "x" * 70_000}, {"train": {}}, {"train.epochs": {3}},
    {"init.pretrained": {"kind": "pickle", "path": "x"}},
]  # fmt: skip


@pytest.mark.parametrize("changes", WRONG, ids=lambda one: next(iter(one)))
def test_what_is_not_allowed_leaves_the_file_as_it_is(
    here: Project, changes: dict[str, Any]
) -> None:
    with pytest.raises(ParamsError):
        saved(here, changes)
    assert here.params.read_bytes() == OWN_FILE.read_bytes()


def test_all_problems_are_told_at_once(here: Project) -> None:
    with pytest.raises(ParamsError) as caught:
        saved(here, {"train.epochs": 0, "clean.samples": -1})
    text = str(caught.value)
    assert "train.epochs" in text
    assert "clean.samples" in text


def test_an_edit_by_somebody_else_is_not_overwritten(here: Project) -> None:
    before = seen(here)
    text = TEXT.replace("batch_size: 32 ", "batch_size: 16 ", 1)
    here.params.write_text(text, encoding="utf-8")
    with pytest.raises(ChangedMeanwhileError):
        save({"train.epochs": 9}, before, here, EDITOR)
    assert here.params.read_text(encoding="utf-8") == text


def test_of_several_savers_at_once_one_wins_and_the_others_are_told(here: Project) -> None:
    before, done = seen(here), list[Any]()

    def one(number: int) -> None:
        try:
            done.append(save({"train.epochs": number}, before, here, EDITOR))
        except ChangedMeanwhileError as error:
            done.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in (4, 5, 6, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [found for found in done if isinstance(found, Saved)]
    assert len(done) == 4
    assert values(here.params)["train"]["epochs"] == winner.changes[0].new


@pytest.mark.parametrize("role", [Role.NOBODY, Role.VIEWER, Role.LABELLER])
def test_who_may_not_is_refused_and_the_refusal_is_kept(here: Project, role: Role) -> None:
    with pytest.raises(RoleError):
        saved(here, {"train.epochs": 9}, User("vic", role))
    assert here.params.read_bytes() == OWN_FILE.read_bytes()
    (line,) = audit.lines(here)
    assert (line.user, line.action, line.allowed) == ("vic", roles.EDIT_PARAMS, False)


def test_a_save_leaves_an_audit_line(here: Project) -> None:
    saved(here, {"train.epochs": 9, "train.metric": "accuracy"})
    (line,) = audit.lines(here)
    assert (line.user, line.what) == ("eve", "train.epochs: 9, train.metric: accuracy")


def test_a_save_is_recorded_in_git_as_old_and_new(here: Project) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=here.root, check=True, capture_output=True, text=True
        )
        return done.stdout

    git("init", "--quiet")
    git("config", "user.name", "eve")
    git("config", "user.email", "eve@example.org")
    git("add", "params.yaml")
    git("commit", "--quiet", "-m", "start")
    found = saved(here, {"train.epochs": 9})
    assert found.recorded is not None
    assert found.recorded.state == "committed"
    assert "train.epochs: 3 → 9" in git("log", "-1", "--format=%B")
    assert git("status", "--short", "params.yaml") == ""


def test_an_older_file_takes_a_field_that_it_lacks(here: Project) -> None:
    text = re.sub(r"\n  mobile: .*", "", TEXT)
    here.params.write_text(text, encoding="utf-8")
    saved(here, {"optimize.mobile": True})
    assert values(here.params)["optimize"]["mobile"] is True
    assert text.split("\nsearch:")[0] in here.params.read_text(encoding="utf-8").replace(
        "  mobile: true\n", ""
    )


def test_reading_again_costs_nothing_while_the_file_stays(here: Project) -> None:
    first = present.read(here)
    assert present.read(here) is first
    saved(here, {"train.epochs": 9})
    assert present.read(here) is not first
    assert json.loads(json.dumps(copy.deepcopy(dict(first.values))))["train"]["epochs"] == 3
