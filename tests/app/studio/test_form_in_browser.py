"""Forms in a real browser, where each is a fragment: only what a reader uses is drawn anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.studio.forms.templates import OWN_FILE
from tests.e2e.studio_browser import Reader, Studio, browsing, needs_browser
from tests.helpers import ROOT

pytestmark = [pytest.mark.e2e, needs_browser]
WATCH, LOG = "monitor_monitor", "monitor_traffic"  # two forms of one page
MONITOR, TRAFFIC = 0, 2  # their places


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Return the params.yaml of a project without results."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copy(OWN_FILE, tmp_path / "params.yaml")
    (tmp_path / "data/raw").mkdir(parents=True)
    return tmp_path / "params.yaml"


@pytest.fixture
def reader(params: Path) -> Iterator[Reader]:
    """Return somebody who looks at the project; nothing unforeseen happens."""
    with Studio(params.parent.resolve()) as studio, browsing() as browser:
        one = browser.reader(studio.address)
        yield one
        assert not one.trouble
        assert not studio.incidents(), studio.told()


def field(reader: Reader, form: str, path: str) -> Any:
    """Return a field; where it was drawn at another place, Streamlit keeps a hidden one there."""
    name = f"{form}-{path}".replace(".", "-")
    return reader.page.locator(f'[class*="st-key-{name}-"]:visible').first


def held(reader: Reader, form: str, path: str) -> str:
    """Return what a field holds."""
    return str(field(reader, form, path).locator("input").first.input_value())


def beside(reader: Reader, form: str, path: str) -> Any:
    """Return the container of a field, its marks and problems."""
    above = "xpath=ancestor::*[@data-testid='stVerticalBlock'][1]"
    return field(reader, form, path).locator(above)


def write(reader: Reader, form: str, path: str, text: str) -> None:
    """Type into a field."""
    place = field(reader, form, path).locator("input").first
    place.fill(text)
    place.press("Tab")
    reader.settle()


def is_ready(reader: Reader, form: str) -> bool:
    """Return whether a form can be saved."""
    return bool(reader.button(f"{form}:save").is_enabled())


def test_what_is_typed_lasts_until_it_is_saved(reader: Reader, params: Path) -> None:
    text = params.read_text(encoding="utf-8")
    reader.open("monitor")

    # A change in one form, then the other form, a refusal there, and its save.
    write(reader, WATCH, "monitor.every_minutes", "7")
    reader.wait(lambda: is_ready(reader, WATCH), 10.0, "a change")
    assert "changed" in beside(reader, WATCH, "monitor.every_minutes").inner_text()
    reader.press("monitor_section", TRAFFIC)
    assert not is_ready(reader, LOG)
    reader.press(f"{LOG}:level", 1)
    write(reader, LOG, "traffic.retention_days", "31")
    write(reader, LOG, "traffic.region", "us")
    refusal = beside(reader, LOG, "traffic.region").get_by_test_id("stAlert")
    reader.wait(lambda: "traffic.region" in "".join(refusal.all_inner_texts()), 10.0, "a refusal")
    assert not is_ready(reader, LOG)
    assert params.read_text(encoding="utf-8") == text
    write(reader, LOG, "traffic.region", "US")
    reader.wait(lambda: is_ready(reader, LOG), 10.0, "a mended form")
    reader.press(f"{LOG}:save")
    reader.wait(lambda: reader.says("Saved in params.yaml"), 10.0, "a save")
    text = text.replace("retention_days: 30 ", "retention_days: 31 ", 1)
    at = text.index("\ntraffic:")
    text = text[:at] + text[at:].replace("region: CN ", "region: US ", 1)
    assert params.read_text(encoding="utf-8") == text

    # The first form still holds its change, which is reset and made anew.
    reader.press("monitor_section", MONITOR)
    reader.wait(lambda: is_ready(reader, WATCH), 10.0, "the change of before")
    assert held(reader, WATCH, "monitor.every_minutes") == "7"
    assert not reader.says("Somebody else")
    beside(reader, WATCH, "monitor.every_minutes").get_by_role("button", name="Reset").click()
    reader.wait(lambda: not is_ready(reader, WATCH), 10.0, "a reset")
    assert held(reader, WATCH, "monitor.every_minutes") == "5"
    write(reader, WATCH, "monitor.every_minutes", "8")
    reader.wait(lambda: is_ready(reader, WATCH), 10.0, "another change")

    # Somebody else changes the same section; their change and this one are both kept.
    text = text.replace("window_minutes: 60 ", "window_minutes: 30 ", 1)
    params.write_text(text, encoding="utf-8")
    write(reader, WATCH, "monitor.min_requests", "60")
    reader.wait(lambda: reader.says("Somebody else"), 10.0, "a word about it")
    assert not is_ready(reader, WATCH)
    assert params.read_text(encoding="utf-8") == text
    reader.press(f"{WATCH}:merge")
    reader.wait(lambda: is_ready(reader, WATCH), 10.0, "both changes")
    names = ("every_minutes", "window_minutes", "min_requests")
    assert [held(reader, WATCH, f"monitor.{name}") for name in names] == ["8", "30", "60"]
    reader.press(f"{WATCH}:save")
    reader.wait(lambda: reader.says("Saved in params.yaml"), 10.0, "another save")
    for old, new in (("every_minutes: 5 ", "every_minutes: 8 "),
                     ("min_requests: 50 ", "min_requests: 60 ")):  # fmt: skip
        at = text.index("\nmonitor:")
        text = text[:at] + text[at:].replace(old, new, 1)
    assert params.read_text(encoding="utf-8") == text
