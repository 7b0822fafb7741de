"""The drift page in its box: what it may not reach, in parsers and in a real browser."""

from __future__ import annotations

import html
import shutil
from html.parser import HTMLParser
from typing import Any

import pytest

from app.studio import drift_pages
from app.studio.project_files import Project
from pipeline.errors import DataError
from tests.app.studio import deployed
from tests.app.studio.deployed import open_tab
from tests.app.studio.pages import open_page

CHROMIUM = shutil.which("chromium")


made, project = deployed.made, deployed.project  # fixtures


class Elements(HTMLParser):
    """Remembers which elements a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one."""
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("page", [
    deployed.HOSTILE, '"></iframe><script>1</script>', "&quot;><img src=x onerror=1>", "'\"<&>",
    "<iframe sandbox='allow-same-origin'></iframe>", "\u2028\x00</body>",
])  # fmt: skip
def test_a_drift_page_never_leaves_its_box(page: str) -> None:
    parser = Elements()
    parser.feed(drift_pages.boxed(page, 'Report "> <script>'))
    names = [name for name, _attributes in parser.found]
    assert names.count("script") == 0
    (frame,) = [attributes for name, attributes in parser.found if name == "iframe"]
    assert frame["srcdoc"] == page
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"] == 'Report "> <script>'
    policy = next(
        one["content"] for name, one in parser.found if name == "meta" and "content" in one
    )
    assert "default-src 'none'" in str(policy)
    assert "connect-src" not in str(policy)


def test_only_pages_that_the_monitor_wrote_are_shown(project: Project) -> None:
    assert drift_pages.pages(project) == [deployed.PAGE]
    assert deployed.HOSTILE in drift_pages.page(project, deployed.PAGE)
    for name in ("../../params.yaml", "..", "", "20261123-120000-8", f"{deployed.PAGE}/.."):
        with pytest.raises(DataError):
            drift_pages.page(project, name)


def test_the_page_is_shown_when_asked_for(project: Project) -> None:
    page = open_tab(open_page("monitor", project), "Drift")
    assert not page.get("iframe")
    page.toggle(key="monitor_page_shown").set_value(True).run()
    (frame,) = page.get("iframe")
    source = frame.proto.srcdoc
    assert html.escape(deployed.HOSTILE) in source
    assert deployed.HOSTILE not in source


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_a_real_browser_it_reaches_nobody() -> None:
    sync = pytest.importorskip("playwright.sync_api")
    hostile = """<p id="ran"></p><script>
        document.getElementById('ran').textContent = 'it ran'
        try { top.document.title = 'reached' } catch (error) { }
        try { parent.document.title = 'reached' } catch (error) { }
        try { document.cookie } catch (error) { document.title = error.name }
        fetch('http://studio.test/stolen')
        new Image().src = 'http://studio.test/stolen'
        document.getElementById('ran').onclick = () => { location = 'http://studio.test/stolen' }
    </script>"""
    asked: list[str] = []
    # As Streamlit does: the box shares its origin, and may run scripts.
    outer = (
        '<title>studio</title><iframe sandbox="allow-same-origin allow-scripts" '
        f'srcdoc="{html.escape(drift_pages.boxed(hostile, "drift"), quote=True)}"></iframe>'
    )

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(body=outer, content_type="text/html")

    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**/*", answer)
        page.goto("http://studio.test/")
        inner = page.frame_locator("iframe").frame_locator("iframe")
        inner.get_by_text("it ran").wait_for()  # its own script runs: Evidently draws with one
        # What leads away ends on a page of the browser's own.
        inner.get_by_text("it ran").dispatch_event("click")
        page.wait_for_timeout(500)
        title = page.title()
        browser.close()
    assert title == "studio"
    assert asked == ["http://studio.test/"]
