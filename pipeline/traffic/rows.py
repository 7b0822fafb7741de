"""From what the service hands over to rows: hashed, masked, measured."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.steps import language
from pipeline.traffic.entries import Entry, Event, Feedback
from pipeline.traffic.privacy import Hasher, kept, masked, storable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.schema.traffic import Traffic

Values = dict[str, Any]

DECIMALS = 4  # of a score
MOST_SCORES = 64  # a model of more outputs has none of them stored; its label and certainty are
SUM_TOLERANCE = 1e-3  # how far the probabilities of labels of which one is right may be from one
# Texts of which language and features are found, each second and at most in a row. Drift needs some
# thousands in hours; those of a busy service would take it a twentieth of its time.
MEASURED_A_SECOND, MEASURED_AT_ONCE = 50.0, 3_000.0
REASON = 1_000  # characters of a reason; labels are cut there too
# About what rows take beside their texts, with indices, on either database; measured.
REQUEST_BYTES, PREDICTION_BYTES = 320, 170


class Rows:
    """Makes rows; what it keeps of texts and clients stands in ``params.yaml``, section traffic."""

    def __init__(self, knobs: Traffic, key: bytes) -> None:
        self.knobs, self.hasher = knobs, Hasher(key)
        self.features = features_of() if knobs.features else None
        self.measured = 1.0  # share of texts of which language and features are found
        self._room, self._last = float(MEASURED_AT_ONCE), time.monotonic()

    def begin(self, texts: int) -> None:
        """Begin a batch of so many texts: where many come in, a random share is measured."""
        if not texts:
            return
        now = time.monotonic()
        room = self._room + MEASURED_A_SECOND * (now - self._last)
        self.measured = min(1.0, min(room, MEASURED_AT_ONCE) / texts)
        self._room, self._last = min(room, MEASURED_AT_ONCE) - self.measured * texts, now

    def request(self, entry: Entry) -> Values:
        """Return the row of a request."""
        answered = entry.labels is not None
        return {
            "id": entry.id,
            "at": entry.at,
            "route": entry.route,
            "code": entry.code,
            "version": entry.version,
            "role": entry.role,
            "shadow": entry.shadow,
            "client": self.hasher.client(entry.client),
            "texts": len(entry.texts),
            "characters": sum(map(len, entry.texts)),
            "tokens": entry.tokens,
            "seconds": entry.seconds,
            "waited": entry.waited,
            "bytes": REQUEST_BYTES + (self.size(entry.texts) if answered else 0),
        }

    def size(self, texts: Sequence[str]) -> int:
        """Return about how many bytes the answers to texts take in the database."""
        from pipeline.watching.textdrift import BUCKETS

        each = PREDICTION_BYTES + (BUCKETS if self.features else 0)
        size = each * len(texts)
        if self.knobs.text != "none":
            size += sum(
                len(text[: self.knobs.characters].encode(errors="replace")) for text in texts
            )
        return size

    def predictions(self, entry: Entry) -> list[Values]:
        """Return a row for each text that was answered, without the number of its request."""
        if entry.labels is None:
            return []
        sure = certainty(entry.scores, len(entry.texts))
        nobody: list[str | None] = [None] * len(entry.texts)
        stable = entry.stable_labels or nobody
        answers = zip(entry.texts, entry.labels, stable, sure, strict=True)
        return [
            {
                "index": index,
                **self.of_text(text),
                "label": storable(label)[:REASON],
                "confidence": confidence,
                "margin": margin,
                "scores": scores,
                "stable_label": None if other is None else storable(other)[:REASON],
            }
            for index, (text, label, other, (confidence, margin, scores)) in enumerate(answers)
        ]

    def of_text(self, text: str) -> Values:
        """Return what is kept of a text."""
        knobs = self.knobs
        found: Values = {
            "hash": self.hasher.text(text),
            "characters": len(text),
            "text": kept(text, knobs) if knobs.text == "masked" else None,
            "language": None,
            "features": None,
        }
        if random.random() < self.measured:
            whole = storable(text)
            found["language"] = language.identify(whole)[0] if knobs.language else None
            found["features"] = self.features(whole) if self.features else None
        return found

    def feedback(self, said: Feedback) -> Values:
        """Return the row of what somebody said, without the number of the request."""
        return {
            "at": said.at,
            "index": said.index,
            "client": self.hasher.client(said.client),
            "verdict": said.verdict,
            "label": self.said(said.label),
            "reason": self.said(said.reason),
        }

    def said(self, text: str | None) -> str | None:
        """Return what is kept of somebody's own words, whatever is kept of texts."""
        if text is None:
            return None
        return masked(text, self.knobs.mask, self.knobs.region)[:REASON]

    @staticmethod
    def event(event: Event) -> Values:
        """Return the row of an event."""
        return {"at": event.at, "kind": event.kind, "data": dict(event.data)}


def features_of() -> Callable[[str], bytes]:
    """Return what makes the features by which drift is found."""
    from pipeline.watching.textdrift import features

    return features


Certainty = tuple[float | None, float | None, list[float] | None]


def certainty(scores: NDArray[np.floating[Any]] | None, texts: int) -> list[Certainty]:
    """Return confidence, margin and the rounded scores of each text.

    Where one of several labels is right, confidence is the highest probability and margin its
    distance to the second. Where several may be, both are those of the least certain decision, the
    larger of p and 1 - p, and abs(2p - 1). Of a number, which is a single score, neither is known;
    and nothing is of scores that are no finite numbers.

    :param scores: [texts, outputs].
    """
    if scores is None:
        return [(None, None, None)] * texts
    # In plain Python: most requests are of one text, for which numpy takes five times as long.
    found: list[list[float]] = scores.tolist()
    whole = [row for row in found if all(map(math.isfinite, row))]
    one_of_all = all(abs(math.fsum(row) - 1) < SUM_TOLERANCE for row in whole)
    return [
        sure(row, one_of_all) if all(map(math.isfinite, row)) else (None, None, None)
        for row in found
    ]


def sure(row: list[float], one_of_all: bool) -> Certainty:
    """Return confidence, margin and rounded scores of one text, see ``certainty``.

    :param one_of_all: of the labels one is right.
    """
    told = [round(one, DECIMALS) for one in row] if len(row) <= MOST_SCORES else None
    if len(row) == 1:
        return None, None, told
    if one_of_all:
        second, first = sorted(row)[-2:]
        return first, first - second, told
    margin = min(abs(2 * one - 1) for one in row)
    return 0.5 + margin / 2, margin, told
