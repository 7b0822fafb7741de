"""What requests are compared with: the data that a model learnt from, counted once, at its release.

::

    reference.json        bins of lengths, languages, labels and confidences
    reference/texts.npz   how texts spread (textdrift.Measure)
    reference/sample.npz  some rows, as numbers, for the page of Evidently

No text stands in them. Lengths, languages, texts and true labels are those of the training part. A
model is surer of what it learnt from than of anything else, so its answers and confidences are
counted on records that it did not learn from.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import artifacts
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.steps import language
from pipeline.steps.targets import REGRESSION, number
from pipeline.traffic.privacy import storable
from pipeline.traffic.rows import certainty
from pipeline.watching import textdrift
from pipeline.watching.bins import Bins
from pipeline.watching.windows import (
    COLUMNS,
    CONFIDENCE,
    FEATURES,
    LABEL,
    LANGUAGE,
    LENGTH,
    TRUTH,
    Window,
)

if TYPE_CHECKING:
    from pipeline.predictor import BasePredictor
    from pipeline.schema.watching import Drift

Record = Mapping[str, Any]

FILE, FOLDER = "reference.json", "reference"
TEXTS, SAMPLE = "texts.npz", "sample.npz"
FORMAT = 1
RARE = 0.01  # share below which a language has no bin: short texts are taken for any
BATCH = 64
UNKNOWN = -1  # in the sample, of a name


@dataclass(frozen=True)
class Reference:
    """What a release is compared with."""

    numeric: bool  # labels are numbers
    bins: Mapping[str, Bins]  # by column; one that nothing is known of is missing
    texts: textdrift.Measure
    sample: Window

    def values(self, column: str, some: Sequence[Any]) -> Sequence[Any]:
        """Return values of a column as its bins count them; labels that are numbers as numbers."""
        return [number(one) for one in some] if self.numeric and column in LABELS else some


LABELS = (LABEL, TRUTH)


def build(
    folder: Path,
    records: Sequence[Record],
    predictor: BasePredictor,
    knobs: Drift,
    *,
    unseen: Sequence[Record] = (),
) -> Reference:
    """Count what requests will be compared with, and write it below ``folder``.

    :param records: the training part, each with ``text`` and ``label``; varied copies are left out.
    :param predictor: the model that will answer.
    :param unseen: records that it did not learn from, such as the validation and the test part.
        Without any, answers are counted on the training part, and confidences not at all.
    """
    learnt = drawn(
        [one for one in records if not one.get("augmented_from")], knobs.max_texts, knobs.seed
    )
    asked = drawn(unseen or learnt[: knobs.sample], knobs.max_texts, knobs.seed)
    numeric = predictor.card.task == REGRESSION
    columns = described(learnt) | answered(asked, predictor)
    if not unseen:
        columns[CONFIDENCE] = []
    made = Reference(
        numeric,
        counted(columns, predictor.labels, numeric),
        textdrift.fitted(
            textdrift.matrix(columns[FEATURES]),
            size=knobs.min_texts, draws=knobs.draws, seed=knobs.seed,
        ),
        padded({name: some[: knobs.sample] for name, some in columns.items()}),
    )  # fmt: skip
    write(folder, made)
    return made


def drawn(records: Sequence[Record], most: int, seed: int) -> list[Record]:
    """Return records in an order that the seed draws, at most so many."""
    order = np.random.default_rng(seed).permutation(len(records))[:most]
    return [records[int(at)] for at in order]


def described(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return what is known of texts before a model has answered, as the database keeps it."""
    texts = [storable(one["text"]) for one in records]
    return {
        FEATURES: [textdrift.features(text) for text in texts],
        LENGTH: [len(text) for text in texts],
        LANGUAGE: [language.identify(text)[0] for text in texts],
        TRUTH: [one["label"] for one in records if one["label"] is not None],
    }


def answered(records: Sequence[Record], predictor: BasePredictor) -> dict[str, list[Any]]:
    """Return a model's answers and how sure it is of them, as the database keeps them."""
    texts = [one["text"] for one in records]
    scores = predictor.scores(texts, BATCH)
    sure = [confidence for confidence, _margin, _scores in certainty(scores, len(texts))]
    return {
        LABEL: predictor.task.decide(scores, predictor.card.thresholds),
        CONFIDENCE: [one for one in sure if one is not None],
    }


def counted(
    columns: Mapping[str, Sequence[Any]], labels: Sequence[str], numeric: bool
) -> dict[str, Bins]:
    """Return the bins of every column that something is known of, but of the texts."""
    found: dict[str, Bins] = {}
    for name in COLUMNS[1:]:
        values = columns[name]
        if not values:
            continue
        if name in LABELS and not numeric:
            found[name] = Bins.of_names(values, least=0.0, known=labels)
        elif name == LANGUAGE:
            found[name] = Bins.of_names(values, least=RARE)
        else:
            found[name] = Bins.of_numbers(list(map(float, values)))
    return found


def padded(columns: Mapping[str, list[Any]]) -> Window:
    """Return columns as a window; the shorter ones go on with what is not known."""
    longest = max(map(len, columns.values()))
    return Window({name: some + [None] * (longest - len(some)) for name, some in columns.items()})


def write(folder: Path, made: Reference) -> None:
    """Write a reference below a folder."""
    inner = folder / FOLDER
    inner.mkdir(parents=True, exist_ok=True)
    texts = made.texts
    artifacts.write_bytes(
        inner / TEXTS,
        packed(
            rows=np.array(texts.rows), spread=np.array(texts.spread),
            mean=texts.mean.astype(np.float32), null=texts.null.astype(np.float32),
            whitening=texts.whitening.astype(np.float32),
        ),
    )  # fmt: skip
    artifacts.write_bytes(inner / SAMPLE, packed(**coded(made)))
    artifacts.write_json(
        folder / FILE,
        {
            "format": FORMAT,
            "numeric": made.numeric,
            "texts": texts.rows,
            "columns": {
                name: {"names": list(one.names), "edges": list(one.edges), "counts": one.counts}
                for name, one in made.bins.items()
            },
        },
    )


def packed(**arrays: Any) -> bytes:
    """Return arrays as one file."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def coded(made: Reference) -> dict[str, Any]:
    """Return the sample as arrays of numbers: names by their bins, what is not known as NaN."""
    arrays: dict[str, Any] = {FEATURES: made.sample.counts()}
    for name in COLUMNS[1:]:
        values = made.sample.known(name)
        bins = made.bins.get(name)
        if bins is None:
            arrays[name] = np.zeros(0)
        elif bins.numeric:
            arrays[name] = np.array(made.values(name, values), dtype=np.float64)
        else:
            arrays[name] = bins.places(values)
    return arrays


def read(folder: Path) -> Reference:
    """Read the reference of a release.

    :raises ModelError: if it is missing or damaged.
    """
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}")
        bins = {name: bins_of(one) for name, one in told["columns"].items()}
        texts = measure_of(unpacked(folder / FOLDER / TEXTS))
        sample = decoded(unpacked(folder / FOLDER / SAMPLE), bins, bool(told["numeric"]))
        return Reference(bool(told["numeric"]), bins, texts, sample)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError.at(
            folder / FILE,
            found=str(error) or type(error).__name__,
            allowed=_("what a release keeps to compare requests with"),
            fix=_("Make the release again: python -m pipeline.release create."),
        ) from error


def unpacked(path: Path) -> dict[str, Any]:
    """Return the arrays of a file."""
    with path.open("rb") as source, np.load(source, allow_pickle=False) as arrays:
        return dict(arrays)


def bins_of(told: Mapping[str, Any]) -> Bins:
    """Return the bins of one column.

    :raises ValueError: if they are none.
    """
    bins = Bins(tuple(told["counts"]), tuple(told["names"]), tuple(map(float, told["edges"])))
    if len(bins.counts) != max(len(bins.names), len(bins.edges)) + 1 or min(bins.counts) < 0:
        raise ValueError("bins")
    return bins


def measure_of(arrays: Mapping[str, Any]) -> textdrift.Measure:
    """Return how texts spread.

    :raises ValueError: if the numbers are not those of a measure.
    """
    mean, whitening = arrays["mean"], arrays["whitening"]
    size = textdrift.BUCKETS
    if mean.shape != (size,) or whitening.shape != (size, size) or arrays["null"].ndim != 1:
        raise ValueError(TEXTS)
    wide = (arrays[name].astype(np.float64) for name in ("mean", "whitening", "null"))
    mean, whitening, null = wide
    if not all(np.isfinite(one).all() for one in (mean, whitening, null)):
        raise ValueError(TEXTS)
    return textdrift.Measure(int(arrays["rows"]), mean, whitening, float(arrays["spread"]), null)


def decoded(arrays: Mapping[str, Any], bins: Mapping[str, Bins], numeric: bool) -> Window:
    """Return the sample of a reference."""
    columns: dict[str, list[Any]] = {FEATURES: [one.tobytes() for one in arrays[FEATURES]]}
    for name in COLUMNS[1:]:
        values = arrays[name].tolist()
        if name in bins and not bins[name].numeric:
            titles = bins[name].titles()
            values = [titles[at] for at in values]
        elif name in LABELS and numeric:
            values = [str(one) for one in values]
        columns[name] = values
    return padded(columns)
