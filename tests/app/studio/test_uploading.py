"""Uploads: read in a child with limits, mapped with a guess, checked row by row, made a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.studio import audit, roles
from app.studio.forms import beginning, templates, uploading
from app.studio.forms.beginning import Stated, slug
from app.studio.forms.uploading import Mapped, guessed, inspect, keep, look
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User
from pipeline.errors import DataError, ParamsError, SourceError
from pipeline.params import check, load
from pipeline.sources import confined
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page, shown

EDITOR = User("eve", Role.EDITOR)
LENGTHS = (3, 2_000)
ROWS = [("How are you today", "human"), ("Where is the sea", "place")] * 12


def table(rows: list[tuple[str, ...]], *header: str) -> bytes:
    lines = [header, *rows]
    return "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in lines).encode()


def csv_of(rows: list[tuple[str, ...]]) -> bytes:
    return table([(f"{text} {at}", label) for at, (text, label) in enumerate(rows)],
                 "question", "category")  # fmt: skip


@pytest.fixture
def here(project: Path) -> Project:
    (project / "params.yaml").write_bytes(templates.OWN_FILE.read_bytes())
    return Project(project)


def kept(here: Project, name: str, content: bytes) -> Path:
    with roles.acting_as(EDITOR):
        return keep(here, name, content)


# --- reading ------------------------------------------------------------------------------------


def excel(path: Path) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["question", "category"])
    for at, (text, label) in enumerate(ROWS):
        book.active.append([f"{text} {at}", label])
    book.save(path)
    return path.read_bytes()


def parquet(path: Path) -> bytes:
    rows = [{"question": f"{text} {at}", "category": label, "nested": [1]}
            for at, (text, label) in enumerate(ROWS)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path.read_bytes()


def lines(path: Path) -> bytes:
    rows = [{"question": f"{text} {at}", "category": label}
            for at, (text, label) in enumerate(ROWS)]  # fmt: skip
    return "\n".join(map(json.dumps, rows)).encode()


MAKERS = {"csv": lambda path: csv_of(ROWS), "xlsx": excel, "parquet": parquet, "jsonl": lines}


@pytest.mark.parametrize("ending", MAKERS)
def test_each_format_is_read_and_its_columns_are_guessed(
    here: Project, tmp_path: Path, ending: str
) -> None:
    path = kept(here, f"Fragen.{ending.upper()}", MAKERS[ending](tmp_path / f"made.{ending}"))
    assert path.suffix == f".{ending}"
    found = look(path, "Fragen")
    assert found.rows == len(ROWS)
    assert [one.name for one in found.columns] == ["question", "category"]
    mapped = guessed(found)
    assert (mapped.text, mapped.label, mapped.task) == ("question", "category", "single_label")
    checked = inspect(path, "Fragen", mapped, LENGTHS)
    assert checked.records == len(ROWS)
    assert dict(checked.labels) == {"human": 12, "place": 12}


def test_the_first_problems_are_told_with_their_rows(here: Project) -> None:
    rows = [
        ("A good question", "a"), ("", "a"), ("A good question", "a"), ("a GOOD question", "b"),
        ("No label here", ""), ("x", "b"), ("Another one", "b"),
    ]  # fmt: skip
    path = kept(here, "t.csv", table(rows, "text", "label"))
    found = inspect(path, "t.csv", Mapped("text", "label"), LENGTHS)
    by_kind = {one.what.text.split(":")[0]: one for one in found.odd}
    assert by_kind["No text"].rows == [3]
    assert by_kind["The same text with the same label again"].rows == [4]
    assert by_kind["The same text with another label"].rows == [5]
    assert by_kind["No label"].rows == [6]
    assert by_kind["Shorter than {low} or longer than {high} characters"].rows == [7]
    rare = by_kind["Labels with fewer than {fewest} records"]
    assert (rare.count, rare.stops) == (2, True)
    assert (found.rows, found.records) == (7, 6)


def test_what_stops_a_run_is_told_before_it(here: Project) -> None:
    rows = [("One text", "3.5", "2026-01-01"), ("Two texts", "high", "yesterday")]
    path = kept(here, "t.csv", table(rows, "text", "rating", "when"))
    mapped = Mapped("text", "rating", created_at="when", task="regression")
    found = inspect(path, "t.csv", mapped, LENGTHS)
    assert found.stops
    assert {one.what.text[:12]: one.rows for one in found.odd} == {
        "The label is": [3],
        "The time is ": [3],
    }


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("ragged.csv", b"text,label\nfine,a\nno label\n", "ragged.csv:3"),
        ("quote.csv", b'text,label\n"never ends,a\n', "quote.csv:"),
        ("twice.csv", b"text,text\na,b\n", "twice.csv:1"),
        ("nul.csv", b"text,label\na\x00b,c\n", "nul.csv:2"),
        ("rows.jsonl", b'{"text": "a"}\n[1, 2]\n', "rows.jsonl:2"),
        ("really.parquet", b"PK\x03\x04 no parquet", "really.parquet"),
        ("really.csv", b"PAR1 this is none either PAR1", "really.csv"),
        ("book.xlsx", b"PK\x03\x04 no book", "book.xlsx"),
        ("header.csv", b"text,label\n", "header.csv"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    here: Project, name: str, content: bytes, row: str
) -> None:
    path = kept(here, name, content)
    with pytest.raises(SourceError) as caught:
        look(path, name)
    assert str(caught.value).startswith(row)


def test_a_file_that_needs_too_much_is_stopped(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(here, "t.csv", csv_of(ROWS * 40))
    monkeypatch.setitem(uploading.LIMITS, "size", 0)
    with pytest.raises(SourceError, match="when unpacked"):
        look(path, "t.csv")
    monkeypatch.setitem(uploading.LIMITS, "seconds", 0)
    with pytest.raises(SourceError, match="seconds"):
        look(path, "t.csv")


@pytest.mark.parametrize("name", ["run.py", "x.pkl", "none", "../../x.csv.exe", "a.csv\x00.sh"])
def test_other_endings_are_refused(here: Project, name: str) -> None:
    with pytest.raises(SourceError):
        kept(here, name, b"text\na\n")
    assert not (here.studio / "uploads").exists()


def test_an_upload_keeps_no_name_and_old_ones_go(here: Project) -> None:
    for _turn in range(uploading.KEPT + 3):
        path = kept(here, "../../$(touch canary).csv", b"text,label\nx,y\n")
    assert path.parent == here.studio / "uploads"
    assert len(list(path.parent.iterdir())) == uploading.KEPT
    assert not list(here.root.rglob("canary"))


def test_empty_and_large_files_are_refused(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "LARGEST", 10)
    for content in (b"", b"x" * 11):
        with pytest.raises(SourceError):
            kept(here, "t.csv", content)


def test_who_may_not_uploads_nothing(here: Project) -> None:
    with roles.acting_as(User("vic", Role.LABELLER)), pytest.raises(RoleError):
        keep(here, "t.csv", b"text\na\n")
    with roles.acting_as(User("vic", Role.LABELLER)), pytest.raises(RoleError):
        templates.begin(here, templates.OWN_FILE.read_bytes())
    path = kept(here, "t.csv", csv_of(ROWS))
    mapped = Mapped("question", "category")
    found = uploading.Checked(24, 24, [("human", 12), ("place", 12)], [], False)
    before = here.params.read_bytes()
    with roles.acting_as(User("vic", Role.LABELLER)), pytest.raises(RoleError):
        beginning.begin(here, path, STATED, mapped, found)
    assert here.params.read_bytes() == before
    assert not list(here.raw.glob("*.csv"))
    refused = [(one.action, one.allowed) for one in audit.lines(here) if one.user == "vic"]
    assert sorted(refused) == [
        (roles.START_PROJECT, False), (roles.START_PROJECT, False), (roles.UPLOAD, False)
    ]  # fmt: skip


# --- guessing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        (("id", "review", "stars"), [(str(at), f"a long review {at}", str(at / 7))
                                     for at in range(40)],
         Mapped("review", "stars", None, None, (), "regression", "")),
        (("tags", "body"), [(("red|blue", "red", "blue|green", "green")[at % 4], f"text no {at}")
                            for at in range(40)],
         Mapped("body", "tags", None, None, (), "multi_label", "|")),
        (("内容", "类别", "用户", "when"),
         [(f"很长的一段文字 {at}", "好坏"[at % 2], f"u{at % 5}", "2026-01-02") for at in range(40)],
         Mapped("内容", "类别", "用户", "when", (), "single_label", "")),
        (("sentence",), [(f"only texts {at}",) for at in range(40)],
         Mapped("sentence", None, None, None, (), "single_label", "")),
    ],
)  # fmt: skip
def test_columns_and_task_are_guessed(
    here: Project, header: tuple[str, ...], rows: list[Any], expected: Mapped
) -> None:
    path = kept(here, "t.csv", table(rows, *header))
    assert guessed(look(path, "t.csv")) == expected


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(DataError):
        guessed(uploading.Table(0, False, [], []))


# --- the project --------------------------------------------------------------------------------


def begun(here: Project, content: bytes, stated: Stated, mapped: Mapped | None = None) -> Any:
    path = kept(here, "t.csv", content)
    mapped = mapped or guessed(look(path, "t.csv"))
    found = inspect(path, "t.csv", mapped, LENGTHS)
    with roles.acting_as(EDITOR):
        return beginning.begin(here, path, stated, mapped, found)


STATED = Stated("My Fragen; touch x", "own data", "internal", False)


def test_an_upload_becomes_a_project_that_reads_it(here: Project) -> None:
    content = csv_of(ROWS)
    done = begun(here, content, STATED)
    assert done.kept is not None
    assert done.kept.read_bytes() == templates.OWN_FILE.read_bytes()
    params = load(here.params)
    assert params.label.labels == ["human", "place"]
    assert params.validate_.gates == []
    (source,) = params.collect.sources
    assert source.kind == "file"
    assert source.path.startswith("data/raw/my-fragen-touch-x-")
    assert (here.root / source.path).read_bytes() == content
    assert not list((here.studio / "uploads").iterdir())
    folder = here.root / "read"
    limits = {"memory": 4_096, "seconds": 60, "size": 100}
    answer = confined.read(source, folder, limits, lambda records, size: None)
    assert answer["records"] == len(ROWS)
    text = here.params.read_text(encoding="utf-8")
    assert "# passes over the training part; time grows with it" in text


def test_each_task_takes_the_bundled_project_of_its_kind(here: Project) -> None:
    ratings = table([(f"text {at}", str(at / 3)) for at in range(60)], "text", "score")
    begun(here, ratings, STATED)
    params = load(here.params)
    assert (params.label.task, params.label.labels, params.train.metric) == ("regression", [], "r2")
    tags = table([(f"text {at}", ("a;b", "a", "b;c", "c")[at % 4]) for at in range(60)],
                 "text", "tags")  # fmt: skip
    begun(here, tags, STATED)
    params = load(here.params)
    assert (params.label.task, params.label.separator) == ("multi_label", ";")
    assert params.label.labels == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["single_label", "multi_label", "regression"])
def test_chinese_texts_take_a_model_that_reads_them(here: Project, kind: str) -> None:
    label = {"single_label": "好坏", "multi_label": "好坏", "regression": "12"}[kind]
    rows = [(f"很长的一段文字第{at}条", label[at % 2]) for at in range(60)]
    mapped = Mapped("text", "label", task=kind, separator="|" if kind == "multi_label" else "")
    begun(here, table(rows, "text", "label"), STATED, mapped)
    params = load(here.params)
    assert (params.init.method, params.train.baselines.analyzer) == ("scratch", "char_wb")
    metrics = {"single_label": "macro_f1", "multi_label": "micro_f1", "regression": "r2"}
    assert params.train.metric == metrics[kind]


def test_a_project_without_terms_is_refused_and_leaves_nothing(here: Project) -> None:
    with pytest.raises(ParamsError):
        begun(here, csv_of(ROWS), Stated("x", "  ", "internal", False))
    assert here.params.read_bytes() == templates.OWN_FILE.read_bytes()
    assert not list(here.raw.iterdir())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Äpfel & Birnen 2026", "apfel-birnen-2026"), ("../../etc/passwd", "etc-passwd"),
        ("中文", "upload"), ("", "upload"), ("-x-" * 30, "x-x-x-x-x-x-x-x"),
        ("$(rm -rf /)", "rm-rf"), ("a\x00b\nc", "a-b-c"),
    ],
)  # fmt: skip
def test_names_on_disk_are_our_own(name: str, expected: str) -> None:
    assert slug(name).startswith(expected)
    assert len(slug(name)) <= 30
    check(
        beginning.params_for(
            Stated(name, "own", "internal", False), Mapped("text", "label"),
            uploading.Checked(40, 40, [("a", 20), ("b", 20)], [], False),
            Path("data/raw") / f"{slug(name)}-0.csv",
        )
    )  # fmt: skip


# --- bundled projects and the page --------------------------------------------------------------


@pytest.mark.parametrize("one", templates.listed(), ids=lambda one: one.name)
def test_a_bundled_project_starts_as_it_is(here: Project, one: templates.Bundled) -> None:
    with roles.acting_as(EDITOR):
        done = templates.begin(here, one.path.read_bytes())
    assert here.params.read_bytes() == one.path.read_bytes()
    assert (done.kept is None) is (one.name == templates.OWN)
    assert (here.studio / templates.STARTED).read_bytes() == one.path.read_bytes()


def test_all_of_the_pipeline_s_templates_are_offered() -> None:
    from pipeline import template

    assert {one.name for one in templates.listed()} == set(template.names())


@LANGUAGES
def test_the_page_starts_a_bundled_project(here: Project, language: str) -> None:
    page = open_page("start", here, language)
    page.button(key="start_tiny").click().run()
    assert_sound(page)
    assert page.success
    assert here.params.read_bytes() == templates.bundled("tiny").path.read_bytes()
    page.button(key="start_again").click().run()
    assert_sound(page)
    assert page.button(key="start_tiny")


@LANGUAGES
def test_the_page_goes_from_a_file_to_a_project(here: Project, language: str) -> None:
    page = open_page("start", here, language)
    page.button_group(key="start_way").set_value("own").run()
    assert_sound(page)
    rows = [*ROWS * 2, ("", "human")]
    page.file_uploader[0].set_value(("my table.csv", csv_of(rows), "text/csv")).run()
    assert_sound(page)
    assert page.selectbox(key="start_text").value == "question"
    assert page.selectbox(key="start_label").value == "category"
    assert "human" in shown(page)
    button = page.button(key="start_own")
    assert button.disabled, "the licence is missing"
    page.text_input(key="start_licence").set_value("own data").run()
    page.button(key="start_own").click().run()
    assert_sound(page)
    assert page.success
    assert load(here.params).label.labels == ["human", "place"]


@LANGUAGES
def test_the_page_tells_what_is_wrong_with_a_file(here: Project, language: str) -> None:
    page = open_page("start", here, language)
    page.button_group(key="start_way").set_value("own").run()
    content = b"text,label\nfine,a\nno label\n"
    page.file_uploader[0].set_value(("ragged.csv", content, "text/csv")).run()
    assert_sound(page)
    assert "ragged.csv:3" in page.error[0].value.replace("\\", "")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LABELLER])
def test_who_may_not_start_a_project_does_not_see_the_page(here: Project, role: Role) -> None:
    page = open_page("start", here, role=role)
    assert page.error
    assert not page.button
