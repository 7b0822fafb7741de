"""Proposals: what they say, what approving changes, and every step written down."""

from __future__ import annotations

import difflib
import functools
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from pipeline import artifacts, editing, params
from pipeline.errors import BusyError, DataError, GateError, ParamsError
from pipeline.i18n import _
from pipeline.params import check, load
from pipeline.releases.ledger import Block, Canary, Event, State
from pipeline.sources.file import open_source
from pipeline.traffic import database, privacy
from pipeline.traffic.entries import Feedback
from pipeline.watching import changing, journal, proposal, retraining, selecting
from pipeline.watching.retraining import STEPS, Step
from tests.helpers import changed_text, params_text
from tests.pipeline.made_traffic import NOON, entry
from tests.pipeline.watched import monitor, write

KNOBS = monitor().proposal
LATER = NOON + timedelta(hours=1)
RELEASES = Path("releases")
REAL_PARSE = params.parse


@pytest.fixture(autouse=True)
def _parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text of params.yaml is parsed once for all tests: that takes half a second."""
    for place in (params, editing, changing):
        monkeypatch.setattr(place, "parse", lambda text, path: parsed(text))


@functools.cache
def parsed(text: str) -> Any:
    return REAL_PARSE(text, Path("params.yaml"))


@pytest.fixture
def engine(project: Path) -> Iterator[Engine]:
    """A project with masked texts of eight requests: three doubtful, one of them disputed."""
    Path("params.yaml").write_text(params_text(), encoding="utf-8")
    made = database.open("", project)
    for number in range(8):
        sure = 0.55 if number < 3 else 0.95
        text = f"Where is city {number}, call 13912345678 <b>物</b> | `x` ?"
        scores = np.array([[sure, 1 - sure]])
        write(made, entry(number, [text], scores=scores), text="masked")
    write(made, entry(8, ["Where is city 0, call 13912345678 <b>物</b> | `x` ?"]), text="masked")
    write(made, Feedback(NOON, "request-000002", 0, "anna", "down", "number", "wrong"))
    yield made
    made.dispose()


def cause(at: datetime = NOON) -> proposal.Cause:
    return proposal.Cause("drift", at, [_("{name}: <script> | evil", name="texts")], {"kinds": []})


def proposed(engine: Engine, **more: Any) -> dict[str, Any]:
    made = proposal.write(engine, [cause()], KNOBS, LATER, version=more.get("version", "1.2.0"))
    assert made is not None
    return made


def test_disputed_requests_come_first_and_each_text_once(engine: Engine) -> None:
    found = selecting.worth_labelling(engine, NOON, most=10, uncertain=0.7)
    assert [one["why"] for one in found] == ["disputed", "uncertain", "uncertain"]
    assert found[0]["request"] == "request-000002"
    assert all("13912345678" not in one["text"] and "[PHONE]" in one["text"] for one in found)
    assert len(selecting.worth_labelling(engine, NOON, most=2, uncertain=0.7)) == 2
    assert selecting.worth_labelling(engine, NOON, most=0, uncertain=0.7) == []
    counts = selecting.counts(engine, NOON, 0.7)
    assert counts == {"disputed": 1, "differed": 0, "uncertain": 3}


def test_a_proposal_says_what_why_and_how(engine: Engine) -> None:
    made = proposed(engine)
    assert made["state"] == "proposed"
    assert made["label"]["texts"] == 3
    assert "+  validate" not in made["params"]["diff"]
    assert "+  released: 1.2.0" in made["params"]["diff"]
    assert f"+    - name: requests-{made['id']}" in made["params"]["diff"]
    assert made["commands"][0] == f"python -m pipeline.monitor approve {made['id']}"
    page = Path(f"var/proposals/{made['id']}.md").read_text(encoding="utf-8")
    assert "\\<script\\>" in page
    assert "<script>" not in page
    everything = page + Path(f"var/proposals/{made['id']}.json").read_text(encoding="utf-8")
    assert "city" not in everything, "no text of a request before somebody approves"
    assert load() == check(params_text().encode()), "nothing is changed yet"
    assert not Path("data/raw/requests").exists()


def test_one_open_proposal_is_enough(engine: Engine) -> None:
    first = proposed(engine)
    assert proposal.write(engine, [cause()], KNOBS, LATER, version=None) is None
    assert proposal.write(engine, [], KNOBS, LATER, version=None) is None
    proposal.reject(engine, first["id"], LATER, by="anna", why="no budget")
    assert proposal.write(engine, [cause()], KNOBS, LATER, version=None) is not None


def test_approving_changes_exactly_what_was_shown(engine: Engine) -> None:
    made = proposed(engine)
    before = Path("params.yaml").read_text(encoding="utf-8")
    done = proposal.approve(engine, made["id"], LATER, by="anna")
    after = Path("params.yaml").read_text(encoding="utf-8")
    shown = "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True),
                                         "a/params.yaml", "b/params.yaml"))  # fmt: skip
    assert shown == made["params"]["diff"]
    gone = [line for line in shown.splitlines() if line.startswith("-") and line[1] != "-"]
    assert len(gone) == 1, "the release that is followed; every other byte stays"
    now = load()
    assert now.validate_.released == "1.2.0"
    source = now.collect.sources[-1]
    rows = list(open_source(source).rows)  # as the stage collect reads it
    assert len(rows) == 3
    assert all("[PHONE]" in row.text and row.label is None for row in rows)
    assert done["state"] == "approved"
    steps = [(one["step"], one["by"]) for one in done["steps"]]
    assert steps == [("proposed", "monitor"), ("approved", "anna")]
    assert [one.data["state"] for one in journal.read(engine, (proposal.EVENT,))] == [
        "proposed", "approved",
    ]  # fmt: skip
    with pytest.raises(DataError, match="approved"):
        proposal.approve(engine, made["id"], LATER, by="anna")


def test_approved_requests_stand_first_in_the_queue_of_annotators(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real stages: collected, cleaned, without a label, and so first in the queue."""
    from pipeline.clean import clean
    from pipeline.collect import collect
    from pipeline.records import desk

    known = changing.source_of("base", Path("data/raw/base.csv"), True)
    columns = {**known["reader"]["columns"], "label": "label", "created_at": None, "meta": []}
    known["reader"] |= {"format": "csv", "columns": columns}
    text = changed_text({"collect.sources": [known], "label.mapping": {}})
    Path("params.yaml").write_text(text, encoding="utf-8")
    words = ["location,Where is the harbour of town", "number,How many people live in town"]
    rows = [f"{words[at % 2]} {at} ?" for at in range(30)]
    Path("data/raw/base.csv").write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    made = proposed(engine)
    proposal.approve(engine, made["id"], LATER, by="anna")
    now = load()
    collect(now)
    clean(now)
    # Within the unlabelled ones a model would rank; to load one takes longer than all the rest.
    monkeypatch.setattr(desk, "uncertainty", lambda *asked: ({}, desk.CHANCE))
    waiting = desk.queue(desk.Desk.load(now), now.label)
    first = waiting[: made["label"]["texts"]]
    assert {one["why"] for one in first} == {"unlabelled"}
    assert all("Where is city" in one["text"] for one in first)


def test_other_params_or_no_text_left_refuse_the_approval(engine: Engine) -> None:
    made = proposed(engine)
    Path("params.yaml").write_text(params_text() + "# edited\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="another content"):
        proposal.approve(engine, made["id"], LATER, by="anna")
    assert Path("params.yaml").read_text(encoding="utf-8").endswith("# edited\n")
    Path("params.yaml").write_text(params_text(), encoding="utf-8")
    for number in range(9):
        privacy.forget(engine, request_id=f"request-{number:06d}")
    with pytest.raises(DataError, match="no text left"):
        proposal.approve(engine, made["id"], LATER, by="anna")
    assert load() == check(params_text().encode())
    assert proposal.read(made["id"])["state"] == "proposed"


def test_what_was_forgotten_does_not_come_back(engine: Engine) -> None:
    made = proposed(engine)
    privacy.forget(engine, request_id="request-000002")
    proposal.approve(engine, made["id"], LATER, by="anna")
    lines = Path(made["label"]["file"]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["request"] for line in lines] != []
    assert not any("request-000002" in line for line in lines)


def test_without_kept_texts_it_says_what_to_collect(project: Path) -> None:
    Path("params.yaml").write_text(params_text(), encoding="utf-8")
    engine = database.open("", project)
    write(engine, entry(1, scores=np.array([[0.55, 0.45]])))
    made = proposal.write(engine, [cause()], KNOBS, LATER, version="1.2.0")
    assert made is not None
    assert made["label"]["file"] is None
    assert "traffic.text" in " ".join(made["what_to_collect"]["en"])
    assert "collect" not in made["params"]["diff"]
    proposal.approve(engine, made["id"], LATER, by="anna")
    assert load().validate_.released == "1.2.0"
    engine.dispose()


@pytest.mark.parametrize("name", ["../params", "a/b", "", "x" * 5, "a.b", "..", "ID\n"])
def test_a_name_is_never_a_path(engine: Engine, name: str) -> None:
    with pytest.raises(DataError, match="no such proposal"):
        proposal.approve(engine, name, LATER, by="anna")


@pytest.mark.parametrize("end", ["\n", "", "\n# the end\n"])
@pytest.mark.parametrize(
    "style", ["", "flow", "same column"], ids=["as it is", "flow", "as far left as its name"]
)
def test_a_source_is_added_however_the_list_is_written(style: str, end: str) -> None:
    text = params_text()
    if style == "flow":
        one = load_sources(text)[0]
        start, stop = text.index("  sources:"), text.index("  merge:")
        flow = json.dumps([one], ensure_ascii=False)
        text = f"{text[:start]}  sources: {flow}\n{text[stop:]}"
    if style == "same column":
        start, stop = text.index("    - name: trec"), text.index("  merge:")
        lines = [line[2:] for line in text[start:stop].splitlines()]
        text = text[:start] + "\n".join(lines) + "\n" + text[stop:]
    text = text.rstrip("\n") + end
    source = changing.source_of("20261123-120000-drift", Path("data/raw/requests/x.jsonl"), True)
    new = changing.changed(text.encode(), source=source, released=None)
    sources = check(new).collect.sources
    assert [one.name for one in sources][-1] == "requests-20261123-120000-drift"
    assert len(sources) == 2
    if style != "flow":
        added = [line for line in difflib.ndiff(text.splitlines(), new.decode().splitlines())
                 if line[0] in "-?"]  # fmt: skip
        assert added == []


def load_sources(text: str) -> list[Any]:
    from ruamel.yaml import YAML

    found: list[Any] = YAML(typ="safe", pure=True).load(text)["collect"]["sources"]
    return found


def command(code: str) -> Any:
    """Return what makes the command of a step: Python that runs ``code``."""
    return lambda content: [sys.executable, "-c", code]


NEW_RELEASE = """
import json, pathlib
folder = pathlib.Path("releases/1.3.0"); folder.mkdir(parents=True)
(folder / "origin.json").write_text("{}")
(folder / "manifest.json").write_text(json.dumps({"origin.json": {"bytes": 2, "sha256": ""}}))
"""
TRAINS = "import pathlib, sys; print('gate not met'); sys.exit(not pathlib.Path('mended').exists())"


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps run short commands in place of a training of minutes."""
    codes = {"collect": "print('collected')", "queue": "", "train": TRAINS, "release": NEW_RELEASE}
    made = [
        Step(one.name, one.before, one.after, command(codes[one.name]))
        if one.name in codes
        else Step(one.name, one.before, one.after, lambda content: [
            sys.executable, "-c", "import sys; sys.exit(sys.argv[1] != '1.3.0')",
            content["new_version"]])
        for one in STEPS
    ]  # fmt: skip
    monkeypatch.setattr(retraining, "STEPS", made)


def go_on(engine: Engine, name: str, *, labelled: bool = False) -> list[str]:
    steps = retraining.proceed(
        engine, name, lambda: LATER, by="anna", labelled=labelled, releases=RELEASES
    )
    return [str(line) for line in steps]


def test_from_approval_to_canary_with_a_failure_between(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    name = proposed(engine)["id"]
    with pytest.raises(DataError, match="proposed"):
        go_on(engine, name)
    proposal.approve(engine, name, LATER, by="anna")
    assert "People label now" in go_on(engine, name)[-1]
    assert proposal.read(name)["state"] == "labelling"
    assert len(go_on(engine, name)) == 1, "still people's turn"
    with pytest.raises(GateError, match="gate not met"):
        go_on(engine, name, labelled=True)
    failed = proposal.read(name)
    assert failed["state"] == "training"
    assert (failed["steps"][-1]["outcome"], failed["steps"][-1]["note"]) == (
        "failed", "gate not met",
    )  # fmt: skip
    Path("mended").touch()
    assert "1.3.0" in go_on(engine, name)[-1]
    done = proposal.read(name)
    assert (done["state"], done["new_version"]) == ("canary", "1.3.0")
    names = [one["step"] for one in done["steps"] if one["outcome"] == "done"]
    assert names == ["proposed", "approved", "collect", "queue", "labelled", "train", "release",
                     "canary"]  # fmt: skip
    assert "collected" in Path(f"var/proposals/{name}.collect.log").read_text(encoding="utf-8")
    assert len(journal.read(engine, (proposal.EVENT,))) == len(done["steps"])


def canary_of(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in(monkeypatch)
    Path("mended").touch()
    name = str(proposed(engine)["id"])
    proposal.approve(engine, name, LATER, by="anna")
    go_on(engine, name)
    go_on(engine, name, labelled=True)
    return name


def save_state(**values: Any) -> None:
    RELEASES.mkdir(exist_ok=True)
    artifacts.write_json(RELEASES / "state.json", State(**values).model_dump())


def test_promotion_and_rollback_end_a_proposal(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = (LATER + timedelta(minutes=5)).isoformat()
    name = canary_of(engine, monkeypatch)
    running = Canary(version="1.3.0", share=10, shadow=False, since=at)
    save_state(stable="1.2.0", canary=running)
    assert retraining.settle(engine, LATER, RELEASES) == []
    event = Event(at=at, what="promote", version="1.3.0", before="1.2.0", by="bert", why=None)
    save_state(stable="1.3.0", events=[event])
    assert [one["state"] for one in retraining.settle(engine, LATER, RELEASES)] == ["promoted"]
    assert proposal.read(name)["steps"][-1]["by"] == "bert"
    assert retraining.settle(engine, LATER, RELEASES) == []


def test_a_canary_that_the_guard_ended_is_rolled_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = (LATER + timedelta(minutes=5)).isoformat()
    name = canary_of(engine, monkeypatch)
    why = {"en": "p95 too high", "zh": "太慢"}
    event = Event(at=at, what="end_canary", version="1.3.0", before=None, by="guard", why=why)
    save_state(stable="1.2.0", events=[event],
               blocked={"1.3.0": Block(why=why, at=at, model=None)})  # fmt: skip
    (done,) = retraining.settle(engine, LATER, RELEASES)
    assert done["state"] == "rolled back"
    assert (done["steps"][-1]["by"], done["steps"][-1]["note"]) == ("guard", "p95 too high")
    assert proposal.read(name)["state"] == "rolled back"


def test_one_run_at_a_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    name = proposed(engine)["id"]
    proposal.approve(engine, name, LATER, by="anna")
    with retraining.only_one(name), pytest.raises(BusyError):
        go_on(engine, name)


def test_the_real_commands_are_what_a_person_would_type() -> None:
    content = {"new_version": "1.3.0", "canary_share": 10}
    typed = {one.name: retraining.shown(one.argv(content)) for one in STEPS}
    assert typed == {
        "collect": "python -m dvc repro clean",
        "queue": "python -m pipeline.annotation queue",
        "train": "python -m dvc repro",
        "release": "python -m pipeline.release create",
        "canary": "python -m pipeline.release canary 1.3.0 --share 10",
    }
