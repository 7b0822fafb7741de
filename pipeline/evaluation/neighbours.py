"""The records of the training part that look most like a wrongly answered one.

An error beside nearly the same text with another label points at labels that disagree; one without
anything like it points at data that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Records = Sequence[Mapping[str, Any]]
    Near = list[dict[str, Any]]

RUNS = (2, 4)  # characters in a row: Chinese words and English stems; one alone says little
MEGABYTES = 64  # of similarities at once


def nearest(errors: Records, train: Records, count: int) -> list[Near]:
    """Return, for each error, ``count`` records of the training part, the most similar first.

    Similarity is the cosine of TF-IDF over runs of two to four characters within words, 0 to 1; it
    needs no segmenter and so reads Chinese and English alike. Records that share nothing with the
    error are left out, and so are varied copies, whose originals are there.

    :param errors: with ``text``.
    :param train: with ``id``, ``text`` and ``label``.
    :returns: ``id``, ``text``, ``label`` and ``similarity`` of each.
    """
    from sklearn import config_context
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    originals = [one for one in train if not one.get("augmented_from")]
    nobody: list[Near] = [[] for _error in errors]
    if not errors or not originals or not count:
        return nobody
    runs = TfidfVectorizer(analyzer="char_wb", ngram_range=RUNS, sublinear_tf=True)
    try:
        known = runs.fit_transform(str(one["text"]) for one in originals)
    except ValueError:  # scikit-learn's word for texts without a character
        return nobody
    searched = runs.transform(str(one["text"]) for one in errors)
    with config_context(working_memory=MEGABYTES):  # never all similarities at once
        found = NearestNeighbors(metric="cosine", algorithm="brute").fit(known)
        distances, places = found.kneighbors(searched, min(count, len(originals)))
    return [
        [
            entry(originals[at], 1.0 - float(distance))
            for distance, at in zip(far, where, strict=True)
            if distance < 1.0
        ]
        for far, where in zip(distances, places, strict=True)
    ]


def entry(record: Mapping[str, Any], similarity: float) -> dict[str, Any]:
    """Return what is shown of a record beside an error."""
    shown = {name: record[name] for name in ("id", "text", "label")}
    return shown | {"similarity": min(1.0, similarity)}
