"""Pages of the data stages as a reader uses them: their tabs, and labels by keys."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

from pipeline.i18n import translate
from tests.app.studio.pages import assert_sound

TABS = {
    "collect": ["Overview", "Records"],
    "clean": ["Overview", "Before and after", "Dropped records", "Kept records"],
    "label": ["Labelling", "Suspects", "Agreement", "Second look", "Records"],
    "split": ["Balance", "Leaks", "Augmentation", "Records"],
}
LABELS = ["human", "number", "location"]


def tab(page: AppTest, view: str, name: str, language: str = "en") -> AppTest:
    """Open a tab of a page, which only then is drawn."""
    page.session_state[f"{view}_tabs"] = translate(name, language)
    page.run()
    assert_sound(page)
    return page


def keys(page: AppTest) -> dict[str, Any]:
    """Return the buttons of a page by what their names begin with, without the record."""
    return {one.key.rpartition("_")[0] if one.key else "": one for one in page.button}


def press(page: AppTest, at: int, which: str = "queue") -> AppTest:
    """Press the key of a label."""
    keys(page)[f"label_{at}_{which}"].click()
    page.run()
    assert_sound(page)
    return page
