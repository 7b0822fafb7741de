"""Cheap models beside the large one, fitted in seconds: the best of them has to be beaten.

::

    folder/
    ├── baselines.json               task, figures, seconds, what could not be fitted and why
    ├── words.json, words.safetensors   TF-IDF, where a kind needs it
    └── <kind>.safetensors           what each kind learnt

No pickle: JSON and safetensors hold no code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import artifacts
from pipeline.errors import ModelError
from pipeline.i18n import Message, _
from pipeline.modeling import boosting, linear
from pipeline.progress import Progress
from pipeline.steps.targets import MULTI, REGRESSION, joined, number, number_text
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

    Records = Sequence[Mapping[str, Any]]

SETTINGS, WORDS, WORDS_WEIGHTS = "baselines.json", "words.json", "words.safetensors"
MAJORITY, COLUMNS, FROZEN = "majority", "columns", "frozen"
WEIGHTS = "model.safetensors"
BATCH = 64  # texts that the frozen encoder reads at once

SAME_LABEL, NO_WORDS, NO_COLUMNS = "same_label", "no_words", "no_columns"
NOT_CONVERGED, ONLY_ONE = "not_converged", "only_one"
NOTES = {
    SAME_LABEL: _("all training records have the same label"),
    NO_WORDS: _("the texts hold no words"),
    NO_COLUMNS: _("the records have no columns beside the text"),
    NOT_CONVERGED: _("stopped before it converged, so it may be better than its figures"),
    ONLY_ONE: _("fitted although it was not asked for, because nothing else could be"),
}


class Unfit(Exception):  # noqa: N818 - it is no error: the kind is left out, with its name
    """A kind that cannot be fitted on these records; the first argument is a name of ``NOTES``."""


@dataclass(frozen=True)
class Encoder:
    """The model that embeds texts for the kind ``frozen``, and what it was when that was fitted."""

    folder: Path
    sha256: str
    cache: Path = artifacts.WORK / "embeddings"

    def features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean of each text's token vectors, [texts, hidden].

        :raises ModelError: if the folder holds another model now.
        """
        from pipeline.modeling import embeddings

        path = self.folder / WEIGHTS
        if not path.is_file() or artifacts.sha256(path) != self.sha256:
            raise ModelError.at(
                path,
                found=_("another model than the one that the baseline was fitted on, or none"),
                allowed=_("the model of that training"),
                fix=_("Run dvc repro, which fits it again."),
            )
        found = embeddings.embed(
            self.folder, texts, pooling="mean", cache=self.cache, batch_size=BATCH
        )
        return np.asarray(found)


@dataclass
class Baselines:
    """All fitted kinds, their figures on the validation part and what each took.

    ``notes`` names, by kind, what could not be fitted or was not fitted to its end (``NOTES``).
    """

    task: Task
    kinds: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    answer: str = ""  # of the kind majority
    words: linear.Words | None = None
    columns: boosting.Columns | None = None
    encoder: Encoder | None = None
    models: dict[str, linear.Linear | boosting.Forest] = field(default_factory=dict)

    @property
    def strongest(self) -> str:
        """Return the kind to beat: the best one on the validation part, the first of equals."""
        sign = 1 if self.task.greater_is_better(self.task.main) else -1
        return max(self.kinds, key=lambda kind: sign * self.figures[kind][self.task.main])

    def answers(self, records: Records) -> dict[str, list[str]]:
        """Return what each kind answers, as labels are written (``steps.targets``)."""
        texts = [str(record["text"]) for record in records]
        words = self.words.features(texts) if self.words and texts else None
        return {kind: self.told(kind, records, texts, words) for kind in self.kinds}

    def told(self, kind: str, records: Records, texts: Sequence[str], words: Any) -> list[str]:
        """Return the answers of one kind."""
        if kind == MAJORITY or not texts:
            return [self.answer] * len(texts)
        features = words
        if kind == COLUMNS and self.columns:
            features = self.columns.matrix(records)
        elif kind == FROZEN and self.encoder:
            features = self.encoder.features(texts)
        values = self.models[kind].values(features)
        if self.task.name == MULTI:
            values = (values > 0).astype(np.float64)
        return self.task.decide(values)

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "strongest": self.strongest,
            "figures": self.figures,
            "seconds": {kind: round(value, 2) for kind, value in self.seconds.items()},
            "notes": self.notes,
        }

    def save(self, folder: Path) -> None:
        """Write everything into ``folder``, which is made where it is not there."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "task": self.task.name,
            "labels": list(self.task.labels),
            "kinds": self.kinds,
            "answer": self.answer,
            "columns": asdict(self.columns) if self.columns else None,
            "encoder": {"folder": self.encoder.folder.as_posix(), "sha256": self.encoder.sha256}
            if self.encoder
            else None,
        }
        artifacts.write_json(folder / SETTINGS, settings | self.report())
        arrays: dict[str, dict[str, Any]] = {
            f"{kind}.safetensors": dict(vars(model)) for kind, model in self.models.items()
        }
        if self.words:
            artifacts.write_json(folder / WORDS, self.words.settings())
            arrays[WORDS_WEIGHTS] = self.words.weights()
        for name, parts in arrays.items():
            save_file({key: np.ascontiguousarray(one) for key, one in parts.items()}, folder / name)

    @classmethod
    def load(cls, folder: Path) -> Baselines:
        """Read what ``save`` wrote.

        :raises DataError: if its settings cannot be read.
        """
        from safetensors.numpy import load_file

        told = artifacts.read_json(folder / SETTINGS)
        made = cls(
            task=tasks.of(told["task"], told["labels"]),
            kinds=told["kinds"],
            figures=told["figures"],
            seconds=told["seconds"],
            notes=told["notes"],
            answer=told["answer"],
        )
        if told["columns"]:
            made.columns = boosting.Columns(**told["columns"])
        if told["encoder"]:
            made.encoder = Encoder(Path(told["encoder"]["folder"]), told["encoder"]["sha256"])
        if (folder / WORDS).exists():
            weights = load_file(folder / WORDS_WEIGHTS)
            made.words = linear.Words.restore(artifacts.read_json(folder / WORDS), weights)
        for kind in made.kinds:
            if kind != MAJORITY:
                arrays = load_file(folder / f"{kind}.safetensors")
                form = boosting.Forest if kind == COLUMNS else linear.Linear
                made.models[kind] = form(**arrays)
        return made


def note_text(name: str) -> Message:
    """Return the words for a note."""
    return NOTES[name]


def fit_all(
    task: Task,
    train: Records,
    validation: Records,
    knobs: Any,
    *,
    seed: int,
    start: Path,
    cache: Path,
) -> Baselines:
    """Fit every kind that ``knobs`` names and judge it on the validation part.

    A kind that these records cannot teach is left out and named in ``notes``. At least one is
    there: the majority, if nothing else.

    :param train: records with ``text``, ``label`` and, where there are any, ``features``.
    :param knobs: section ``train.baselines``.
    :param start: folder of the starting model, for the kind ``frozen``.
    :param cache: where embeddings are kept.
    """
    fitting = Fitting(Baselines(task), train, knobs, seed=seed, start=start, cache=cache)
    with Progress("baselines", len(knobs.kinds)) as progress:
        for kind in knobs.kinds:
            fitting.add(kind, validation)
            progress.advance()
    if not fitting.made.kinds:
        fitting.add(MAJORITY, validation)
        fitting.made.notes[MAJORITY] = ONLY_ONE
    return fitting.made


class Fitting:
    """Fits one kind after the other on the same records."""

    def __init__(
        self, made: Baselines, train: Records, knobs: Any, *, seed: int, start: Path, cache: Path
    ) -> None:
        self.made, self.train, self.knobs = made, train, knobs
        self.seed, self.start, self.cache = seed, start, cache
        self.texts = [str(record["text"]) for record in train]
        self.labels = [str(record["label"]) for record in train]
        self.tfidf: tuple[linear.Words, Any] | None = None
        self.tfidf_seconds = 0.0

    def add(self, kind: str, validation: Records) -> None:
        """Fit one kind and judge it, or note why it cannot be."""
        made = self.made
        ways: dict[str, Callable[[str], None]] = {
            MAJORITY: self.majority, COLUMNS: self.columns, FROZEN: self.frozen,
        }  # fmt: skip
        started = time.monotonic()
        shared = self.tfidf_seconds  # what an earlier kind spent on the features of this one
        try:
            ways.get(kind, self.on_words)(kind)
        except Unfit as reason:
            made.notes[kind] = str(reason)
            return
        made.kinds.append(kind)
        made.seconds[kind] = time.monotonic() - started
        if kind in (linear.LOGISTIC, linear.SUPPORT):
            made.seconds[kind] += shared
        texts = [str(record["text"]) for record in validation]
        words = made.words.features(texts) if made.words and texts else None
        truth = [str(record["label"]) for record in validation]
        made.figures[kind] = made.task.figures(truth, made.told(kind, validation, texts, words))

    def majority(self, kind: str) -> None:
        """Learn the most frequent label, those that more than half have, or the mean."""
        self.made.answer = most_common(self.made.task, self.labels)

    def on_words(self, kind: str) -> None:
        """Fit a linear model on TF-IDF."""
        self.refuse_same_label()
        if self.tfidf is None:
            started = time.monotonic()
            words = linear.fit_words(self.texts, self.knobs)
            if words is None:
                raise Unfit(NO_WORDS)
            self.tfidf = (words, words.features(self.texts))
            self.tfidf_seconds = time.monotonic() - started
            self.made.words = words
        self.keep(kind, linear.fit(
            kind, self.made.task, self.tfidf[1], self.labels, seed=self.seed
        ))  # fmt: skip

    def columns(self, kind: str) -> None:
        """Fit boosted trees on the columns beside the text."""
        found = boosting.learn_columns(self.train)
        if found is None:
            raise Unfit(NO_COLUMNS)
        matrix = found.matrix(self.train)
        forest = boosting.fit(self.made.task, matrix, self.labels, seed=self.seed)
        self.keep(kind, (forest, True))
        self.made.columns = found

    def frozen(self, kind: str) -> None:
        """Fit a linear model on what the starting model makes of the texts."""
        self.refuse_same_label()
        encoder = Encoder(self.start, artifacts.sha256(self.start / WEIGHTS), self.cache)
        features = encoder.features(self.texts)
        fitted = linear.fit(linear.LOGISTIC, self.made.task, features, self.labels, seed=self.seed)
        self.keep(kind, fitted)
        self.made.encoder = encoder

    def refuse_same_label(self) -> None:
        """Spare the work where there is nothing to tell apart."""
        if len(set(self.labels)) < 2:
            raise Unfit(SAME_LABEL)

    def keep(self, kind: str, fitted: tuple[linear.Linear | boosting.Forest | None, bool]) -> None:
        """Take a fitted model over."""
        model, converged = fitted
        if model is None:
            raise Unfit(SAME_LABEL)
        self.made.models[kind] = model
        if not converged:
            self.made.notes[kind] = NOT_CONVERGED


def most_common(task: Task, labels: Sequence[str]) -> str:
    """Return the answer that looks at no text: label, labels of more than half, or mean."""
    if task.name == REGRESSION:
        return number_text(float(np.mean([number(one) for one in labels])))
    if task.name == MULTI:
        share = np.asarray(task.targets(labels), dtype=float).mean(axis=0)
        often = [name for name, one in zip(task.labels, share, strict=True) if one > 0.5]
        return joined(often, task.labels)
    counts = np.bincount(task.targets(labels), minlength=len(task.labels))
    return str(task.labels[int(counts.argmax())])
