"""A studio that really runs, and a real browser in which a reader presses what a person would.

Widgets are found by their keys, which Streamlit writes into the page as classes, so that nothing
here depends on a language. ``Reader.open`` and every press wait until the page stands still.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import psutil
import pytest

from tests.e2e.nursery import HOOK
from tests.e2e.served import free_port, until
from tests.helpers import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
SCREEN = {"width": 1280, "height": 800}
STARTING, ENDING, PATIENCE = 90.0, 10.0, 30.0  # seconds at most
LOOKS = 0.25  # seconds between two looks at a page; each has it laid out anew
FOUND_AGAIN = 3.0  # seconds in which a page shows a run that works
TRIES = 3  # a machine that is busy with other tests is forgiven twice
HOME = "home"  # the view that / leads to
MOST_TOLD = 4_000  # characters of an incident
STILL = '[data-testid="stApp"][data-test-script-state="notRunning"]'
HEAVY = ("torch", "transformers", "evidently", "sklearn", "openvino", "gradio", "optuna",
         "matplotlib", "dvc", "onnxruntime", "datasets", "scipy")  # fmt: skip
SPY = """\
import os, signal, sys
def tell(number, frame):
    path = os.environ["MOFANG_SPY"]
    with open(path + ".tmp", "w") as target:
        target.write("\\n".join(sorted({name.partition(".")[0] for name in list(sys.modules)})))
    os.replace(path + ".tmp", path)
if os.environ.get("MOFANG_SPY"):
    signal.signal(signal.SIGUSR2, tell)
"""
SHOWN = """\
key => {
  const named = () => document.querySelector(`[class*="st-key-${key}"]`);
  const look = () => {
    if (window.shown === undefined && named()) { window.shown = performance.now() / 1000; }
    if (window.shown === undefined) { requestAnimationFrame(look); }
  };
  look();
}"""


def chromium() -> str | None:
    """Return the program of the browser, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def obstacle() -> str | None:
    """Return why no browser can be driven here; None where one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "skipped: playwright is not installed"
    return None if chromium() else "skipped: no chromium on this machine (apt install chromium)"


needs_browser = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")


class Studio:
    """``python -m app.studio`` in a project, in a process of its own."""

    def __init__(self, folder: Path, *flags: str, **environment: str) -> None:
        self.folder, self.port, self.flags = folder, free_port(), flags
        self.own = f"http://127.0.0.1:{self.port}"
        self.address = self.own  # that browsers call it by
        self.log = folder / "var/studio-server.log"
        self.spy = folder / "var/spy"
        self.environment = environment

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spy.mkdir(parents=True, exist_ok=True)
        (self.spy / "sitecustomize.py").write_text(SPY + HOOK)
        tools = str(Path(sys.executable).parent)
        known = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self.spy}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "MOFANG_PROJECT": str(self.folder),
            "MOFANG_USER": "ada",
            "MOFANG_SPY": str(self.spy / "modules"),
        }
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.studio", "--port", str(self.port), *self.flags],
                cwd=self.folder, env=known | self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            until(lambda: self.is_up() or self.process.poll() is not None, STARTING, "a studio")
            assert self.process.poll() is None, self.told()
        except BaseException:
            self.stop()
            raise

    def is_up(self) -> bool:
        """Return whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.own}/_stcore/health", timeout=1.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def told(self) -> str:
        """Return what its terminal says."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it as an operator does."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(ENDING)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill it, as the system does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def modules(self) -> set[str]:
        """Return the top-level modules that its process has imported by now."""
        told = self.spy / "modules"
        told.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)
        until(told.exists, 10.0, "a list of modules")
        return set(told.read_text().splitlines())

    def incidents(self) -> list[str]:
        """Return what its terminal says of errors that nobody foresaw."""
        return [f"incident {one[:MOST_TOLD]}" for one in self.told().split("incident ")[1:]]


class Reader:
    """Somebody at a tab of the browser."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address

    def open(self, view: str = HOME, **query: str) -> float:
        """Go to a view by its address and return the seconds until it stood still."""
        began = time.monotonic()
        words = f"?{urlencode(query)}" if query else ""
        path = "" if view == HOME else view
        self.page.goto(f"{self.address}/{path}{words}", wait_until="commit")
        self.settle()
        return time.monotonic() - began

    def shows(self, view: str, key: str, seconds: float = PATIENCE) -> float:
        """Go to a view by its address and return the seconds until it shows a widget.

        They are counted inside the page, from the moment at which the browser asks for it, so that
        a test that waits for its turn on a busy machine adds nothing.
        """
        context = self.page.context
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.add_init_script(f"({SHOWN})({json.dumps(key)})")
        self.page.close()
        self.page = page
        page.goto(f"{self.address}/{'' if view == HOME else view}", wait_until="commit")
        page.wait_for_function("() => window.shown !== undefined", timeout=1000 * seconds)
        return float(page.evaluate("() => window.shown"))

    def go(self, view: str) -> float:
        """Go to a view by its link at the side, and return the seconds until it stood still."""
        began = time.monotonic()
        self.page.locator(f'[data-testid="stSidebar"] a[href="{view}"]').click()
        self.page.wait_for_url(re.compile(rf"/{view}(\?|$)"))
        self.settle()
        return time.monotonic() - began

    def settle(self, seconds: float = PATIENCE) -> None:
        """Wait until the page has a heading and the script that draws it is over."""
        self.page.wait_for_selector('[data-testid="stMain"] h1', timeout=1000 * seconds)
        self.page.wait_for_timeout(60)  # a press needs a moment to reach the server
        self.page.wait_for_selector(STILL, timeout=1000 * seconds)

    def part(self, key: str) -> Any:
        """Return the widget with a key; a trailing ``*`` stands for anything."""
        name = re.sub(r"[^a-zA-Z0-9_-]", "-", key.rstrip("*"))
        where = f'[class*="st-key-{name}"]' if key.endswith("*") else f".st-key-{name}"
        return self.page.locator(where).first

    def sees(self, key: str) -> bool:
        """Return whether a widget is there."""
        return bool(self.part(key).is_visible())

    def says(self, word: str) -> bool:
        """Return whether a text stands in the middle of the page."""
        return word in self.text

    def press(self, key: str, place: int = 0) -> None:
        """Press a button, or one of several side by side."""
        self.button(key, place).click()
        self.settle()

    def button(self, key: str, place: int = 0) -> Any:
        """Return a button; a disabled one stands twice in the page, the second time hidden."""
        return self.part(key).locator("button").nth(place)

    def tab(self, key: str, place: int) -> None:
        """Open a tab."""
        self.part(key).get_by_role("tab").nth(place).click()
        self.settle()

    def choose(self, key: str, option: str) -> None:
        """Choose from a list."""
        field = self.part(key).locator("input").first
        field.click()
        found = self.page.get_by_role("option", name=option, exact=True).first
        self.sleep(0.3)
        if not found.is_visible():
            field.press("ArrowDown")
        found.click()
        self.settle()

    def write(self, key: str, text: str) -> None:
        """Write into a field and leave it."""
        field = self.part(key).locator("input, textarea").first
        field.fill(text)
        field.press("Tab")
        self.settle()

    def tick(self, key: str) -> None:
        """Tick a box or switch a switch."""
        self.part(key).locator("label").first.click()
        self.settle()

    def give(self, key: str, path: Path) -> None:
        """Give a file to an upload."""
        self.part(key).locator('input[type="file"]').set_input_files(str(path))
        self.settle()

    def raise_number(self, key: str) -> None:
        """Make a number larger by one step, whether it is a field or a slider."""
        slider = self.part(key).get_by_role("slider")
        if slider.count():
            slider.first.press("ArrowRight")
        else:
            field = self.part(key).locator("input").first
            field.press("ArrowUp")
            field.press("Enter")
        self.settle()

    def sleep(self, seconds: float) -> None:
        """Let time pass while the browser works on."""
        self.page.wait_for_timeout(1000 * seconds)

    def wait(self, holds: Callable[[], Any], seconds: float, what: str) -> float:
        """Wait until something holds while the page lives on; return the seconds that it took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() < began + seconds, (
                f"not within {seconds} s: {what}\n{self.text}"
            )
            self.sleep(LOOKS)
        return time.monotonic() - began

    @property
    def text(self) -> str:
        """What stands in the middle of the page, cells of tables included."""
        found: str = self.page.locator('[data-testid="stMain"]').first.evaluate(
            "one => one.innerText + '\\n' + "
            "[...one.querySelectorAll('canvas td')].map(cell => cell.textContent).join('\\n')"
        )
        return found

    @property
    def trouble(self) -> str:
        """What stands on the page that nobody foresaw; empty where all is well."""
        told = self.page.locator('[data-testid="stException"]').all_inner_texts()
        alerts = self.page.locator('[data-testid="stAlert"]').all_inner_texts()
        return "\n".join([*told, *(one for one in alerts if "bug_report" in one)])


class Browser:
    """Chromium without a window; each tab is of a person of its own."""

    def __init__(self, playwright: Any) -> None:
        before = {one.pid for one in psutil.Process().children(recursive=True)}
        self.inner = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        children = psutil.Process().children(recursive=True)
        self.processes = [one for one in children if one.pid not in before]

    def reader(self, address: str, language: str = "en-US", scheme: str = "light") -> Reader:
        """Return somebody who comes for the first time."""
        context = self.inner.new_context(
            viewport=SCREEN, locale=language, color_scheme=scheme, reduced_motion="reduce"
        )
        return self.tab(address, context)

    def tab(self, address: str, context: Any = None) -> Reader:
        """Return somebody new whose browser keeps what it fetched, which spares seconds."""
        if context is None and not self.inner.contexts:
            return self.reader(address)
        page = (context or self.inner.contexts[0]).new_page()
        page.set_default_timeout(1000 * PATIENCE)
        return Reader(page, address)

    def kill(self) -> None:
        """Kill all processes of the browser."""
        for one in self.processes:
            with contextlib.suppress(psutil.Error):
                if "chrom" in one.name():
                    one.kill()


@contextlib.contextmanager
def driving() -> Iterator[Any]:
    """Yield what starts browsers; there is one at a time in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@contextlib.contextmanager
def launched(playwright: Any) -> Iterator[Browser]:
    """Yield a browser; it ends with the block, also when it was killed inside."""
    from playwright.sync_api import Error

    browser = Browser(playwright)
    try:
        yield browser
    finally:
        with contextlib.suppress(Error):
            browser.inner.close()


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Yield the only browser."""
    with driving() as playwright, launched(playwright) as browser:
        yield browser


def finds(browser: Browser, address: str) -> Reader:
    """Hold that somebody new sees a run that works in time; return who.

    Where more programs than cores want to work, all take longer; at most twice is forgiven.
    """
    limit = FOUND_AGAIN * min(2.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
    took: list[float] = []
    while not took or (took[-1] >= limit and len(took) < TRIES):
        reader = browser.tab(address)
        reader.open("settings")  # what the browser keeps of every page
        took.append(reader.shows("runs", "runs_stop"))
    print("found again after", ", ".join(f"{one:.2f} s" for one in took), f"of {limit:.1f} s")
    assert min(took) < limit, took
    return reader


def service_of(folder: Path) -> None:
    """End a service that a page started, by the numbers that it left."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        content = json.loads((folder / "var/service.json").read_text(encoding="utf-8"))
        for one in numbers(content):
            with contextlib.suppress(psutil.Error):
                if "app." in " ".join(psutil.Process(one).cmdline()):
                    psutil.Process(one).terminate()


def numbers(content: Any) -> list[int]:
    """Return every process number in a record."""
    if not isinstance(content, dict):
        return []
    own = [content["pid"]] if isinstance(content.get("pid"), int) else []
    return own + [one for value in content.values() for one in numbers(value)]
