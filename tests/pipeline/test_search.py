"""Search: ranges from the schema, every sampler, pruning, kills, and nothing changed unasked."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, search
from pipeline.errors import BusyError, DataError, ModelError, ParamsError, StorageError
from pipeline.modeling import checkpoints, proposing, ranges, tuning
from pipeline.modeling.ranges import Range
from pipeline.params import Params, load
from pipeline.schema.search import Search
from tests.e2e.project import requests
from tests.helpers import ROOT, changed_text

LABELS = ["account", "delivery", "refund"]
RATE, HEAD = "train.learning_rate", "train.head_rate"
# Sections that are written anew, and values that are changed beside their comments.
ANEW: dict[str, Any] = {
    "label.labels": LABELS, "label.mapping": {}, "label.definitions": {},
    "init.method": "scratch", "init.max_tokens": 16, "init.scratch.layers": 1,
    "init.scratch.hidden": 32, "init.scratch.heads": 2, "init.scratch.intermediate": 32,
    "init.scratch.tokenizer.vocabulary": 200, "init.weights.head.std": 0.5,
    "train.freeze_embeddings": False,
}  # fmt: skip
CHANGES: dict[str, Any] = {
    "train.epochs": 2, "train.batch_size": 8, "train.learning_rate": 1e-5, "train.metric": "loss",
    "train.freeze_embeddings": False, "train.threads": 1, "train.precision": "fp32",
    "train.device": "cpu", "search.sampler": "random", "search.trials": 3,
    "search.fields": [RATE, HEAD], "search.prune": False, "search.seed": 1,
}  # fmt: skip


def knobs(**changes: Any) -> Search:
    told: dict[str, Any] = {
        "sampler": "random", "fields": [RATE], "grid_points": 3, "trials": 9, "minutes": 5,
        "prune": False, "seed": 1,
    }  # fmt: skip
    return Search(**(told | changes))


SLOPE = [Range("a", low=0.0, high=10.0), Range("b", choices=("x", "y"))]
PRESENT: tuning.Values = {"a": 9.0, "b": "y"}


def opened(folder: Path, *, greater: bool = True, of: Any = None, **changes: Any) -> tuning.Tuning:
    return tuning.Tuning(folder, of or SLOPE, knobs(**changes), metric="macro_f1",
                         greater_is_better=greater)  # fmt: skip


def hill(values: tuning.Values, watch: tuning.Watch) -> float:
    """Return a figure that is best, 1, at a = 3 with x."""
    assert isinstance(values["a"], float)
    return 1 - abs(values["a"] - 3) / 10 - (values["b"] == "y") / 2


def climb(found: tuning.Tuning, trials: int, attempt: tuning.Attempt = hill) -> list[tuning.Values]:
    """Make trials and return what all trials tried, oldest first."""
    for _trial in range(trials):
        trial = found.ask(PRESENT)
        if trial is None:
            break
        found.run(trial, attempt)
    return [one.user_attrs[tuning.VALUES] for one in found.concluded()]


def test_ranges_come_from_the_schema() -> None:
    known = ranges.known(Params)
    assert known["train.epochs"] == Range("train.epochs", low=1, high=8, whole=True)
    assert known[RATE] == Range(RATE, low=1e-5, high=1e-3, log=True)
    assert known["train.batch_size"].choices == (8, 16, 32, 64)
    assert known["init.scratch.tokenizer.vocabulary"].whole
    assert not known["train.head_rate"].whole  # from 1 to 20, but a number with a fraction
    assert "train.max_gradient_norm" not in known
    for name, one in known.items():
        assert one.points(3), name
        assert all(one.holds(value) for value in one.points(5)), name


def test_each_point_of_a_range_is_one_that_params_may_hold() -> None:
    params, refused = load(ROOT / "params.yaml"), []
    for name, one in ranges.known(Params).items():
        for value in one.points(2):
            try:
                made = search.with_values(params, {name: value})
            except ParamsError as error:
                refused.append(str(error))
            else:
                assert search.value_at(made, name) == value
    assert all("values that fit each other" in one for one in refused), refused


@pytest.mark.parametrize(
    ("one", "count", "expected"),
    [
        (Range("a", low=0.0, high=1.0), 3, [0.0, 0.5, 1.0]),
        (Range("a", low=1e-5, high=1e-3, log=True), 3, [1e-5, 1e-4, 1e-3]),
        (Range("a", low=1, high=8, whole=True), 3, [1, 4, 8]),  # round(4.5) is 4
        (Range("a", low=1, high=3, whole=True), 5, [1, 2, 3]),
        (Range("a", low=10, high=1000, whole=True, log=True), 3, [10, 100, 1000]),
        (Range("a", choices=("x", "y")), 2, ["x", "y"]),
    ],
)
def test_points_by_hand(one: Range, count: int, expected: list[Any]) -> None:
    found = one.points(count)
    assert found == pytest.approx(expected) if isinstance(expected[0], float) else found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("one", "value", "held"),
    [
        (Range("a", low=1, high=8, whole=True), 8, True),
        (Range("a", low=1, high=8, whole=True), 9, False),
        (Range("a", low=1, high=8, whole=True), True, False),
        (Range("a", low=0.0, high=1.0), 0.5, True),
        (Range("a", low=0.0, high=1.0), None, False),
        (Range("a", choices=(8, 16)), 16, True),
        (Range("a", choices=(8, 16)), 24, False),
    ],
)
def test_what_a_range_holds(one: Range, value: object, held: bool) -> None:
    assert one.holds(value) is held


def test_values_have_few_digits_and_stay_inside() -> None:
    assert Range("a", low=0.0, high=1.0).value(0.123456) == 0.123
    assert Range("a", low=0.6, high=1.0).value(0.60001) == 0.6
    assert Range("a", low=1e-5, high=1e-3, log=True).value(3.14159e-4) == 3.14e-4


def test_a_field_without_a_range_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(ParamsError) as caught:
        ranges.asked(["train.seed", RATE, "train.nothing"], Params)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("params.yaml, search.fields, train.seed: found a field without a")
    assert all(RATE in line and HEAD in line for line in lines)


@pytest.mark.parametrize("sampler", ["grid", "random", "bayesian"])
def test_each_sampler_repeats_for_a_seed(tmp_path: Path, sampler: str) -> None:
    one = climb(opened(tmp_path / "one", sampler=sampler), 5)
    same = climb(opened(tmp_path / "same", sampler=sampler), 5)
    other = climb(opened(tmp_path / "other", sampler=sampler, seed=2), 5)
    assert one == same != other
    assert one[0] == other[0] == PRESENT  # to know what is gained
    assert all(range_.holds(values[range_.field]) for values in one for range_ in SLOPE)


@pytest.mark.parametrize("sampler", ["grid", "random", "bayesian"])
def test_a_resumed_search_tries_what_an_uninterrupted_one_would(
    tmp_path: Path, sampler: str
) -> None:
    whole = climb(opened(tmp_path / "whole", sampler=sampler, grid_points=8), 12)
    for made in range(0, 12, 4):
        found = opened(tmp_path / "parts", sampler=sampler, grid_points=8)
        found.clear()
        climb(found, 4)
        if made == 4:  # a process that dies within a trial: it is running for ever
            assert found.ask(PRESENT) is not None
    found = opened(tmp_path / "parts", sampler=sampler, grid_points=8)
    assert climb(found, 0) == whole
    states = [row[1] for row in found.table()[1]]
    assert states.count(tuning.INTERRUPTED) == 1


def test_a_grid_tries_every_combination_once(tmp_path: Path) -> None:
    tried = climb(opened(tmp_path, sampler="grid"), 50)
    assert tried[0] == PRESENT
    expected = [{"a": a, "b": b} for a in (0.0, 5.0, 10.0) for b in ("x", "y")]
    assert sorted(map(repr, tried[1:])) == sorted(map(repr, expected))


def test_bayesian_finds_the_hill(tmp_path: Path) -> None:
    found = opened(tmp_path, sampler="bayesian")
    climb(found, 30)
    best = found.best_values()
    assert best is not None
    assert best["b"] == "x"
    assert isinstance(best["a"], float)
    assert abs(best["a"] - 3) < 0.5


def test_the_best_follows_the_direction(tmp_path: Path) -> None:
    for greater, expected in ((True, 5), (False, 2)):
        found = opened(tmp_path / str(greater), greater=greater)
        figures = iter([3.0, 5.0, 2.0, 5.0])

        def attempt(
            values: tuning.Values, watch: tuning.Watch, told: Iterator[float] = figures
        ) -> float:
            return next(told)

        climb(found, 4, attempt)
        assert found.done()[0].value == expected
    assert found.done()[0].number == 2


def test_trials_that_fall_behind_are_stopped(tmp_path: Path) -> None:
    found = opened(tmp_path, prune=True)
    epochs: list[int] = []

    def attempt(values: tuning.Values, watch: tuning.Watch) -> float:
        good = len(epochs) < tuning.UNPRUNED
        epochs.append(0)
        for epoch in (1, 2, 3):
            epochs[-1] = epoch
            watch(float(epoch), {"macro_f1": 0.5 + 0.1 * epoch if good else 0.1, "loss": 9.0})
        return 0.8

    climb(found, 7, attempt)
    assert epochs == [3, 3, 3, 3, 3, 1, 1]
    rows = found.table()[1]
    assert [row[1] for row in rows] == ["done"] * 5 + ["pruned"] * 2
    assert rows[5][2:4] == [0.1, 1]
    assert len(found.done()) == 5


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelError.at("train, step 7", found="a loss that is not a number", allowed="x", fix="Y."),
         "train, step 7: found a loss that is not a number"),
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (MemoryError(), "MemoryError"),
        (ParamsError.at("trial", found="a\nb", allowed="c", fix="D."), "trial: found a b"),
    ],
)  # fmt: skip
def test_a_trial_that_fails_is_noted_and_the_search_goes_on(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    found = opened(tmp_path)
    count = iter(range(9))

    def attempt(values: tuning.Values, watch: tuning.Watch) -> float:
        if next(count) == 1:
            raise error
        return hill(values, watch)

    tried = climb(found, 3, attempt)
    assert len(tried) == 3
    assert tried[1] not in (tried[0], tried[2])
    states, reasons = ([row[at] for row in found.table()[1]] for at in (1, -1))
    assert states == ["done", "failed", "done"]
    assert reasons[1].startswith(reason)


def test_a_figure_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    found = opened(tmp_path)
    climb(found, 1, lambda values, watch: float("nan"))
    assert [row[1] for row in found.table()[1]] == ["failed"]
    assert found.best_values() is None


@pytest.mark.parametrize("error", [
    StorageError.at("disk", found="full", allowed="room", fix="Free some."),
    BusyError.at("work", found="x", allowed="y", fix="Z."),
    KeyboardInterrupt(),
])  # fmt: skip
def test_what_is_no_fault_of_the_values_ends_the_search(
    tmp_path: Path, error: BaseException
) -> None:
    found = opened(tmp_path)

    def attempt(values: tuning.Values, watch: tuning.Watch) -> float:
        raise error

    for _again in range(tuning.DEATHS + 1):
        with pytest.raises(type(error)):
            climb(found, 1, attempt)
    assert found.concluded() == []
    assert climb(found, 1) == [PRESENT]


def test_values_that_kill_the_process_again_and_again_are_left(tmp_path: Path) -> None:
    for _death in range(tuning.DEATHS):
        found = opened(tmp_path)
        found.clear()
        trial = found.ask(PRESENT)
        assert trial is not None
        assert trial.user_attrs[tuning.VALUES] == PRESENT
    found = opened(tmp_path)
    found.clear()
    assert climb(found, 1)[-1] != PRESENT


def test_a_proposal_by_hand(tmp_path: Path) -> None:
    found = opened(tmp_path)
    figures = iter([0.5, 0.4, 0.75])
    tried = climb(found, 3, lambda values, watch: next(figures))
    told = proposing.proposal(found, PRESENT)
    assert (told["present"], told["best"], told["gain"], told["trial"]) == (0.5, 0.75, 0.25, 2)
    assert told["trials"] == {"done": 3}
    assert told["changes"] == {
        field: {"old": PRESENT[field], "new": tried[2][field]}
        for field in PRESENT
        if tried[2][field] != PRESENT[field]
    }
    assert told["changes"]
    nothing = proposing.proposal(found, tried[2])
    assert (nothing["gain"], nothing["changes"]) == (0.0, {})


@pytest.fixture
def tiny(project: Path) -> Path:
    """A project with records, params of its own and a start that was drawn; no test part."""
    fill(project)
    return project


def fill(folder: Path) -> None:
    import pyarrow as pa

    rows = [{"id": str(at), "text": one["request"], "label": one["kind"], "source": "made"}
            for at, one in enumerate(requests(150))]  # fmt: skip
    (folder / artifacts.SPLIT).mkdir(parents=True)
    for name, part in (("train", rows[:96]), ("validation", rows[96:144])):
        table = pa.Table.from_pylist(part, schema=artifacts.record_schema())
        artifacts.write_records(folder / artifacts.part(name), table)
    (folder / "params.yaml").write_text(params_text(), encoding="utf-8")
    start = folder / artifacts.INIT / "model"
    start.mkdir(parents=True)
    search.write_start(load(folder / "params.yaml"), folder / artifacts.part("train"), start)
    artifacts.write_manifest(folder / artifacts.INIT)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder after a whole search, and what it said; tests copy it."""
    folder, said = tmp_path_factory.mktemp("searched"), io.StringIO()
    fill(folder)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(folder)
        patch.setenv("MOFANG_LANGUAGE", "en")
        search.search(load())
    return folder, said.getvalue()


@cache
def params_text() -> str:
    """Return the project's own params.yaml, made tiny, with most of its comments."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    anew = json.loads(changed_text(ANEW))
    for name, after in (("label", "split"), ("init", "train")):
        start, end = text.index(f"\n{name}:") + 1, text.index(f"\n{after}:") + 1
        text = f"{text[:start]}{name}: {json.dumps(anew[name])}\n\n{text[end:]}"
    for where, value in CHANGES.items():
        text = replaced(text, where, value)
    return text


def replaced(text: str, where: str, value: Any) -> str:
    """Return a text with another value in one line; faster than ``editing``, which checks all."""
    section, _dot, name = where.partition(".")
    start = text.index(f"\n{section}:")
    pattern = rf"(?m)^(  {name}: )(\[.*?\]|{{.*?}}|\S+)"
    changed, count = re.subn(
        pattern, lambda found: found[1] + json.dumps(value), text[start:], count=1
    )
    assert count == 1
    return text[:start] + changed


def put(where: str, value: Any) -> None:
    """Change one value of the params.yaml of the folder in which the test runs."""
    path = Path("params.yaml")
    path.write_text(replaced(path.read_text(encoding="utf-8"), where, value), encoding="utf-8")


def study(folder: Path) -> Path:
    found = [path.parent for path in (folder / search.FOLDER).glob(f"*/{tuning.DATABASE}")]
    assert len(found) == 1
    return found[0]


def left_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / search.FOLDER).iterdir()} - {study(folder).name}


def test_a_search_from_start_to_apply(
    searched: tuple[Path, str],
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No test part lies there at all: whoever opened it would fail."""
    tiny, said = project, searched[1]
    shutil.copytree(searched[0], tiny, dirs_exist_ok=True)
    before = params_text().encode()
    assert (tiny / "params.yaml").read_bytes() == before
    assert left_in(tiny) <= {"lock", "holder.json"}  # no checkpoint, no held file
    folder = study(tiny)
    assert {path.name for path in folder.iterdir()} >= {
        tuning.DATABASE, proposing.TABLE, proposing.PROPOSAL, proposing.PARALLEL}  # fmt: skip
    table = (folder / proposing.TABLE).read_text().splitlines()
    assert table[0] == f"trial,state,loss,epochs,seconds,{RATE},{HEAD},reason"
    assert [line.split(",")[1] for line in table[1:]] == ["done"] * 3
    proposed = artifacts.read_json(folder / proposing.PROPOSAL)
    assert proposed["gain"] > 0
    assert f"{proposed['present']:.4f} → {proposed['best']:.4f}" in said
    new = proposed["changes"][RATE]["new"]
    assert f"{RATE}" in said
    assert f"1e-05 → {new}" in said

    trials = len(table)
    search.search(load())  # the budget is spent: nothing is trained again
    assert len((folder / proposing.TABLE).read_text().splitlines()) == trials

    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["search", "--show"])
    search.main()
    assert capsys.readouterr().out.count("done") >= 3
    monkeypatch.setattr(sys, "argv", ["search", "--apply"])
    search.main()
    after = (tiny / "params.yaml").read_text().splitlines()
    old = before.decode().splitlines()
    changed = [(a, b) for a, b in zip(old, after, strict=True) if a != b]
    assert 1 <= len(changed) <= 2
    for a, b in changed:
        assert a.partition("#")[2] == b.partition("#")[2]
    assert load().train.learning_rate == new
    search.main()
    assert "holds the proposed values already" in capsys.readouterr().out

    put(RATE, 5e-4)
    with pytest.raises(ParamsError, match=r"learning_rate: found 0\.0005, allowed 1e-05, as it"):
        search.main()
    assert load().train.learning_rate == 5e-4


def test_a_search_over_what_training_starts_from(tiny: Path) -> None:
    """Each trial's start is built anew; models/init is not needed, and not touched."""
    put("search.fields", ["init.weights.head.std", "init.scratch.layers"])
    put("search.sampler", "grid")
    put("search.grid_points", 2)
    put("search.trials", 3)
    put("train.epochs", 1)
    shutil.rmtree(tiny / artifacts.INIT)
    search.search(load())
    folder = study(tiny)
    rows = [line.split(",") for line in (folder / proposing.TABLE).read_text().splitlines()[1:]]
    assert [row[1] for row in rows] == ["done"] * 3
    assert len({(row[5], row[6]) for row in rows}) == 3
    assert len({row[2] for row in rows}) == 3  # another start, another loss
    assert left_in(tiny) <= {"lock", "holder.json"}


def test_the_name_of_a_search_follows_what_trials_depend_on(tiny: Path) -> None:
    def name() -> str:
        params = load()
        wanted = ranges.asked(params.search.fields, Params)
        return search.fingerprint(params, wanted, search.sources(params))

    first = name()
    for where, value, same in (
        ("search.trials", 99, True),
        ("search.minutes", 99, True),
        (RATE, 3e-4, True),
        ("train.costs", {"price_per_hour": 2.0, "currency": "CNY", "country": "CHN"}, True),
        ("search.grid_points", 9, True),  # the sampler is random
        ("search.seed", 99, False),
        ("search.sampler", "bayesian", False),
        ("train.batch_size", 16, False),
        ("search.fields", [RATE], False),
    ):
        before = (tiny / "params.yaml").read_bytes()
        put(where, value)
        assert (name() == first) is same, where
        (tiny / "params.yaml").write_bytes(before)
    path = artifacts.part("validation")
    artifacts.write_records(path, artifacts.read_records(path).slice(1))
    assert name() != first


def test_only_one_search_at_a_time_and_training_beside_it(tiny: Path) -> None:
    with checkpoints.only_one(search.FOLDER), pytest.raises(BusyError):
        search.search(load())
    with checkpoints.only_one(artifacts.WORK / "train"):
        put("search.trials", 1)
        search.search(load())
    assert study(tiny)


def test_inputs_that_are_replaced_meanwhile_do_not_matter(tiny: Path) -> None:
    params = load()
    content = artifacts.part("train").read_bytes()
    with search.held(search.sources(params)) as inputs:
        shutil.rmtree(artifacts.INIT)
        artifacts.part("train").unlink()
        artifacts.part("train").write_bytes(b"other")
        assert inputs["train.parquet"].read_bytes() == content
        assert inputs["model/config.json"].exists()
    assert not (search.FOLDER / search.HELD).exists()


def test_what_is_missing_is_named(tiny: Path) -> None:
    put("train.metric", "r2")
    with pytest.raises(ParamsError, match=r"train\.metric: found 'r2', allowed accuracy"):
        search.search(load())
    put("train.metric", "loss")
    put("search.fields", [RATE, "train.loss.focal_gamma"])
    with pytest.raises(ParamsError, match="loss, while the search changes what loss means"):
        search.search(load())
    with pytest.raises(DataError, match="no search over these fields"):
        search.apply(load())
    put("train.metric", "macro_f1")
    artifacts.part("train").unlink()
    with pytest.raises(DataError, match="records that split wrote"):
        search.search(load())


def test_figures_need_no_network(tiny: Path) -> None:
    """The pages hold plotly itself, and the figures what was tried."""
    found = opened(tiny / "study")
    climb(found, 6)
    proposing.draw(found, tiny / "study")
    for name in (proposing.PARALLEL, proposing.IMPORTANCE):
        page = (tiny / "study" / name).read_text(encoding="utf-8")
        assert len(page) > 3_000_000
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
        told = re.search(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"", page, re.DOTALL)
        assert told is not None
        traces = json.loads(told.group(1))
        if name == proposing.PARALLEL:
            lines = [trace["customdata"] for trace in traces if "customdata" in trace]
            named = [[one for one, _value in line] for line in lines]
            assert named == [["macro_f1", "a", "b"]] * 6
        else:
            shares = {y: x for one in traces for x, y in zip(one["x"], one["y"], strict=True)}
            assert sorted(shares) == ["a", "b"]
            assert sum(shares.values()) == pytest.approx(1)


OFFLINE = """
import runpy, sys
def refuse(event, told):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"network: {told}")
sys.addaudithook(refuse)
sys.argv = ["search"]
runpy.run_module("pipeline.search", run_name="__main__")
"""


def start_search(folder: Path) -> subprocess.Popen[str]:
    told = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MOFANG_LANGUAGE": "en",
                         "MOFANG_PROGRESS": str(folder / "progress.jsonl")}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", OFFLINE], cwd=folder, env=told, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.e2e
def test_a_killed_search_goes_on_and_proposes_the_same(
    searched: tuple[Path, str], tmp_path: Path
) -> None:
    """Killed within its second trial, it ends with the trials of one that was not."""
    whole, killed = searched[0], tmp_path / "killed"
    assert "Proposed for params.yaml" in searched[1]
    fill(killed)
    process = start_search(killed)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial 0"):
            break
    until = time.monotonic() + 60
    while not list((killed / search.FOLDER / search.WORKING).glob("train/checkpoint-*")):
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (killed / search.FOLDER / search.WORKING).exists()

    said = start_search(killed).communicate(timeout=300)[0]
    assert "Proposed for params.yaml" in said, said
    rows = [
        [line.split(",") for line in (study(one) / proposing.TABLE).read_text().splitlines()[1:]]
        for one in (whole, killed)
    ]
    assert [row[1] for row in rows[1]] == ["done", "interrupted", "done", "done"]
    kept = [row for row in rows[1] if row[1] == "done"]
    told = [[(row[2], row[5], row[6]) for row in one] for one in (rows[0], kept)]
    assert told[0] == told[1]  # the figures to the last digit
    assert left_in(killed) <= {"lock", "holder.json"}
