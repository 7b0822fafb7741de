"""Batches: what shares one, what is refused, and that an answer never depends on its company."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.service import workers
from app.service.batching import Batcher
from app.service.errors import Busy, Closed, Failed, Late
from app.service.line import NEAR, choose
from pipeline.predictor import Card, Predictor
from pipeline.steps.targets import SINGLE
from tests.app import tiny
from tests.pipeline.made_models import LABELS, records, tokenizer

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)
TEXTS = [one["text"] for one in records(SINGLE, 60, 5)]
SAME = 1e-6  # of a score: another batch adds up in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("batching") / "model")


def batcher(folder: Path, count: int = 2, **bounds: Any) -> Batcher:
    whole = {"budget": 128, "queue": 200, "deadline": 5.0} | bounds
    return Batcher(workers.load(folder, count), **whole)


class Gated(Predictor):
    """A model that waits before each batch until a test lets it go on."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.open = threading.Event()
        self.shapes: list[tuple[int, ...]] = []
        self.poison: list[int] = []

    def scored(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        assert self.open.wait(10)
        self.shapes.append(logits.shape)
        return super().scored(logits)


def gated(folder: Path) -> Gated:
    return Gated.load(folder, threads=1)


@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_a_batch_holds_the_oldest_and_keeps_the_budget(
    lengths: list[int], budget: int, padding: bool
) -> None:
    chosen = choose(lengths, budget, padding)
    assert chosen[0] == 0
    assert len(set(chosen)) == len(chosen)
    longest = max(lengths[at] for at in chosen)
    assert len(chosen) == 1 or longest * len(chosen) <= budget
    assert min(lengths[at] for at in chosen) >= NEAR * longest, "else it may score otherwise"
    if not padding:
        assert {lengths[at] for at in chosen} == {lengths[0]}


@given(LENGTHS)
def test_whoever_is_left_out_is_no_nearer_in_length(lengths: list[int]) -> None:
    chosen = choose(lengths, 100, padding=True)
    farthest = max(abs(lengths[at] - lengths[0]) for at in chosen)
    others = [abs(lengths[at] - lengths[0]) for at in set(range(len(lengths))) - set(chosen)]
    assert all(distance >= farthest for distance in others)


def test_answers_are_those_of_the_model_alone(folder: Path) -> None:
    model = Predictor.load(folder, threads=1)

    async def ask() -> list[Any]:
        one = batcher(folder)
        found = await asyncio.gather(*(one.ask(TEXTS[at : at + 3]) for at in range(0, 60, 3)))
        await one.close()
        return found

    answers = tiny.run(ask())
    scores = np.concatenate([one.scores for one in answers])
    assert np.abs(scores - model.scores(TEXTS)).max() < SAME
    assert [label for one in answers for label in one.labels] == model.answers(TEXTS)
    assert sum(one.tokens for one in answers) == sum(map(len, model.tokens(TEXTS)))
    assert all(0 <= one.waited <= one.seconds for one in answers)


def test_texts_of_several_requests_share_a_batch(folder: Path) -> None:
    model = gated(folder)

    async def ask() -> None:
        one = Batcher([model], 1_000, 200, 5.0)
        first = asyncio.create_task(one.ask(["please"]))
        while one.waiting:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(one.ask([text])) for text in TEXTS]
        await asyncio.sleep(0.1)
        model.open.set()
        await asyncio.gather(first, *others)
        await one.close()

    tiny.run(ask())
    assert len(model.shapes) < 10
    assert max(rows for rows, _outputs in model.shapes) > 20


def test_a_model_that_takes_padding_for_text_gets_none(tmp_path: Path) -> None:
    right, wrong = (
        Predictor.load(tiny.model(tmp_path / name, masked=masked), threads=1)
        for name, masked in (("right", True), ("wrong", False))
    )
    assert workers.padded_rightly(right)
    assert not workers.padded_rightly(wrong)

    async def ask() -> Any:
        one = Batcher([wrong], 1_000, 200, 5.0)
        found = await one.ask(TEXTS)
        await one.close()
        return found

    alone = Predictor.load(tmp_path / "wrong", threads=1)
    assert np.abs(tiny.run(ask()).scores - alone.scores(TEXTS)).max() < SAME


def test_beyond_the_queue_requests_are_refused_at_once(folder: Path) -> None:
    model = gated(folder)

    async def ask() -> None:
        one = Batcher([model], 16, 5, 5.0)
        first = asyncio.create_task(one.ask(["please"]))
        await asyncio.sleep(0.1)  # the worker holds it
        waiting = asyncio.create_task(one.ask(["my money"] * 5))
        await asyncio.sleep(0)
        seconds = []
        for _try in range(3):  # others use the processor too
            started = time.perf_counter()
            with pytest.raises(Busy) as caught:
                await one.ask(["late"])
            seconds.append(time.perf_counter() - started)
        assert min(seconds) < 0.05
        assert caught.value.retry_after is not None
        assert caught.value.status == 503
        model.open.set()
        assert (await first).labels
        assert (await waiting).labels == ["refund"] * 5
        assert one.waiting == 0
        assert (await one.ask(["my money"])).labels == ["refund"]
        await one.close()

    tiny.run(ask())


def test_nobody_waits_longer_than_the_deadline(folder: Path) -> None:
    model = gated(folder)

    async def ask() -> None:
        one = Batcher([model], 16, 50, 0.2)
        held = asyncio.create_task(one.ask(["please"]))
        await asyncio.sleep(0.05)
        started = time.perf_counter()
        with pytest.raises(Late) as caught:
            await one.ask(["my money"] * 3)
        assert 0.15 < time.perf_counter() - started < 1.0
        assert caught.value.retry_after is not None
        with pytest.raises(Late):
            await held
        assert one.waiting == 0, "who is gone leaves room"
        model.open.set()
        assert (await one.ask(["my money"])).labels == ["refund"]
        await one.close()

    tiny.run(ask())
    assert sum(rows for rows, _outputs in model.shapes) == 2, (
        "nothing is read that nobody waits for"
    )


def test_a_client_that_goes_away_leaves_room(folder: Path) -> None:
    model = gated(folder)

    async def ask() -> None:
        one = Batcher([model], 16, 50, 5.0)
        held = asyncio.create_task(one.ask(["please"]))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(one.ask(["my money"] * 30))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.wait([gone])
        assert one.waiting == 0
        model.open.set()
        await held
        await one.close()

    tiny.run(ask())


class Poisoned(Predictor):
    """A model that fails on a batch with a certain word."""

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        if (tokens == 5).any():  # "today"
            raise RuntimeError("a kernel failed")
        return super().forward(tokens)


def test_a_text_that_a_model_cannot_read_spoils_no_other(folder: Path) -> None:
    model = Poisoned.load(folder, threads=1)

    async def ask() -> list[Any]:
        one = Batcher([model], 1_000, 200, 5.0)
        texts = ["my money", "today money", "my parcel", "late money"]
        found = await asyncio.gather(*(one.ask([text]) for text in texts), return_exceptions=True)
        after = await one.ask(["my parcel"])
        await one.close()
        return [*found, after]

    first, poisoned, *others = tiny.run(ask())
    assert isinstance(poisoned, Failed)
    assert [one.labels for one in (first, *others)] == [
        ["refund"], ["delivery"], ["refund"], ["delivery"],
    ]  # fmt: skip


class Unreadable(Predictor):
    """A model whose tokenizer fails."""

    def tokens(self, texts: Any) -> list[list[int]]:
        if "late" in texts:
            raise RuntimeError("a tokenizer failed")
        return super().tokens(texts)


def test_a_request_without_tokens_fails_alone(folder: Path) -> None:
    model = Unreadable.load(folder, threads=1)

    async def ask() -> list[Any]:
        one = Batcher([model], 1_000, 200, 5.0)
        asked = (one.ask(["my money"]), one.ask(["late"]), one.ask(["my parcel"]))
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert one.waiting == 0
        await one.close()
        return list(found)

    first, failed, last = tiny.run(ask())
    assert isinstance(failed, Failed)
    assert first.labels + last.labels == ["refund", "delivery"]


def test_closing_answers_what_was_asked_and_ends_the_threads(folder: Path) -> None:
    before = threading.active_count()

    async def ask() -> None:
        one = batcher(folder)
        asked = [asyncio.create_task(one.ask([text])) for text in TEXTS]
        await asyncio.sleep(0)
        await one.close()
        assert [len((await task).labels) for task in asked] == [1] * len(TEXTS)
        with pytest.raises(Closed):
            await one.ask(["my money"])

    tiny.run(ask())
    workers_left = [one for one in threading.enumerate() if one.name == "mofang-worker"]
    assert not workers_left
    assert threading.active_count() <= before + 1  # the executor of asyncio ends with its loop


def test_a_closed_batcher_lets_go_of_its_models(folder: Path) -> None:
    """The service froze what was there at its start: the collector never frees that."""

    async def ask() -> weakref.ref[Any]:
        models = workers.load(folder, 2)
        one = Batcher(models, 128, 200, 5.0)
        await one.ask(TEXTS)
        await one.close()
        return weakref.ref(models[0])

    gc.collect()
    gc.disable()
    try:
        assert tiny.run(ask())() is None
    finally:
        gc.enable()


def test_a_team_shares_a_model_and_answers_at_once_as_one_alone(folder: Path) -> None:
    alone, team = Predictor.load(folder, threads=1), Predictor.team(folder, 3)
    assert len({id(one.engine.compiled) for one in team}) == 1
    assert len({id(one.engine.request) for one in team}) == 3
    wanted = alone.scores(TEXTS)
    with ThreadPoolExecutor(3) as pool:
        for _turn in range(20):
            found = list(pool.map(lambda one: one.scores(TEXTS), team))
            assert max(np.abs(one - wanted).max() for one in found) < SAME


def test_workers_compute_beside_each_other(folder: Path) -> None:
    """Pinned to the first core, two models of one thread answered no more than one."""
    alone, team = Predictor.load(folder, threads=1), Predictor.team(folder, 2)
    for one in (alone, *team):
        assert one.engine.compiled.get_property("ENABLE_CPU_PINNING") is False
    streams = min(2, len(os.sched_getaffinity(0)))
    assert team[0].engine.compiled.get_property("NUM_STREAMS") == streams


@pytest.mark.parametrize("task", tiny.EVERY)
def test_every_task_is_answered(tmp_path: Path, task: str) -> None:
    model = Predictor.load(tiny.model(tmp_path / "model", task), threads=1)
    texts = [one["text"] for one in records(task, 20, 6)]

    async def ask() -> Any:
        one = Batcher([model], 256, 100, 5.0)
        found = await one.ask(texts)
        await one.close()
        return found

    alone = Predictor.load(tmp_path / "model", threads=1)
    found = tiny.run(ask())
    assert found.labels == alone.answers(texts)
    assert found.scores.shape == (20, 1 if task == "regression" else len(LABELS))


def test_a_threshold_decides(tmp_path: Path) -> None:
    bound = {LABELS[0]: 0.0}
    folder = tiny.recard(tiny.model(tmp_path / "model", "multi_label"), thresholds=bound)

    async def ask() -> Any:
        one = batcher(folder, 1)
        found = await one.ask(["my money"])
        await one.close()
        return found

    assert tiny.run(ask()).labels == [f"{LABELS[0]}|refund"]


def test_the_number_of_workers() -> None:
    assert workers.count(3) == 3
    assert workers.count(0) == len(os.sched_getaffinity(0))


def test_a_predictor_of_another_kind_is_not_padded() -> None:
    from pipeline.predictor import BasePredictor

    card = Card(SINGLE, LABELS, 32, {}, {"kinds": [], "region": "US"})
    assert not workers.padded_rightly(BasePredictor(card, tokenizer()))
