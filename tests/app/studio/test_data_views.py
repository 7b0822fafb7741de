"""The pages of the data stages: what they show in every state, and that they read no whole file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import streamlit as st

from app.studio import charts, data_drawing, reading
from app.studio.project_files import Project
from app.studio.roles import Role
from app.studio.views.clean import waterfall
from app.studio.views.collect import kinds_of
from pipeline.errors import SourceError, packed
from pipeline.i18n import _, translate
from tests.app.studio import data_project
from tests.app.studio.data_pages import TABS, tab
from tests.app.studio.model_project import run
from tests.app.studio.pages import LANGUAGES, assert_sound, on_white, open_page, shown
from tests.helpers import changed_text

PLACES = [(view, name) for view, names in TABS.items() for name in names]
VIEWS = pytest.mark.parametrize("view", TABS)


made, here = data_project.made, data_project.here  # fixtures


def refused(*_given: object, **_named: object) -> None:
    """Stand in for what reads all of a file."""
    raise AssertionError("a whole file")


# States


@VIEWS
@LANGUAGES
def test_a_page_says_that_nothing_is_there_yet(project: Path, view: str, language: str) -> None:
    (project / "params.yaml").write_text(changed_text({}), encoding="utf-8")
    page = open_page(view, project, language)
    for name in TABS[view]:
        tab(page, view, name, language)
        assert page.info or page.subheader, name
    assert not page.error


@LANGUAGES
@pytest.mark.parametrize(("view", "name"), PLACES)
def test_every_part_of_a_page_shows_its_results_and_reads_no_whole_file(
    made: Project, view: str, name: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("read_table", "ParquetFile.read"):
        monkeypatch.setattr(f"pyarrow.parquet.{place}", refused)
    if language == "en":
        st.cache_data.clear()
    page = tab(open_page(view, made, language), view, name, language)
    assert not page.error
    assert not re.search(r"\{[a-z_]+\}", shown(page)), "a place left open"


@VIEWS
@LANGUAGES
def test_a_page_says_that_its_stage_works_or_why_it_failed(
    here: Project, view: str, language: str
) -> None:
    run(here, "running", f"Running stage '{view}':\n")
    page = open_page(view, here, language)
    works = translate("{user} started a run {ago}; this stage works now.", language)
    assert any(works.partition("{ago}")[2] in one.value for one in page.info)
    shutil.rmtree(here.runs)
    run(
        here,
        "failed",
        f"Running stage '{view}':\nMemoryError\nERROR: failed to reproduce '{view}'\n",
    )
    page = open_page(view, here, language)
    memory = translate("There was too little memory for the stage {stage}.", language)
    memory = memory.format(stage=view)
    assert any(memory in one.value for one in page.error), [one.value for one in page.error]


@VIEWS
def test_a_damaged_report_is_explained(here: Project, view: str) -> None:
    here.report(view).write_text("{", encoding="utf-8")
    page = open_page(view, here)
    if view == "label":
        page = tab(page, view, "Records")
    assert any(str(here.report(view)) in one.value.replace("\\", "") for one in page.error)


@VIEWS
def test_a_viewer_reads_and_cannot_label(here: Project, view: str) -> None:
    page = open_page(view, here, role=Role.VIEWER)
    assert bool(page.error) is (view == "label")


# What the pages say


def test_collect_names_sources_and_their_terms(made: Project) -> None:
    page = open_page("collect", made)
    row = page.table[0].value.iloc[0].to_dict()
    assert row["Source"] == "made"
    assert row["Kind"] == "files"
    assert row["Licence"] == "CC0 1.0"
    assert {one.label: one.value for one in page.metric}["Repeated texts"] == "7"
    assert "Records by label" in [one.value for one in page.subheader], "there is one source only"


@LANGUAGES
def test_a_missing_source_is_told(here: Project, language: str) -> None:
    report = json.loads(here.report("collect").read_text(encoding="utf-8"))
    none = SourceError.at("data/raw/feed.csv", found=_("no file"), allowed="", fix="")
    report["sources"].append(report["sources"][0] | {"name": "feed", "missing": packed(none)})
    here.report("collect").write_text(json.dumps(report), encoding="utf-8")
    page = open_page("collect", here, language)
    (told,) = page.warning
    assert "feed" in told.value
    assert _("no file").render(language) in told.value


def test_kinds_leave_out_columns_that_are_the_same_everywhere() -> None:
    groups = {"by": ["source", "label"], "counts": [["a", "x", 3], ["a", None, 2]], "others": 0}
    assert kinds_of(groups) == {"x": 3, "–": 2}
    groups = {"by": ["source"], "counts": [["a", 5]], "others": 0}
    assert kinds_of(groups) == {"a": 5}


def test_the_waterfall_adds_up(made: Project) -> None:
    report = reading.report(made, "clean")
    assert report is not None
    bars = waterfall(report)
    assert bars[0][3] == report["collected"]
    assert bars[-1][3] == report["kept"]
    for (_name, _kind, low, high), (_next, kind, _low, end) in pairwise(bars):
        assert end == (high if _kind == "in" else low), kind
    lost = sum(high - low for _name, kind, low, high in bars if kind == "dropped")
    assert lost == report["collected"] - report["kept"]


def test_dropped_rows_are_searched_by_reason_and_text(made: Project) -> None:
    page = tab(open_page("clean", made), "clean", "Dropped records")
    assert set(page.dataframe[0].value["reason"]) <= {"duplicate", "contradicting labels"}
    page.text_input(key="clean_dropped_search").set_value("the book 1 ").run()
    assert_sound(page)
    texts = list(page.dataframe[0].value["text"])
    assert texts
    assert all("the book 1 " in one for one in texts)
    page.selectbox(key="clean_dropped_dropped_by").set_value("duplicate").run()
    assert set(page.dataframe[0].value["reason"]) == {"duplicate"}
    page.text_input(key="clean_dropped_search").set_value("no such text").run()
    assert_sound(page)
    assert not page.dataframe


def test_samples_show_what_changed_and_run_nothing(made: Project) -> None:
    page = tab(open_page("clean", made), "clean", "Before and after")
    found = "\n".join(one.value for one in page.markdown)
    assert ":red-background[~~" in found
    assert ":green-background[**" in found
    assert not any(one.allow_html for one in page.markdown)
    assert "\\<p\\>" in found


def test_leafing_goes_forth_and_back(made: Project) -> None:
    page = tab(open_page("collect", made), "collect", "Records")
    first = list(page.dataframe[0].value["text"])
    assert len(first) == data_drawing.ROWS
    assert page.button(key="collect_records_back").disabled
    page.button(key="collect_records_next").click().run()
    assert_sound(page)
    second = list(page.dataframe[0].value["text"])
    assert not set(first) & set(second)
    page.button(key="collect_records_back").click().run()
    assert list(page.dataframe[0].value["text"]) == first


def test_split_shows_few_records_and_copies(made: Project) -> None:
    page = open_page("split", made)
    assert any("Fewer than 30 records" in one.value for one in page.warning)
    page = tab(page, "split", "Augmentation")
    assert any("-background[" in one.value for one in page.markdown)
    page = tab(page, "split", "Records")
    page.segmented_control(key="split_part").set_value("test").run()
    assert_sound(page)
    assert len(page.dataframe[0].value)


# Charts


def test_colours_are_seen_on_white_and_on_black() -> None:
    for colour in charts.SERIES:
        assert on_white(colour) >= 4.5, f"{colour}: white words on it"
    assert len(set(charts.SERIES)) == len(charts.SERIES) == len(charts.DASHES)


def test_charts_are_valid_and_hold_data_as_data() -> None:
    strange = "a.b[0]'\"<b>${x}"
    made = [
        charts.bars({strange: 1.0, "z": 2}, "n"),
        charts.bars({}, "n"),
        charts.stacked([(strange, "p", 1), (strange, "q", 0)], "n", parts=["p", "q"], shares=True),
        charts.waterfall([("in", "in", 0, 9), (strange, "dropped", 5, 9)], "n"),
        charts.curves({strange: [(0, 1.0), (1, 2.0)], "b": []}, "x", "y", marks=[1]),
        charts.scatter([(strange, "k", 1, 2), ("m", "l", 2, 3)], "x", "y"),
    ]  # fmt: skip
    own = {"name", "value", "shown", "part", "order", "share", "low", "high", "colour", "x", "y",
           "kind", "across", "up"}  # fmt: skip
    for chart in made:
        assert set(fields(chart.to_dict())) <= own


def fields(content: object) -> Iterator[str]:
    """Yield the names of all fields that a chart draws from."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "field":
                yield value
            elif key != "datasets":
                yield from fields(value)
    elif isinstance(content, list):
        for one in content:
            yield from fields(one)
