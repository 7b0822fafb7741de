"""The studio as people use it: a whole project by clicks, from a table to a served model."""

from __future__ import annotations

import contextlib
import csv
import json
import random
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.runs.records import Run
from tests.app.studio import small_project as small
from tests.e2e import project as whole
from tests.e2e.nursery import nursery
from tests.e2e.studio_browser import (
    HEAVY,
    Browser,
    Reader,
    Studio,
    finds,
    needs_browser,
    service_of,
)

pytestmark = [pytest.mark.e2e, needs_browser]
LABELS = 10


def table(path: Path) -> Path:
    """Write what a person uploads: the text stands in a column that nobody would guess."""
    choices = random.Random(3)
    with path.open("w", encoding="utf-8", newline="") as target:
        rows = csv.DictWriter(target, ["comment", "request", "kind"])
        rows.writeheader()
        for one in whole.requests(330):
            rows.writerow({"comment": f"desk {choices.randrange(4)}"} | one)
    return path


def made_tiny(folder: Path) -> None:
    """Give the project that the page made the knobs of a tiny model; its data and labels stay."""
    path = folder / "params.yaml"
    yaml = YAML(typ="safe", pure=True)
    made = yaml.load(path.read_text(encoding="utf-8"))
    tiny: dict[str, Any] = whole.params()
    for name in ("init", "train", "validate", "test", "optimize"):
        made[name] = tiny[name]
    made["train"]["baselines"]["kinds"] = ["majority"]
    made["test"]["learning_curve"]["shares"] = [1.0]
    made["test"]["errors"] |= {"explained": 1}
    made["test"]["robustness"] |= {"records": 10}
    made["optimize"]["variants"] = ["openvino_fp32"]
    made["optimize"]["measuring"] |= {"batches": [1], "lengths": [8]}
    made["clean"]["duplicates"]["near"]["threshold"] = 0.97
    made["serve"] |= {"port": 0, "workers": 1}
    made["monitor"]["enabled"] = False
    with path.open("w", encoding="utf-8") as target:
        YAML(typ="safe", pure=True).dump(made, target)
    subprocess.run(["git", "commit", "-qam", "A tiny model"], cwd=folder, check=True)


def value(folder: Path, section: str, name: str) -> Any:
    content = YAML(typ="safe").load((folder / "params.yaml").read_text(encoding="utf-8"))
    return content[section][name]


def newest(folder: Path) -> Run:
    return following.history(Project(folder), 1)[0]


@pytest.mark.parametrize("forked", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_from_a_table_to_a_served_model_by_clicks(
    tmp_path: Path, browser: Browser, forked: bool
) -> None:
    """In the ordinary run stages are forks of a process that has imported their libraries."""
    folder = whole.Project.create(tmp_path / "project").folder.resolve()
    with contextlib.ExitStack() as stack:
        given = {"MOFANG_LANGUAGE": "en", "MOFANG_WORKERS": "1"}
        if forked:
            given["MOFANG_NURSERY"] = stack.enter_context(nursery())["MOFANG_NURSERY"]
        stack.enter_context(small.swept(Project(folder)))
        studio = stack.enter_context(Studio(folder, **given))
        reader = browser.reader(studio.address)
        try:
            begin(reader, folder, table(tmp_path / "upload.csv"))
            made_tiny(folder)
            change(reader, folder, "train", "epochs")
            reader = run_and_come_back(browser, reader, folder)
            release(reader, folder)
            ask_the_demo(browser, reader)
            change(reader, folder, "test", "bootstrap_samples")
            reader.open("runs")
            reader.press("runs_start")
            label(reader, folder)
            compare(reader, folder)
            assert not studio.incidents(), studio.told()
            assert not studio.modules() & set(HEAVY)
        except BaseException:
            for page in (one for some in browser.inner.contexts for one in some.pages):
                shown = Reader(page, studio.address)
                page.screenshot(path=str(tmp_path / "last.png"))
                print(page.url, shown.trouble, shown.text, sep="\n")
            print(studio.told()[-6000:])
            raise
        finally:
            service_of(folder)


def begin(reader: Reader, folder: Path, path: Path) -> None:
    """Upload a table and say what its columns are."""
    reader.open("start")
    reader.press("start_way", 1)
    reader.give("start_file", path)
    reader.wait(lambda: reader.sees("start_text"), 30.0, "the columns of the upload")
    reader.choose("start_text", "request")
    reader.choose("start_label", "kind")
    reader.wait(lambda: reader.sees("start_own"), 30.0, "the button that starts the project")
    assert reader.button("start_own").is_disabled()  # no licence yet
    reader.write("start_licence", "made for this test")
    reader.press("start_own")
    reader.wait(lambda: "ready to run" in reader.text, 20.0, "the project")
    source = YAML(typ="safe").load((folder / "params.yaml").read_text())["collect"]["sources"][0]
    assert source["reader"]["columns"]["text"] == "request"
    assert source["reader"]["columns"]["label"] == "kind"
    assert (folder / source["path"]).read_bytes() == path.read_bytes()
    assert value(folder, "label", "labels") == sorted(whole.ASKS)


def change(reader: Reader, folder: Path, section: str, name: str) -> None:
    """Make a value larger in its form and save it."""
    before = value(folder, section, name)
    reader.open(section)
    reader.tab(f"{section}_tabs", -1)
    reader.press(f"{section}:level", 1)
    reader.raise_number(f"{section}.{section}.{name}*")
    reader.wait(lambda: reader.button(f"{section}:save").is_enabled(), 10.0, "a change")
    assert value(folder, section, name) == before  # nothing is written before it is saved
    reader.press(f"{section}:save")
    reader.wait(lambda: value(folder, section, name) > before, 10.0, "a saved value")
    reader.wait(lambda: "Saved in params.yaml" in reader.text, 10.0, "a word about it")
    told = subprocess.run(
        ["git", "log", "-1", "--format=%B"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert f"{section}.{name}: {before} → {value(folder, section, name)}" in told


def run_and_come_back(browser: Browser, reader: Reader, folder: Path) -> Reader:
    """Start a run, watch it, close the tab, come back as somebody new, and wait for its end."""
    reader.open("runs")
    reader.press("runs_start")
    reader.wait(lambda: reader.sees("runs_stop"), 15.0, "a run that works")
    reader.wait(lambda: "Running stage 'clean'" in reader.text, 60.0, "its log")
    reader.page.close()
    again = finds(browser, reader.address)
    assert newest(folder).works, "it was over before it was found"
    again.page.goto("about:blank")  # nobody looks, until the last stage
    again.wait(partial(reaches, folder, "optimize"), 420.0, "the last stage")
    again.open("runs")
    again.wait(lambda: not newest(folder).works, 420.0, "the end of the run")
    assert newest(folder).state == "done", newest(folder).log.read_text()
    took = again.wait(lambda: "The run is done." in again.text, 5.0, "the end, on the page")
    print(f"the end was shown after {took:.2f} s")
    again.go("test")
    again.wait(lambda: "accuracy" in again.text.lower(), 10.0, "how good the model is")
    return again


def reaches(folder: Path, stage: str) -> bool:
    """Return whether the newest run works on a stage, or on none any more."""
    run = newest(folder)
    return not run.works or f"Running stage '{stage}'" in run.log.read_text(encoding="utf-8")


def release(reader: Reader, folder: Path) -> None:
    """Make a release of the run and let it answer."""
    reader.go("deploy")
    reader.tab("deploy_tabs", 1)
    reader.wait(lambda: reader.sees("deploy_create"), 15.0, "a place to make a release")
    reader.tick("deploy_at_once")
    reader.press("deploy_create")
    reader.wait(lambda: (folder / "releases/state.json").exists(), 90.0, "a promoted release")
    state = json.loads((folder / "releases/state.json").read_text(encoding="utf-8"))
    reader.wait(lambda: f"{state['stable']}" in reader.text, 15.0, "the release, on the page")
    reader.settle()
    reader.press("deploy_start")
    reader.wait(lambda: reader.sees("deploy_demo"), 90.0, "a service that answers")


def ask_the_demo(browser: Browser, reader: Reader) -> None:
    """Ask the model on the page that everybody may see."""
    address = reader.part("deploy_demo").locator("a").get_attribute("href")
    assert address is not None
    page = browser.tab(address).page
    page.goto(address)
    page.locator("#demo_text textarea").fill("I forgot my password")
    page.locator("#demo_ask").click()
    answer = page.locator("#demo_bars")
    answer.wait_for(state="visible", timeout=20_000)
    assert any(one in answer.inner_text() for one in whole.ASKS)
    page.close()


def label(reader: Reader, folder: Path) -> None:
    """Label ten records by keys alone, and load the page in between."""
    reader.go("label")
    reader.wait(lambda: reader.sees("label_list"), 15.0, "the button that makes a list")
    reader.press("label_list")
    desk = reader.part("label_text_queue")
    reader.wait(desk.is_visible, 120.0, "the first record")
    reader.settle()
    for number in range(LABELS):
        answer(reader, desk, str(1 + number % len(whole.ASKS)))
        if number == LABELS // 2:
            reader.open("label")  # nothing is lost
            reader.wait(desk.is_visible, 15.0, "the record, after loading the page again")
            reader.settle()
    (path,) = (folder / "data/annotations").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({one["record"] for one in lines}) == LABELS


def answer(reader: Reader, desk: Any, key: str) -> None:
    """Press a key, and wait for the next record."""
    before = desk.inner_text()
    reader.page.keyboard.press(key)
    reader.wait(partial(differs, desk, before), 15.0, "the next record")


def differs(part: Any, before: str) -> bool:
    """Return whether a part of the page says something else by now."""
    return bool(part.inner_text() != before)


def compare(reader: Reader, folder: Path) -> None:
    """See what differs between the two runs."""
    reader.wait(lambda: not newest(folder).works, 240.0, "the end of the second run")
    assert newest(folder).state == "done", newest(folder).log.read_text()
    reader.go("runs")
    reader.tab("runs_tabs", 2)
    reader.wait(lambda: "test.bootstrap_samples" in reader.text, 15.0, "the value that differs")
    assert "ids=" in reader.page.url
    other = reader.page.context.new_page()
    shared = Reader(other, reader.address)
    other.goto(reader.page.url)
    shared.settle()
    shared.wait(lambda: "test.bootstrap_samples" in shared.text, 15.0, "the same, by its address")
