"""Charts as Vega-Lite gets them: sound, built once, readable, with data as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import altair as alt
import pytest
import streamlit as st

from app.studio import chart_specs, charts, model_charts, model_plots, monitor_charts, speech
from app.studio.chart_specs import Spec
from app.studio.project import gantt, matrix, plan_tabs
from app.studio.project.schedule import timeline
from pipeline.i18n import _
from tests.app.studio.pages import on_white
from tests.app.studio.plans import TODAY, plan_of

STRANGE = "a.b[0]'\"<b>${x} \u6807\u7b7e"
POINT = {"records": 10, "mean": 0.5, "low": 0.4, "high": 0.6}
CELL = {"actual": "a", "predicted": STRANGE, "actual_words": "a", "predicted_words": STRANGE,
        "records": 3, "share": 0.6}  # fmt: skip
WINDOW = {"since": "2026-11-23T10:00:00+00:00", "requests": 7, "p50": 1.5, "odd": STRANGE}
VARIANT = {"number": 1, "name": STRANGE, "state": "ships", "mb": 3.0, "quality": 0.9, "low": 0.8,
           "high": 0.95}  # fmt: skip
PLAN = plan_of(
    schedule={"tasks": [{"name": STRANGE}], "milestones": [{"name": STRANGE, "on": TODAY}]},
    risks=[{"name": STRANGE}],
)
CHARTS: dict[str, Callable[[], Spec]] = {
    "bars": lambda: charts.bars({STRANGE: 1.0, "z": 2}, "n"),
    "curves": lambda: charts.curves({STRANGE: [(0, 1.0), (1, 2.0)]}, "x", "y", marks=[1]),
    "intervals": lambda: model_charts.intervals(
        [{"label": STRANGE, "value": 0.5, "low": None, "high": 0.6}], _("value")
    ),
    "confusion": lambda: model_charts.confusion([CELL]),
    "words": lambda: model_charts.words([(STRANGE, 0.5), ("b", -1)]),
    "reliability": lambda: model_plots.reliability(
        [{"confidence": 0.5, "accuracy": 0.4, "records": 9}]
    ),
    "learning": lambda: model_plots.learning_curve([POINT, POINT | {"records": 20}], 0.7, "y"),
    "pareto": lambda: model_plots.pareto([VARIANT], [0], "mb", ("x", "y")),
    "trials": lambda: model_plots.trials([{"trial": 0, "value": 0.5, "best": 0.5}], "y"),
    "lines": lambda: monitor_charts.lines([WINDOW], {"p50": STRANGE}, "y"),
    "shares": lambda: monitor_charts.shares([WINDOW | {"label": STRANGE, "share": 0.5}], "y"),
    "counts": lambda: monitor_charts.counts([WINDOW], "y"),
    "distances": lambda: monitor_charts.distances(
        [WINDOW | {"score": 0.3, "threshold": 0.2, "drifted": True}], "y"
    ),
    "gantt": lambda: gantt.chart(timeline(PLAN.schedule, TODAY), TODAY, TODAY),
    "matrix": lambda: matrix.chart(PLAN.risks),
    "spending": lambda: plan_tabs.bars([(STRANGE, "planned", 1.0)]),
}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Let no chart be kept from another test."""
    st.cache_data.clear()
    yield
    st.cache_data.clear()


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_what_vega_lite_allows_and_holds_data_as_data(name: str) -> None:
    made = CHARTS[name]()
    spec = {key: value for key, value in made.to_dict().items() if key != "datasets"}
    alt.Chart.from_dict(spec, validate=True)
    assert set(made.to_dict()["datasets"]) == set(named_in(spec))
    assert STRANGE not in fields_of(spec)
    values = [str(one) for table in made.tables() for one in table.to_numpy().ravel()]
    if name not in ("reliability", "learning", "trials", "pareto", "distances"):
        assert any(STRANGE in one for one in values)


def named_in(content: Any) -> Iterator[str]:
    """Yield the names of the tables that a chart draws from."""
    if isinstance(content, dict):
        data = content.get("data")
        if isinstance(data, dict):
            yield data["name"]
        for one in content.values():
            yield from named_in(one)
    elif isinstance(content, list):
        for one in content:
            yield from named_in(one)


def fields_of(content: Any) -> list[str]:
    """Return the fields and expressions of a chart, which Vega reads as its language."""
    found: list[str] = []
    if isinstance(content, dict):
        for key, one in content.items():
            known = key in ("field", "filter", "test", "labelExpr") and isinstance(one, str)
            found += [one] if known else fields_of(one)
    elif isinstance(content, list):
        found = [two for one in content for two in fields_of(one)]
    return found


def test_the_same_rows_are_built_once_in_each_language(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    @chart_specs.kept
    def counted(values: dict[str, float]) -> chart_specs.Chart:
        built.append(speech.language())
        made: alt.Chart = alt.Chart(alt.NamedData("x")).mark_bar().encode(x=alt.X("value:Q"))
        return made

    first = counted({"a": 1.0})
    assert counted({"a": 1.0}) == first
    assert built == ["en"]
    counted({"a": 2.0})
    assert built == ["en", "en"]
    monkeypatch.setenv("MOFANG_LANGUAGE", "zh")
    counted({"a": 1.0})
    assert built == ["en", "en", "zh"]


def test_what_a_page_does_with_a_chart_changes_no_other() -> None:
    made = charts.bars({"a": 1.0}, "n")
    made.content["config"]["axis"] = {}
    made.content["datasets"].clear()
    again = charts.bars({"a": 1.0}, "n")
    assert again.content["config"]["axis"] == chart_specs.WORDS
    assert again.tables()[0]["value"].to_list() == [1.0]


def test_words_of_axes_are_dark_enough() -> None:
    config = charts.bars({"a": 1.0}, "n").content["config"]
    for part in ("axis", "legend"):
        for colour in config[part].values():
            assert on_white(colour) >= 4.5


def test_a_click_on_the_confusion_table_can_be_told() -> None:
    (chosen,) = model_charts.confusion([CELL]).content["params"]
    assert chosen["name"] == model_charts.CELL
    assert chosen["select"]["fields"] == ["actual", "predicted"]
