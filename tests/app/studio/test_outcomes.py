"""What came of an action is read in peace: it stays until the next one, or another page."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.studio import model_plan
from app.studio.project_files import Project
from pipeline.errors import DataError
from pipeline.i18n import translate
from tests.app.studio.data_pages import tab
from tests.app.studio.model_project import fill, keep
from tests.app.studio.pages import SECONDS, assert_sound, open_page

SAVED = "Saved in params.yaml."


@pytest.fixture
def here(project: Path) -> Project:
    """Return a project with results and a recommendation."""
    made = fill(Project(project))
    keep(made)
    return made


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no recommendation be made."""

    def refuse(*_given: object) -> None:
        raise DataError.at("plan", found="nothing", allowed="a plan", fix="Ask later.")

    monkeypatch.setattr(model_plan, "ask", refuse)


def said(page: AppTest) -> list[str]:
    """Return what the page says was done or refused."""
    assert_sound(page)
    return [one.value for one in page.success if one.icon == ":material/check:"] + [
        one.value for one in page.error
    ]


def test_what_is_done_is_said_until_another_page_even_where_the_button_went(here: Project) -> None:
    page = open_page("model", here)
    assert not said(page)
    page.button(key="model_use").click().run()
    for _time in range(2):
        assert SAVED in said(page)
        with pytest.raises(KeyError):
            page.button(key="model_use")
        page.run()
    page.session_state["language"] = "zh"
    page.run()
    assert translate(SAVED, "zh") in said(page)
    page.session_state["outcome_page"] = "home"  # as the other page would leave it
    page.run()
    assert translate(SAVED, "zh") not in said(page)


@pytest.mark.usefixtures("refused")
def test_what_is_refused_is_said_under_its_button_until_the_next_action(here: Project) -> None:
    page = open_page("model", here)
    page.button(key="model_ask").click().run()
    for _time in range(2):
        (error,) = said(page)
        assert "Ask later." in error
        page.run()
    tab(page, "model", "Where training starts")
    assert len(said(page)) == 1, "its button is not drawn now"
    tab(page, "model", "Recommendation")
    page.button(key="model_use").click().run()
    assert "Ask later." not in "".join(said(page))


def in_a_part() -> None:
    """Draw a page with a part that lives, whose button asks for what cannot be."""
    import streamlit as st

    from app.studio import layout, model_drawing, outcomes, roles
    from pipeline.errors import DataError
    from pipeline.i18n import _

    def work() -> None:
        raise DataError.at("here", found="x", allowed="y", fix="Mend it.")

    def part() -> None:
        if layout.button(_("Stop"), roles.SEE, key="stop"):
            model_drawing.acted(work)
        st.write("drawn")

    with outcomes.kept("runs"):
        layout.live(part, 2.0)


def test_a_part_that_draws_itself_again_keeps_what_was_said() -> None:
    page = AppTest.from_function(in_a_part, default_timeout=SECONDS).run()
    page.button(key="stop").click().run()
    for _time in range(2):
        assert_sound(page)
        assert len(page.error) == 1
        page.run()
