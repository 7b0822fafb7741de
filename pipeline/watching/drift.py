"""Whether requests still are of the kind that the model learnt from.

Five kinds of drift are judged, each on a scale from 0 (alike) to 1 (nothing in common): of the
texts (``textdrift``), and of answers, lengths, languages and confidences (Jensen-Shannon distance
of ``bins``). Where people told what was right, and often enough, their labels are judged beside the
answers; who says something is no random sample, so take what is found there for a hint.

Each has a threshold that windows of the same kind of text pass in at most ``false_alarms`` of all
cases, over all kinds together (Bonferroni). It is that of a window of ``min_texts`` texts for
larger ones, too: what so many texts cannot show is no reason for an alert, however certain, and a
sample of a large window comes to the same verdict as the whole.

Nothing here needs more than numpy, and nothing reads a training record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.watching.bins import Bins, distance
from pipeline.watching.windows import CONFIDENCE, FEATURES, LABEL, LANGUAGE, LENGTH, TRUTH, Window

if TYPE_CHECKING:
    from pipeline.schema.watching import Drift as Knobs
    from pipeline.watching.reference import Reference

TEXT = "text"
SOURCES = {TEXT: (FEATURES,), "label": (LABEL, TRUTH), "length": (LENGTH,),
           "language": (LANGUAGE,), "confidence": (CONFIDENCE,)}  # fmt: skip
MOST_CHANGES = 5
# Thresholds are set for half the stated rate: a reference is a draw itself, and what windows show
# of it is not all that chance can do. Measured on real texts: benchmarks/drift.py.
MARGIN = 2
LEAST = 0.01  # a smaller distance is rounding, where all texts are alike


@dataclass(frozen=True)
class Change:
    """A bin whose share changed: a label, a language or a range; shares are 0 to 1."""

    name: str
    before: float
    now: float


@dataclass(frozen=True)
class Finding:
    """How far one column lies from the training data."""

    kind: str  # text, label, length, language, confidence; truth: labels that people gave
    texts: int  # of which it is known
    score: float  # 0 to 1
    threshold: float
    changes: tuple[Change, ...]  # the largest first; none for texts

    @property
    def drifted(self) -> bool:
        """Whether the score is beyond the threshold."""
        return self.score > self.threshold

    def told(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {
            "texts": self.texts,
            "score": self.score,
            "threshold": self.threshold,
            "drifted": self.drifted,
            "changes": [vars(one) for one in self.changes],
        }


@dataclass(frozen=True)
class Drift:
    """What was found in a window."""

    texts: int  # that there were
    judged: int  # of which so many were drawn
    findings: tuple[Finding, ...]  # none where there were too few texts

    @property
    def drifted(self) -> bool:
        """Whether anything is beyond its threshold."""
        return any(one.drifted for one in self.findings)

    @property
    def kinds(self) -> list[str]:
        """The kinds that drifted."""
        return [one.kind for one in self.findings if one.drifted]

    @property
    def scores(self) -> dict[str, float]:
        """The score of each kind, 0 to 1."""
        return {one.kind: one.score for one in self.findings}

    def told(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {
            "texts": self.texts,
            "judged": self.judged,
            "drifted": self.drifted,
            "kinds": {one.kind: one.told() for one in self.findings},
        }


def check(reference: Reference, window: Window, knobs: Knobs) -> Drift:
    """Compare a window with what a release learnt from.

    A column that is known of fewer than ``min_texts`` texts is not judged.
    """
    seen = window.sampled(knobs.max_texts, knobs.seed)
    values = {
        name: known
        for kind in knobs.kinds
        for name in SOURCES[kind]
        if (name in reference.bins or (name == FEATURES and reference.texts.ready))
        and len(known := understood(reference, name, seen.known(name))) >= knobs.min_texts
    }
    alarms = knobs.false_alarms / (MARGIN * max(len(values), 1))
    findings = tuple(
        text_finding(reference, seen, knobs, alarms)
        if name == FEATURES
        else finding(name, reference.bins[name], known, knobs, alarms)
        for name, known in values.items()
    )
    return Drift(len(window), len(seen), findings)


def understood(reference: Reference, name: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return values as bins count them; labels of another task are left out."""
    try:
        return reference.values(name, values)
    except ValueError:
        return []


def text_finding(reference: Reference, window: Window, knobs: Knobs, alarms: float) -> Finding:
    """Return how far texts lie from the training texts.

    :param alarms: share of sound windows in which the threshold may be passed.
    """
    counts, texts = window.counts(), reference.texts
    threshold = texts.threshold(knobs.min_texts, alarms)
    return Finding(TEXT, len(counts), texts.score(counts), max(threshold, LEAST), ())


def finding(name: str, bins: Bins, values: Sequence[Any], knobs: Knobs, alarms: float) -> Finding:
    """Return how far the values of a column lie from their bins.

    :param alarms: share of sound windows in which the threshold may be passed.
    """
    counts = bins.count(values)
    threshold = bins.threshold(knobs.min_texts, alarms, knobs.draws, knobs.seed)
    score = float(distance(np.array(bins.counts), counts))
    return Finding(name, len(values), score, max(threshold, LEAST), changes(bins, counts.tolist()))


def changes(bins: Bins, counts: Sequence[int]) -> tuple[Change, ...]:
    """Return the bins whose shares changed most, the largest change first."""
    before, now = shares(bins.counts), shares(counts)
    found = [Change(*one) for one in zip(bins.titles(), before, now, strict=True)]
    ordered = sorted(found, key=lambda one: -abs(one.now - one.before))
    return tuple(one for one in ordered[:MOST_CHANGES] if one.now != one.before)


def shares(counts: Sequence[int]) -> list[float]:
    """Return what share of all each count is."""
    total = sum(counts)
    return [one / max(total, 1) for one in counts]
