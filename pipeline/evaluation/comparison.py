"""Variants of one model side by side: answers, size, memory, speed, and which of them ships.

All are asked about the same records and timed in one run. Each must answer as the torch model that
it was made from (``parity``), and keep every gate beside the model that was trained. Only the
validation part decides; the test part is told and never chooses.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.evaluation import calibration, evidence, gates, intervals, parity, robustness
from pipeline.evaluation.answers import Answers, answers_of, released
from pipeline.modeling import bench, timing
from pipeline.modeling.baselines import Baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import building
from pipeline.modeling.variants.base import Context
from pipeline.predictor import CARD, Card

if TYPE_CHECKING:
    from pipeline.evaluation.calibration import Fitted
    from pipeline.evaluation.gates import Verdict
    from pipeline.i18n import Message
    from pipeline.modeling.timing import Speed
    from pipeline.modeling.variants.base import Built
    from pipeline.predictor import BasePredictor
    from pipeline.schema.compressing import Optimize
    from pipeline.schema.judgement import Validate
    from pipeline.tasks.base import Figures, Task

ORIGINAL = "torch_fp32"  # the model that was trained, in the table
BESIDE = "original"  # the same, in the names of figures: difference_to_original
VALIDATION, TEST = "validation", "test"
BATCH = 64
POINTS = 100.0
MB = 1e6


@dataclass(frozen=True)
class Setting:
    """What variants are compared by."""

    source: Path  # folder of the trained model, with temperature and thresholds in its card
    parts: Mapping[str, list[dict[str, Any]]]  # records of validation and test
    knobs: Optimize
    judged: Validate  # how intervals are drawn, groups made and students calibrated
    baselines: Path  # folder; read where a gate speaks of them

    def texts(self, part: str) -> list[str]:
        """Return the texts of a part."""
        return [one["text"] for one in self.parts[part]]


@dataclass(frozen=True)
class Heard:
    """What one model answers, by part, and whether it answers as the one it was made from."""

    answers: Mapping[str, Answers]
    parity: dict[str, Any] | None = None  # None for the original


@dataclass(frozen=True)
class Line:
    """One variant in the table."""

    bytes: int
    speed: Speed
    validation: Figures
    test: Figures
    intervals: dict[str, dict[str, intervals.Interval]]  # part → quick figure → ends
    agreement: float  # share of validation records with the original's answer
    points_lost: float  # of the task's main figure on the validation part, in points
    points_lost_low: float
    points_lost_high: float
    parity: dict[str, Any] | None = None
    gates: list[Verdict] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)  # what its makers report
    build_seconds: float = 0.0
    served: bool = True  # whether it runs without torch, as all that ships must

    @property
    def keeps(self) -> bool:
        """Whether it answers as its original and keeps every gate."""
        held = self.parity is None or bool(self.parity["holds"])
        return held and all(one.passed for one in self.gates)


@dataclass(frozen=True)
class Comparison:
    """The whole table and how it was measured."""

    task: Task
    lines: dict[str, Line]  # the original first
    unavailable: dict[str, Message]  # variant → why it could not be built
    how: dict[str, Any]  # what was measured how: rounds, batches, lengths, watts
    beside: dict[str, Speed]  # others that were timed in the same run


def prepared(knobs: Optimize, judged: Validate, work: Path) -> tuple[Setting, Context]:
    """Return what variants of the model of ``train`` are compared by and built with.

    :param work: folder for what is built meanwhile; it goes when all is done.
    """
    fitted = calibration.Fitted.read(artifacts.VALIDATE / calibration.FILE)
    source = calibrated(artifacts.TRAIN / "model", work / "model", fitted)
    parts = {
        name: artifacts.read_records(artifacts.part(name)).to_pylist()
        for name in (VALIDATION, TEST)
    }
    context = Context(
        source=source,
        texts=calibration_texts(knobs.calibration_records, knobs.seed),
        train=artifacts.part("train"),
        validation=artifacts.part(VALIDATION),
        knobs=knobs,
        work=work,
        cache=artifacts.WORK / "teacher",
        seed=knobs.seed,
    )
    return Setting(source, parts, knobs, judged, artifacts.TRAIN / "baselines"), context


def calibration_texts(count: int, seed: int) -> list[str]:
    """Return training texts from which int8 learns its value ranges."""
    texts: list[str] = artifacts.read_records(artifacts.part("train"))["text"].to_pylist()
    return random.Random(seed).sample(texts, min(count, len(texts)))


def compare(
    built: Mapping[str, Built],
    setting: Setting,
    beside: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Ask, check and time every variant that was built, and the original.

    A student is a model of its own and gets a calibration of its own: it is fitted here and written
    into the card of every folder that was made from it, with a manifest to match.

    :param beside: name → command of other programs that run ``bench.serve``; they are timed too.
    """
    made = {name: one for name, one in built.items() if one.unavailable is None}
    original = TorchPredictor.load(setting.source)
    heard = ask_all(made, original, setting)
    lengths = timing.texts_of(original, setting.texts(VALIDATION), setting.knobs.measuring.lengths)
    speeds, how = time_all(made, setting, lengths, beside or {})
    others = {BESIDE: heard[ORIGINAL].answers[VALIDATION].predicted, **cheap(setting, original)}
    folders = {ORIGINAL: setting.source} | {name: one.folder for name, one in made.items()}
    lines = {
        name: line(folder, heard[name], speeds[name], made.get(name), others, setting)
        for name, folder in folders.items()
    }
    missing = {name: one.unavailable for name, one in built.items() if one.unavailable is not None}
    others_timed = {name: speeds[name] for name in beside or {}}
    return Comparison(original.task, lines, missing, how, others_timed)


def ask_all(
    made: Mapping[str, Built], original: BasePredictor, setting: Setting
) -> dict[str, Heard]:
    """Return what every model answers, and a variant's parity with the one it was made from."""
    texts = setting.texts(VALIDATION)
    heard = {ORIGINAL: Heard(all_parts(original, setting))}
    known = {setting.source: (original, heard[ORIGINAL].answers[VALIDATION].scores)}
    for name, one in made.items():
        if one.source not in known:
            model = student(one.source, setting)
            known[one.source] = (model, model.scores(texts, BATCH))
        source, before = known[one.source]
        if source is not original:
            write_card(one.folder, source.card)
        copy = building.load(one, setting.knobs.measuring.threads)
        parts = all_parts(copy, setting)
        checked = parity.check(
            source, copy, texts, setting.knobs.parity,
            before=before, after=parts[VALIDATION].scores,
        )  # fmt: skip
        heard[name] = Heard(parts, checked)
    return heard


def student(source: Path, setting: Setting) -> BasePredictor:
    """Return a model that learnt from the trained one, calibrated by itself."""
    model = TorchPredictor.load(source)
    truth = [one["label"] for one in setting.parts[VALIDATION]]
    logits = model.logits(setting.texts(VALIDATION), BATCH)
    fitted = calibration.fit(model.task, logits, truth, setting.judged.calibration)
    model.card = fitted.on(model.card)
    return model


def calibrated(source: Path, folder: Path, fitted: Fitted) -> Path:
    """Return a folder that is the model of ``source`` with temperature and thresholds in its card.

    :param folder: does not exist yet; all but the card is linked, not copied.
    """
    folder.mkdir()
    for path in source.iterdir():
        if path.name != CARD:
            (folder / path.name).symlink_to(path.resolve())
    artifacts.write_json(folder / CARD, asdict(fitted.on(Card.read(source))))
    return folder


def write_card(folder: Path, card: Card) -> None:
    """Put another card into a model folder, and seal it again."""
    artifacts.write_json(folder / CARD, asdict(card))
    artifacts.write_manifest(folder)


def all_parts(model: BasePredictor, setting: Setting) -> dict[str, Answers]:
    """Return what a model answers to the records of each part."""
    return {part: answers(model, records) for part, records in setting.parts.items()}


def answers(model: BasePredictor, records: list[dict[str, Any]]) -> Answers:
    """Return what a model answers to records."""
    logits = model.logits([one["text"] for one in records], BATCH)
    scores = model.scored(logits)
    return Answers(
        task=model.task,
        records=records,
        truth=[one["label"] for one in records],
        logits=logits,
        scores=scores,
        predicted=model.task.decide(scores, model.card.thresholds),
        baselines={},
        strongest="",
        fitted=calibration.Fitted(model.card.temperature, model.card.thresholds),
    )


def cheap(setting: Setting, original: BasePredictor) -> dict[str, list[str]]:
    """Return what the strongest baseline and the release answer, where a gate speaks of them."""
    wanted = " ".join(setting.knobs.gates)
    found = {}
    if evidence.BASELINE in wanted:
        baselines = Baselines.load(setting.baselines)
        answered = baselines.answers(setting.parts[VALIDATION])
        found[evidence.BASELINE] = answered[baselines.strongest]
    release = released(setting.judged.released) if evidence.RELEASED in wanted else None
    if release is not None:
        texts = setting.texts(VALIDATION)
        found[evidence.RELEASED] = answers_of(release, original.task, texts, BATCH)
    return found


def time_all(
    made: Mapping[str, Built],
    setting: Setting,
    lengths: Mapping[int, Sequence[str]],
    beside: Mapping[str, Sequence[str]],
) -> tuple[dict[str, Speed], dict[str, Any]]:
    """Return what each model took, each in a process of its own, and how it was measured."""
    from pipeline.modeling import machine

    knobs = setting.knobs.measuring
    commands = {ORIGINAL: bench.command(setting.source, bench.TORCH, knobs.threads)}
    for name, one in made.items():
        kind = bench.FAST if one.target in building.TORCH else bench.SERVED
        commands[name] = bench.command(one.folder, kind, knobs.threads)
    commands |= {name: list(one) for name, one in beside.items()}
    here = machine.look()
    with ExitStack() as stack:
        children = {name: stack.enter_context(bench.Child(one)) for name, one in commands.items()}
        speeds, how = timing.measure(children, setting.texts(VALIDATION), lengths, knobs)
    return speeds, how | {"threads": knobs.threads or here.cores, "processor": here.processor}


def line(
    folder: Path,
    heard: Heard,
    speed: Speed,
    built: Built | None,
    others: Mapping[str, Sequence[str]],
    setting: Setting,
) -> Line:
    """Return one variant's line; the original, which was not built, is judged by no gate.

    :param others: ``BESIDE`` and perhaps a baseline or a release → what they answer.
    """
    judged, tested = heard.answers[VALIDATION], heard.answers[TEST]
    task, drawn = judged.task, setting.judged
    found = evidence.gather(judged, drawn, others)
    sure = intervals.bootstrap(
        task, tested.truth, {intervals.MODEL: tested.predicted}, samples=drawn.bootstrap_samples,
        confidence=drawn.confidence, seed=drawn.seed,
    )  # fmt: skip
    size = artifacts.folder_bytes(folder)
    own = lost(task, found.figures) | {
        "agreement": agreement(task, others[BESIDE], judged.predicted),
        "size_mb": size / MB,
        **{name: one for name, one in asdict(speed).items() if isinstance(one, float)},
    }
    verdicts = gates.judge(setting.knobs.gates, found.figures | own, found.slices)
    return Line(
        bytes=size,
        speed=speed,
        validation=judged.figures(),
        test=tested.figures(),
        intervals={VALIDATION: found.report["intervals"][intervals.MODEL],
                   TEST: sure[intervals.MODEL]},
        agreement=own["agreement"],
        points_lost=own["points_lost"],
        points_lost_low=own["points_lost_low"],
        points_lost_high=own["points_lost_high"],
        parity=heard.parity,
        gates=verdicts if built else [],
        made=built.report if built else {},
        build_seconds=built.seconds if built else 0.0,
        served=built is not None and built.target not in building.TORCH,
    )  # fmt: skip


def lost(task: Task, figures: Mapping[str, float]) -> Figures:
    """Return by how many points the main figure fell below the original's, with its interval."""
    name = f"difference_to_{BESIDE}"
    one, low, high = (figures[f"{name}{end}"] for end in ("", "_low", "_high"))
    if not task.greater_is_better(task.main):
        one, low, high = -one, -high, -low
    return {
        "points_lost": 0.0 - POINTS * one,  # 0.0 - 0.0 is 0, where -0.0 would be shown
        "points_lost_low": 0.0 - POINTS * high,
        "points_lost_high": 0.0 - POINTS * low,
    }


def agreement(task: Task, first: Sequence[str], other: Sequence[str]) -> float:
    """Return the share of records that get the answer they got before."""
    return sum(robustness.same(task, first, other)) / len(first)


def choose(lines: Mapping[str, Line], wanted: Sequence[str], rule: str) -> str | None:
    """Return the smallest or fastest of the wanted variants that keep parity and gates, or None.

    :param rule: ``smallest`` on the disk, or ``fastest`` for a single text (median).
    """
    fit = [name for name in wanted if name in lines and lines[name].keeps and lines[name].served]
    cost = {
        "smallest": lambda name: lines[name].bytes,
        "fastest": lambda name: lines[name].speed.latency_ms_p50,
    }
    return min(fit, key=cost[rule], default=None)
