"""The frame of the studio in a real browser: what is seen without scrolling, and what is asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from app.studio.layout import VIEWS
from tests.e2e.studio_browser import SCREEN, Browser, Studio, browsing, needs_browser
from tests.helpers import ROOT

pytestmark = [pytest.mark.e2e, needs_browser]
PLACES = """() => {
  const side = document.querySelector('[data-testid=stSidebar]');
  const shown = [...side.querySelectorAll('a, p, button')].filter(one => one.innerText);
  const cut = one => one.scrollWidth - one.clientWidth;
  return shown.map(one => [one.innerText, one.getBoundingClientRect().bottom, cut(one)]);
}"""
CAPTIONS = """() => [...document.querySelectorAll('[data-testid=stCaptionContainer]')].map(one => {
  const shown = one.querySelector('p') || one;
  let seen = 1, above = one;
  for (let at = shown; at; at = at.parentElement) seen *= +getComputedStyle(at).opacity;
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const colour = found => numbers(getComputedStyle(found).backgroundColor);
  while (above.parentElement && colour(above)[3] === 0) above = above.parentElement;
  return [numbers(getComputedStyle(shown).color), colour(above), seen];
})"""
AA = 4.5


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Serve a project without results."""
    folder = tmp_path_factory.mktemp("studio").resolve()
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "data/raw").mkdir(parents=True)
    with Studio(folder) as one:
        yield one
        assert not one.incidents()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser for all tests."""
    with browsing() as one:
        yield one


def luminance(colour: list[float]) -> float:
    """Return how bright a colour is, as the contrast of WCAG counts it."""
    parts = [one / 255 for one in colour[:3]]
    lines = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * lines[0] + 0.7152 * lines[1] + 0.0722 * lines[2]


def contrast(text: list[float], behind: list[float], seen: float) -> float:
    """Return the contrast of a text that is seen so far on what is behind it."""
    mixed = [seen * one + (1 - seen) * other for one, other in zip(text[:3], behind, strict=False)]
    low, high = sorted((luminance(mixed), luminance(behind)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_everything_beside_a_page_is_seen_without_scrolling(
    studio: Studio, browser: Browser, language: str
) -> None:
    reader = browser.reader(studio.address, language)
    asked: list[str] = []
    reader.page.on("request", lambda one: asked.append(one.url))
    for address in ("", "home", "settings"):
        reader.page.goto(f"{studio.address}/{address}", wait_until="commit")
        reader.settle()
        assert not reader.page.get_by_role("dialog").count()  # "Page not found"
        assert not reader.trouble
    reader.page.locator('[data-testid="stSidebar"] a').nth(len(VIEWS) - 1).wait_for()
    found = reader.page.evaluate(PLACES)
    texts = "\n".join(text for text, _bottom, _clipped in found)
    assert "ada" in texts
    assert len([text for text, _bottom, _clipped in found]) >= len(VIEWS) + 4
    for text, bottom, clipped in found:
        assert bottom <= SCREEN["height"], text
        assert clipped <= 1, text
    for text, behind, seen in reader.page.evaluate(CAPTIONS):
        assert contrast(text, behind, seen) >= AA
    reader.page.goto(f"{studio.address}/no-such-page", wait_until="commit")
    reader.settle()
    said = "No such page" if language == "en-US" else "\u6ca1\u6709\u8fd9\u4e2a\u9875\u9762"
    for _again in range(2):
        assert reader.says(said)
        assert not reader.page.get_by_role("dialog").count()
        reader.page.keyboard.press("r")
        reader.sleep(1.0)
        reader.settle()
    reader.go("collect")
    assert reader.page.title() == ("Collect" if language == "en-US" else "\u91c7\u96c6")
    foreign = [one for one in asked if not one.startswith((studio.address, "data:", "blob:"))]
    assert asked
    assert not foreign
    reader.page.context.close()
