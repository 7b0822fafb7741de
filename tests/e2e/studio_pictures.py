"""Pictures of every page of the studio, for the README: ``python -m tests.e2e.studio_pictures``.

They are taken at 1280×800 by a real browser, in both languages, of a copy of a project with a whole
default run; an argument names that project. The copy gets a run, a release and, for the page
Monitor, a day of made traffic about the questions of its test part. Each picture is a PNG with a
palette, smaller than 150 kB: ``docs/images/studio-<view>-<language>.png``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.studio.layout import VIEWS
from app.studio.project_files import Project
from tests.e2e.project import COPIED, NO_CACHE
from tests.e2e.studio_browser import Browser, Reader, Studio, browsing
from tests.helpers import ROOT

DEFAULT = ROOT
IMAGES = ROOT / "docs/images"
LARGEST = 150_000  # bytes of a picture
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
DRAWING = 2.5  # seconds that charts need after the page stands still
COLOURS = (256, 128, 64, 32)
HOURS, A_HOUR = 30, 60
DONE = "done"  # a file that says that a project was laid out whole


def lay_out(source: Path, folder: Path) -> Project:
    """Copy a project with a whole run, with the code and the knobs of this repository.

    DVC is told that the results are those of this code, which they are but for new sections.

    :raises SystemExit: if nothing was run there.
    """
    if not (source / "dvc.lock").exists():
        raise SystemExit(f"{source}: found no dvc.lock, allowed a whole run. Use make run there.")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=NO_CACHE)
    for name in (*COPIED, "params.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name in ("data", "models"):
        shutil.copytree(source / name, folder / name, dirs_exist_ok=True, symlinks=True)
    shutil.copy2(source / "dvc.lock", folder / "dvc.lock")
    for words in (
        ["init", "-q"], ["config", "user.name", "ada"], ["config", "user.email", "ada@localhost"],
        ["add", "-A"], ["commit", "-qm", "The first run"],
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=folder, check=True)
    call(folder, "dvc", "commit", "-f", "-q")
    subprocess.run(["git", "commit", "-qam", "Results"], cwd=folder, check=False)
    return Project(folder.resolve())


def call(folder: Path, module: str, *words: str) -> str:
    """Run a program of the project and return what it printed."""
    tools = str(Path(sys.executable).parent)
    known = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "MOFANG_USER": "ada", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", module, *words], cwd=folder, env=known, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done; what goes wrong leaves its page without that, and not all without any."""
    print(f"{what} …", flush=True)
    try:
        yield
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        print(f"  failed: {error}\n{getattr(error, 'stdout', '') or ''}", flush=True)


def fill(project: Project) -> None:
    """Give a project what some pages show: a release, a list of records to label, traffic."""
    with step("a release"):
        call(project.root, "pipeline.release", "create", "--version=1.0.0", "--promote")
    with step("a list to label"):
        call(project.root, "pipeline.annotation", "queue")
    with step("traffic"):
        visit(project)


def visit(project: Project) -> None:
    """Write a day of requests as the service's recorder does, and let the monitor look at them."""
    from pipeline.traffic import database
    from pipeline.traffic.entries import Feedback
    from pipeline.watching import figures
    from pipeline.watching.look import Watch, look
    from tests.pipeline import watched
    from tests.pipeline.made_traffic import entry

    asked = questions(project)
    choices, end = random.Random(5), figures.floor(datetime.now(UTC), 60)
    hour = timedelta(hours=1)
    made: list[Any] = []
    for number in range(HOURS * A_HOUR):
        at = end - HOURS * hour + number * hour / A_HOUR
        slow = 2.5 if number > (HOURS - 1) * A_HOUR else 1.0  # the last hour was a bad one
        text, label = choices.choice(asked)
        made.append(
            entry(number, [text], at=at, labels=[label],
                  seconds=slow * choices.lognormvariate(-4.3, 0.3))
        )  # fmt: skip
    said = [
        Feedback(end - hour + timedelta(seconds=count), f"request-{count:06d}", 0, "bob",
                 "down" if count % 9 == 0 else "up", None, None)
        for count in range(60)
    ]  # fmt: skip
    with contextlib.chdir(project.root):
        engine = database.open("", project.root)
        watched.write(engine, *made, text="masked")
        watched.write(engine, *said)
        knobs = watched.monitor(proposal__enabled=False)
        look(Watch(engine, knobs, watched.alerting(), [], project.releases), end)
        engine.dispose()


def questions(project: Project) -> list[tuple[str, str]]:
    """Return texts of the test part with their labels."""
    import pyarrow.parquet as pq

    rows = pq.read_table(project.data / "split/test.parquet", columns=["text", "label"]).to_pylist()
    return [(one["text"], one["label"]) for one in rows]


def short_run(reader: Reader) -> None:
    """Let the pages show a run: everything is up to date, so each stage is skipped."""
    reader.open("runs")
    reader.press("runs_start")
    reader.wait(lambda: reader.sees("runs_stop"), 20.0, "a run")
    reader.wait(lambda: not reader.sees("runs_stop"), 120.0, "its end")


def prepared(view: str) -> Callable[[Reader], None] | None:
    """Return what is pressed before a page is taken."""

    def compare(reader: Reader) -> None:
        reader.tab("runs_tabs", 2)

    return {"runs-compare": compare}.get(view)


def take(browser: Browser, studio: Studio, folder: Path, views: Sequence[str]) -> list[str]:
    """Take the pictures; return what is wrong with pages."""
    wrong = []
    for language, locale in LANGUAGES.items():
        reader = browser.reader(studio.address, locale)
        reader.open(language=language)
        for view in views:
            name = f"studio-{view}-{language}.png"
            try:
                reader.open(view.partition("-")[0], language=language)
                act = prepared(view)
                if act is not None:
                    act(reader)
                reader.sleep(DRAWING)
                reader.settle()
                if reader.trouble:
                    wrong.append(f"{view} ({language}): {reader.trouble}")
                wrong += [f"{view} ({language}): {one}" for one in clipped(reader)]
                content = small(reader.page.screenshot())
                (folder / name).write_bytes(content)
                print(f"{name}: {len(content) / 1000:.0f} kB", flush=True)
            except Exception as error:
                wrong.append(f"{view} ({language}): {type(error).__name__}: {error}"[:2000])
        reader.page.context.close()
    return wrong


def clipped(reader: Reader) -> list[str]:
    """Return labels that do not fit their place."""
    found: list[str] = reader.page.evaluate(CLIPPED)
    return [f"clipped: {one}" for one in found]


CLIPPED = """() => [...document.querySelectorAll(
  'button p, [data-testid="stMetricLabel"] p, [data-testid="stMetricValue"] div, [role="tab"] p, '
  + '[data-testid="stWidgetLabel"] p, h1, h2, h3')]
  .filter(one => one.offsetParent && (one.scrollWidth > one.clientWidth + 1)
          && getComputedStyle(one).overflowX !== 'visible')
  .map(one => one.innerText)"""


def small(content: bytes) -> bytes:
    """Return a picture with as many colours as fit the limit."""
    try:
        from PIL import Image
    except ImportError:
        return content
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    for colours in COLOURS:
        target = io.BytesIO()
        reduced = picture.quantize(colours, dither=Image.Dither.NONE)
        reduced.save(target, "PNG", optimize=True)
        if target.tell() < LARGEST:
            break
    return target.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Take all pictures and say what is wrong with pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--into", type=Path, default=IMAGES)
    parser.add_argument("--views", nargs="*", default=[])
    parser.add_argument("--keep", type=Path, help="lay the copy out here, or use the one there")
    given = parser.parse_args(arguments)
    views = given.views or [*(one.name for one in VIEWS), "runs-compare"]
    given.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mofang-pictures-") as place:
        folder = given.keep or Path(place) / "questions"
        fresh = not (folder / "var" / DONE).exists()
        project = lay_out(given.project, folder) if fresh else Project(folder.resolve())
        if fresh:
            fill(project)
        with Studio(project.root) as studio, browsing() as browser:
            if fresh:
                with step("two runs"):
                    reader = browser.reader(studio.address)
                    for _count in range(2):
                        short_run(reader)
                    reader.page.context.close()
                (project.var / DONE).touch()
            wrong = take(browser, studio, given.into, views)
            print("\n".join([*wrong, *studio.incidents()]) or "Nothing is wrong.")


if __name__ == "__main__":
    main()
