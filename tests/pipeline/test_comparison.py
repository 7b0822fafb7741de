"""The table of variants: how it is measured, what it says, and which of them ships."""

from __future__ import annotations

import csv
import os
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.errors import GateError, ModelError
from pipeline.evaluation import comparison, gates, pareto, shipping
from pipeline.evaluation.comparison import ORIGINAL, Comparison, Line, agreement, choose, lost
from pipeline.i18n import Message
from pipeline.modeling import bench, measuring, timing
from pipeline.modeling.bench import Child, Reply
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.timing import Speed
from pipeline.progress import Progress
from pipeline.steps.spreadsheet import RUNS
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.pipeline import families

ONE, SEVERAL = tasks.of(SINGLE, ["a", "b"]), tasks.of(MULTI, ["a", "b"])
NUMBER = tasks.of(REGRESSION, [])
HOLDS: dict[str, Any] = {"holds": True, "refused": [], "disagreements": []}
REFUSED: dict[str, Any] = {"holds": False, "refused": ["labels"], "disagreements": []}


def speed(latency: float = 2.0) -> Speed:
    cells = {"1x8": {"p50": latency, "p95": 2 * latency}}
    return Speed(1.0, 200.0, 220.0, cells, latency, 2 * latency, 500.0, None)


def line(
    size: int = 100, latency: float = 2.0, gate: str = "agreement >= 0.9", **other: Any
) -> Line:
    verdicts = gates.judge([gate], {"agreement": other.get("agreement", 1.0)})
    figures = {"macro_f1": 0.9, "loss": 0.1}
    sure = {part: {"macro_f1": (0.85, 0.95)} for part in ("validation", "test")}
    known: dict[str, Any] = {
        "bytes": size, "speed": speed(latency), "validation": figures, "test": figures,
        "intervals": sure, "agreement": 1.0, "points_lost": 0.0, "points_lost_low": 0.0,
        "points_lost_high": 0.0, "parity": HOLDS, "gates": verdicts,
    }  # fmt: skip
    return Line(**(known | other))


def original() -> Line:
    return line(1_000, 10.0, parity=None, gates=[], served=False)


def compared(lines: dict[str, Line], unavailable: dict[str, Message] | None = None) -> Comparison:
    return Comparison(ONE, {ORIGINAL: original(), **lines}, unavailable or {}, {"rounds": 3}, {})


TABLE = {
    "large": line(100, 1.0),
    "small": line(25, 3.0, agreement=0.9),
    "least": line(10, 0.5, agreement=0.899),
    "wrong": line(5, 0.1, parity=REFUSED),
    "torch": line(4, 0.1, served=False),
}


@pytest.mark.parametrize(
    ("rule", "wanted", "chosen"),
    [
        ("smallest", list(TABLE), "small"),
        ("fastest", list(TABLE), "large"),
        ("smallest", ["large", "least", "wrong"], "large"),
        ("smallest", ["least", "wrong", "torch", "unavailable"], None),
        ("fastest", ["wrong"], None),
    ],
)
def test_the_rule_chooses_among_those_that_keep_parity_and_gates(
    rule: str, wanted: list[str], chosen: str | None
) -> None:
    assert choose(compared(TABLE).lines, wanted, rule) == chosen


def test_without_any_the_original_ships_and_it_is_said() -> None:
    found = compared({"openvino_fp32": line(agreement=0.5), "openvino_int8": line(parity=REFUSED)})
    assert choose(found.lines, ["openvino_fp32", "openvino_int8"], "smallest") is None
    assert shipping.shipped(found, None) == "openvino_fp32"
    said = shipping.why(None, "smallest", 0, 2)
    assert "No variant keeps parity and all gates (0 of 2 do)" in said.render("en")
    for rule in ("smallest", "fastest"):
        told = shipping.why("openvino_int8", rule, 2, 3).render("en")
        assert f"openvino_int8 ships: the {rule} variant" in told
        assert "(2 of 3 do)" in told


def test_what_is_not_the_tested_model_never_ships() -> None:
    found = compared({"openvino_fp32": line(parity=REFUSED)})
    with pytest.raises(GateError, match="openvino_fp32, refused for: labels"):
        shipping.shipped(found, None)


def test_answers_agree_when_they_are_the_same_or_near() -> None:
    assert agreement(ONE, ["a", "b", "a", "a"], ["a", "b", "b", "a"]) == 0.75
    assert agreement(SEVERAL, ["a|b", ""], ["a", ""]) == 0.5
    # The first deviate by 1 from their mean, so one tenth is near.
    assert agreement(NUMBER, ["-1", "1"], ["-1.09", "1.11"]) == 0.5


def test_points_are_lost_from_the_original() -> None:
    pair = {"difference_to_original": -0.02, "difference_to_original_low": -0.03,
            "difference_to_original_high": 0.01}  # fmt: skip
    assert lost(ONE, pair) == pytest.approx(
        {"points_lost": 2.0, "points_lost_low": -1.0, "points_lost_high": 3.0}
    )
    same = lost(ONE, dict.fromkeys(pair, 0.0))
    assert [str(one) for one in same.values()] == ["0.0"] * 3
    error = SimpleNamespace(main="mae", greater_is_better=lambda name: False)
    assert lost(error, pair) == pytest.approx(  # type: ignore[arg-type]
        {"points_lost": -2.0, "points_lost_low": -3.0, "points_lost_high": 1.0}
    )


# --- what is written


def written(folder: Path, found: Comparison, records: list[dict[str, Any]]) -> dict[str, Any]:
    folder.mkdir()
    told = {"chosen": "small", "shipped": "small", "rule": "smallest", "wanted": list(TABLE)}
    shipping.write(folder, found, told, records)
    report: dict[str, Any] = artifacts.read_json(folder / artifacts.REPORT)
    return report


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def test_the_table_is_written_whole(tmp_path: Path) -> None:
    found = compared(TABLE, {"torch_int8": Message("=this machine has no GPU")})
    told = written(tmp_path / "optimize", found, [])
    assert list(told["table"]) == [ORIGINAL, *TABLE, "torch_int8"]
    assert told["table"]["torch_int8"] == {
        "unavailable": dict.fromkeys(("en", "zh"), "=this machine has no GPU"), "keeps": False,
    }  # fmt: skip
    assert told["table"]["least"]["refused_for"] == ["agreement >= 0.9"]
    assert told["table"]["wrong"]["refused_for"] == ["parity: labels"]
    assert "(2 of 5 do)" in told["why"]["en"]
    assert told["measured"] == {"rounds": 3}

    table = {one["variant"]: one for one in rows(tmp_path / "optimize/variants.csv")}
    assert {name: one["status"] for name, one in table.items()} == {
        ORIGINAL: "original", "large": "kept", "small": "ships", "least": "refused",
        "wrong": "refused", "torch": "kept", "torch_int8": "unavailable",
    }  # fmt: skip
    assert table["torch_int8"]["why"] == "'=this machine has no GPU / =this machine has no GPU"
    assert table["small"]["test_macro_f1_low"] == "0.85"
    assert table["small"]["ms_1x8_p95"] == "6.0"
    figures = artifacts.read_json(tmp_path / "optimize/metrics.json")
    assert list(figures) == [ORIGINAL, *TABLE], "DVC compares numbers only"
    assert figures["small"]["test"] == {"macro_f1": 0.9, "loss": 0.1}


def test_disagreements_can_be_opened_in_a_spreadsheet(tmp_path: Path) -> None:
    hostile = ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(1)", "\tx", "</script>", "plain, text"]
    records = [{"id": f"={at}", "text": text} for at, text in enumerate(hostile)]
    others = [
        {"at": at, "original": "=label", "copy": "@b", "margin": 0.5, "difference": -0.25,
         "counts": at == 0}
        for at in range(len(hostile))
    ]  # fmt: skip
    others.append({"at": 6, "original": "a", "copy": "b", "margin": None, "difference": None,
                   "counts": False})  # fmt: skip
    checked = {"holds": False, "refused": ["labels"], "disagreements": others}
    told = written(tmp_path / "optimize", compared({"small": line(parity=checked)}), records)
    assert told["table"]["small"]["parity"]["disagreements"] == 8
    table = rows(tmp_path / "optimize/disagreements.csv")
    assert len(table) == 8
    for row in table:
        texts = [row[name] for name in ("variant", "id", "text", "original", "copy")]
        assert not [one for one in texts if RUNS.match(one) and not one.startswith("'")]
    assert table[0]["text"] == "'=cmd|' /C calc'!A0"
    assert [row["counts"] for row in table] == ["1", *["0"] * 7]
    assert table[0]["margin"] == "0.5"
    assert table[7]["margin"] == table[7]["difference"] == ""


def test_the_front_is_what_nothing_beats() -> None:
    # Worse and dearer than the first; as good and dearer; better and dearer; the cheapest.
    points = [(2.0, 0.90), (3.0, 0.85), (3.0, 0.90), (5.0, 0.95), (1.0, 0.50)]
    assert pareto.front(points) == [4, 0, 3]
    assert pareto.front([(1.0, 0.5), (1.0, 0.7)]) == [1]
    assert pareto.front([]) == []


def test_the_plot_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    found = compared(TABLE, {"torch_int8": Message("no GPU")})
    for name in ("one", "other"):
        written(tmp_path / name, found, [])
    made = {path.name: path.read_bytes() for path in (tmp_path / "one/plots").iterdir()}
    assert sorted(made) == ["pareto.png", "pareto.svg", "pareto.zh.svg"]
    for name, content in made.items():
        assert (tmp_path / "other/plots" / name).read_bytes() == content
    assert made["pareto.png"].startswith(b"\x89PNG")
    texts = "".join(ET.fromstring(made["pareto.svg"]).itertext())  # noqa: S314 - our own file
    assert "3  small" in texts
    assert "torch_int8" not in texts


# --- how it is measured


ECHO = """
    import sys, time
    from pipeline.modeling import bench

    def answer(texts, batch_size):
        if texts == ["end"]:
            sys.exit("the end of it")
        time.sleep(0.02 * (texts == ["slow"]))
        print("noise of a library")
        return [text.upper() for text in texts]

    bench.serve(answer, bench.own_channel())
"""


@pytest.fixture
def echo(tmp_path: Path) -> list[str]:
    path = tmp_path / "echo.py"
    path.write_text(textwrap.dedent(ECHO), encoding="utf-8")
    return [sys.executable, str(path)]


def test_a_process_of_its_own_is_asked_and_ends(echo: list[str]) -> None:
    with Child(echo) as child:
        assert child.start("a") > 0.01, "an interpreter starts in more"
        assert child.process is not None
        quick, slow = child.ask(["x", "价"], 1, answers=True), child.ask(["slow"], 1)
        assert quick.answers == ["X", "价"]
        assert slow.answers is None
        assert slow.seconds >= 0.02 > quick.seconds
        assert slow.peak_bytes >= slow.resident_bytes > 1_000_000
        number = child.process.pid
        assert number in measuring.below(os.getpid())
    assert child.process.returncode == 0
    assert number not in measuring.below(os.getpid())


def test_a_process_that_ends_says_why(echo: list[str]) -> None:
    with Child(echo) as child:
        child.start("a")
        with pytest.raises(ModelError, match="found the end of it"):
            child.ask(["end"], 1)
    with (
        Child([sys.executable, "-c", "raise SystemExit('not today')"]) as child,
        pytest.raises(ModelError, match="found not today"),
    ):
        child.start("a")


class Clock:
    """A child whose times are written down beforehand."""

    def __init__(self, name: str, seconds: Callable[[int], float], log: list[str]) -> None:
        self.name, self.seconds, self.log, self.asked = name, seconds, log, 0

    def start(self, text: str) -> float:
        return 1.5

    def ask(self, texts: Sequence[str], batch_size: int, *, answers: bool = False) -> Reply:
        self.log.append(self.name)
        self.asked += 1
        return Reply(self.seconds(self.asked) * len(texts), 100_000_000, 200_000_000)


def test_models_take_turns_and_warm_up() -> None:
    log: list[str] = []
    children: Any = {
        name: Clock(name, lambda asked: 9.0 if asked <= timing.WARM else 1.0, log) for name in "abc"
    }
    with Progress("optimize", 4) as progress:
        found = timing.timed(children, [["x"]] * (timing.WARM + 4), 1, progress)
    assert found == {name: [1.0] * 4 for name in "abc"}
    assert "".join(log) == "abc" + "bca" + "cab" + "abc" + "bca"


def test_a_slow_series_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    children: Any = {"a": Clock("a", lambda asked: 1.0, [])}
    with Progress("optimize", 30) as progress:
        found = timing.timed(children, [["x"]] * (timing.WARM + 30), 1, progress)
        assert progress.step == 30
    assert found == {"a": [1.0] * timing.LEAST}


def test_speeds_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    class Meter:
        def __init__(self, country: str) -> None:
            self.country = country

        def start(self) -> None:
            pass

        def stop(self) -> dict[str, Any]:
            return {"kwh": 1e-6, "co2_kg": 0.0, "energy_source": "estimate"}

    monkeypatch.setattr(timing, "Energy", Meter)
    children: Any = {
        "a": Clock("a", lambda asked: 0.002, []),
        "b": Clock("b", lambda _at: 0.001, []),
    }
    knobs: Any = SimpleNamespace(rounds=4, batches=[1, 8], lengths=[16])
    found, how = timing.measure(
        children, [f"text {at}" for at in range(12)], {16: ["x"] * 3}, knobs
    )
    one = found["a"]
    assert (one.cold_start_s, one.memory_mb, one.peak_memory_mb) == (1.5, 100.0, 200.0)
    assert one.latency_ms == {"1x16": {"p50": 2.0, "p95": 2.0},
                              "8x16": {"p50": 16.0, "p95": 16.0}}  # fmt: skip
    assert (one.latency_ms_p50, one.texts_per_second) == (2.0, 500.0)
    assert found["b"].texts_per_second == 1_000.0
    # Two seconds of a machine that takes so many watts, for a thousand texts.
    assert one.wh_per_1000_texts == pytest.approx(how["watts"] * 2 / 3_600)
    assert one.wh_per_1000_texts == pytest.approx(2 * found["b"].wh_per_1000_texts)  # type: ignore[operator]
    assert how["throughput_batch"] == 8
    assert how["rounds"] == {"1x16": 4, "8x16": 4}
    assert timing.quantiles([0.001 * at for at in range(1, 102)]) == pytest.approx(
        {"p50": 51.0, "p95": 96.0}
    )


def test_timed_texts_have_the_length_that_is_named(tmp_path: Path) -> None:
    model = TorchPredictor.load(families.learnt(tmp_path / "model"))
    texts = families.texts(40, 3)
    found = timing.texts_of(model, texts, [8, 16, 128])
    assert list(found) == [8, 16, 32], "none is longer than what the model reads"
    for length, some in found.items():
        assert {len(tokens) for tokens in model.tokens(some)} == {length}
        assert len(some) == 40
        assert len(set(some)) > 30
    short = timing.texts_of(model, ["one"], [16])[16]
    assert len(model.tokens(short)[0]) == 16, "the only text is repeated"
    assert timing.texts_of(model, texts, [1]) == {1: [""] * 40}, "two signs stand in any text"


def test_a_batch_is_drawn_in_turn() -> None:
    pool = ["a", "b", "c"]
    drawn = timing.rounds_of(pool, 2, 1)
    assert drawn == [["a", "b"], ["c", "a"]], "one to warm up, one that counts"


def test_a_model_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = families.learnt(tmp_path / "model")
    with Child(bench.command(folder, bench.TORCH, 1)) as child:
        cold = child.start("hello")
        warm = child.ask(["money please"], 1)
    assert 0 < warm.seconds < cold
    assert warm.peak_bytes > 50_000_000
    missing = bench.command(tmp_path / "nothing", bench.SERVED, 1)
    with Child(missing) as child, pytest.raises(ModelError, match="no readable manifest"):
        child.start("hello")


def test_calibration_goes_into_the_card_and_nothing_is_copied(tmp_path: Path) -> None:
    from pipeline.evaluation.calibration import Fitted

    source = families.learnt(tmp_path / "model")
    before = (source / "mofang.json").read_bytes()
    made = comparison.calibrated(source, tmp_path / "work", Fitted(2.0, {}))
    assert TorchPredictor.load(made).card.temperature == 2.0
    assert (source / "mofang.json").read_bytes() == before
    assert all(path.is_symlink() for path in made.iterdir() if path.name != "mofang.json")
    assert artifacts.folder_bytes(made) > 10_000
