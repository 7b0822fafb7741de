"""The router: real releases, switched, tried, broken and brought back on a running event loop."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.service import following, router, trials, workers
from app.service.errors import Busy, NotReady
from app.service.following import stamp_of
from app.service.router import Routed, Router
from pipeline.i18n import _
from pipeline.releases import state
from pipeline.releases.ledger import State
from pipeline.schema.releasing import Canary
from tests.app import tiny

TEXTS = {"hello password": "account", "my parcel": "delivery", "money please": "refund"}
KNOBS: dict[str, Any] = {
    "share": 50, "shadow": False, "min_requests": 20, "window_seconds": 60, "check_seconds": 0.1,
    "max_error_share": 0.02, "max_slowdown": 3.0, "slack_ms": 100.0, "compared_share": 0.25,
    "max_disagreement": 0.15,
}  # fmt: skip
FAULTS: dict[str, str] = {}  # version → what its model does from now on
MODELS: list[weakref.ref[Any]] = []  # every one that was loaded


def models() -> int:
    """Return how many models are in memory."""
    return sum(one() is not None for one in MODELS)


class Faulty:
    """A runtime that misbehaves when it is told to."""

    def __init__(self, engine: Any, version: str) -> None:
        self.engine, self.version, self.inputs = engine, version, engine.inputs

    def run(self, feed: dict[str, Any]) -> Any:
        logits, fault = self.engine.run(feed), FAULTS.get(self.version)
        if fault == "errors":
            raise RuntimeError("a model that fails")
        if fault == "slow":
            time.sleep(0.3)
        if fault == "wrong":
            return np.roll(logits, 1, axis=1)
        if fault == "nan":
            return np.full_like(logits, np.nan)
        return logits


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    load = workers.load

    def faulty(folder: Path, count: int) -> Any:
        made = load(folder, count)
        for one in made:
            one.engine = Faulty(one.engine, folder.parent.name)  # type: ignore[assignment]
            MODELS.append(weakref.ref(one))
        return made

    monkeypatch.setattr(workers, "load", faulty)
    MODELS.clear()
    yield
    FAULTS.clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Releases 1.0.0, which serves, 1.1.0, which answers the same, and 2.0.0, which does not."""
    root = tmp_path_factory.mktemp("made")
    tiny.promoted(root)
    tiny.release(root / "releases", "1.1.0")
    tiny.release(root / "releases", "2.0.0", turned=True)
    (root / "releases/1.1.0/model/note.txt").write_text("1.1.0", encoding="utf-8")
    tiny.artifacts.write_manifest(root / "releases/1.1.0/model")
    tiny.artifacts.write_manifest(root / "releases/1.1.0")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return tiny.copied(made, tmp_path) / "releases"


@dataclass
class Running:
    """A router on this loop."""

    root: Path
    changes: dict[str, Any] = field(default_factory=dict)
    serve: dict[str, Any] = field(default_factory=dict)

    async def __aenter__(self) -> Running:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.told: list[Routed] = []
        self.router = Router(
            tiny.serve(**{"workers": 1} | self.serve), Canary.model_validate(KNOBS | self.changes),
            self.root, lambda kind, data: self.events.append((kind, dict(data))),
        )  # fmt: skip
        await self.router.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.router.stop()

    async def ask(self, client: str = "somebody", text: str = "my parcel") -> Routed:
        return await self.router.ask([text], client, self.told.append)

    async def many(self, count: int = 60) -> set[str]:
        """Ask in many names and return the versions that answered, each of them rightly."""
        found = [await self.ask(f"client-{at}") for at in range(count)]
        assert {one.answered.labels[0] for one in found} <= {"delivery", "refund"}
        assert all(np.isfinite(one.answered.scores).all() for one in found)
        return {one.lane.version for one in found}

    async def until(self, holds: Callable[[], Any], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, (self.events, self.router.reasons())
            await asyncio.sleep(0.02)

    async def serves(self, *versions: str) -> None:
        await self.until(lambda: [one.version for one in self.router.lanes()] == list(versions))

    def reasons(self) -> list[str]:
        return [str(one) for one in self.router.reasons()]


Work = Callable[[Running], Awaitable[None]]


def run(work: Work, root: Path, serve: dict[str, Any] | None = None, **changes: Any) -> None:
    """Run what a test does with a router."""

    async def inside() -> None:
        async with Running(root, changes, serve or {}) as running:
            await work(running)

    tiny.run(inside())
    left = [one.name for one in threading.enumerate() if one.name == "mofang-worker"]
    assert not left, "workers go with their models"


def try_out(root: Path, share: int = 50, shadow: bool = False, version: str = "1.1.0") -> None:
    state.start_canary(version, share, shadow, "test", root=root)


def test_what_serves_answers(root: Path) -> None:
    async def work(running: Running) -> None:
        for text, label in TEXTS.items():
            routed = await running.ask(text=text)
            assert (routed.lane.version, routed.answered.labels) == ("1.0.0", [label])
        assert running.router.ready
        assert running.reasons() == []
        assert len(running.told) == 3
        assert running.router.waiting == 0

    run(work, root)


def test_without_a_release_nothing_is_ready_until_there_is_one(root: Path) -> None:
    content = (root / "state.json").read_bytes()
    (root / "state.json").unlink()

    async def work(running: Running) -> None:
        assert not running.router.ready
        with pytest.raises(NotReady):
            await running.ask()
        (root / "state.json").write_bytes(content)
        await running.serves("1.0.0")
        await running.ask()

    run(work, root)


def test_clients_stay_with_their_model(root: Path) -> None:
    try_out(root, share=30)

    async def work(running: Running) -> None:
        first = {f"c{at}": running.router.pick(f"c{at}").version for at in range(2_000)}
        again = {client: running.router.pick(client).version for client in first}
        assert first == again
        share = sum(version == "1.1.0" for version in first.values()) / len(first)
        assert 0.26 < share < 0.34  # 2000 draws: four standard errors
        # More of them: nobody who had the canary loses it.
        try_out(root, share=60)
        await running.until(lambda: running.router.now.share == 60)
        now = {client: running.router.pick(client).version for client in first}
        assert all(now[one] == "1.1.0" for one, had in first.items() if had == "1.1.0")
        assert running.router.pick("\udcff lone").version  # header bytes that are no text

    run(work, root)


def test_a_promoted_canary_is_not_loaded_again(root: Path) -> None:
    try_out(root)

    async def work(running: Running) -> None:
        lane = running.router.lane("1.1.0")
        assert lane is not None
        state.promote("1.1.0", "test", root=root)
        await running.serves("1.1.0")
        assert running.router.stable is not None
        assert running.router.stable.batcher is lane.batcher
        assert running.router.stable.role == "stable"
        assert running.router.guard.trial is None
        assert await running.many(10) == {"1.1.0"}

    run(work, root)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The service freezes what is there at its start: the collector never frees that."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_switching_loses_no_request_and_frees_memory(root: Path) -> None:
    """Eight switches while four clients ask without a pause."""

    async def work(running: Running) -> None:
        over, counts = False, [0] * 4
        seen: set[str] = set()

        async def client(at: int) -> None:
            while not over:
                seen.add((await running.router.ask(["my parcel"], f"client {at}")).lane.version)
                counts[at] += 1

        asking = [asyncio.create_task(client(at)) for at in range(4)]
        try:
            for turn in range(8):
                version = ("1.1.0", "1.0.0")[turn % 2]
                await asyncio.to_thread(state.promote, version, "test", root=root)
                await running.serves(version)
                assert models() <= 3, "one that answers, one that ends, one that is waited for"
        finally:
            over = True
            await asyncio.gather(*asking)  # raises what a client met
        assert seen == {"1.0.0", "1.1.0"}
        assert min(counts) > 20
        assert len(MODELS) > 8
        await running.until(lambda: models() == 1)

    run(work, root)


@pytest.mark.parametrize("how", ["flipped", "missing", "state"])
def test_whatever_is_wrong_with_the_new_one_the_old_one_goes_on(root: Path, how: str) -> None:
    async def work(running: Running) -> None:
        path = root / "state.json"
        content = path.read_bytes()
        if how == "flipped":
            weights = root / "1.1.0/model/openvino_model.bin"
            turned = bytearray(weights.read_bytes())
            turned[len(turned) // 2] ^= 1
            weights.write_bytes(turned)
        elif how == "missing":
            (root / "1.1.0/golden.json").unlink()
        wrong = {"stable": "1.1.0"} if how != "state" else {"stable": 7}
        path.write_text(json.dumps(json.loads(content) | wrong), encoding="utf-8")
        await running.until(running.reasons)
        assert await running.many(10) == {"1.0.0"}
        assert running.router.ready
        if how != "state":
            assert "release 1.1.0 could not be loaded" in running.reasons()[0]
            told = [data for kind, data in running.events if kind == "not_loaded"]
            assert [one["version"] for one in told] == ["1.1.0"]
            assert set(told[0]["why"]) == {"en", "zh"}
        path.write_bytes(content)
        await running.until(lambda: not running.reasons())

    run(work, root)


def test_a_removed_file_silences_nobody(root: Path) -> None:
    async def work(running: Running) -> None:
        (root / "state.json").unlink()
        await running.until(running.reasons)
        assert await running.many(5) == {"1.0.0"}

    run(work, root)


def test_a_release_that_answers_otherwise_than_it_did_is_not_taken(root: Path) -> None:
    """Golden questions: the files are whole, but the machine computes something else."""

    async def work(running: Running) -> None:
        await asyncio.to_thread(state.promote, "1.1.0", "test", root=root)
        FAULTS["1.1.0"] = "wrong"
        await running.until(running.reasons)
        assert await running.many(5) == {"1.0.0"}

    run(work, root)


def test_what_failed_is_tried_again_and_told_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY", 0.3)

    async def work(running: Running) -> None:
        FAULTS["1.1.0"] = "errors"
        await asyncio.to_thread(state.promote, "1.1.0", "test", root=root)
        await running.until(running.reasons)
        await asyncio.sleep(1.2)
        assert [kind for kind, _data in running.events].count("not_loaded") == 1
        FAULTS.clear()
        await running.serves("1.1.0")
        assert running.reasons() == []

    run(work, root)


def test_the_one_before_answers_when_stable_is_broken_at_the_start(root: Path) -> None:
    state.promote("1.1.0", "test", root=root)
    (root / "1.1.0/model/openvino_model.bin").write_bytes(b"")

    async def work(running: Running) -> None:
        assert await running.many(5) == {"1.0.0"}
        assert "release 1.1.0 could not be loaded" in running.reasons()[0]

    run(work, root)


@pytest.mark.parametrize("fault", ["errors", "slow", "wrong", "nan"])
def test_a_bad_canary_is_gone_within_ten_seconds(root: Path, fault: str) -> None:
    try_out(root)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        FAULTS["1.1.0"] = fault
        began = time.monotonic()
        while running.router.now.canary is not None:
            await asyncio.gather(*(running.ask(f"c{at}") for at in range(30)))  # none fails
            assert time.monotonic() < began + 10, running.router.guard.seen
        await running.until(lambda: State.read(root).canary is None)
        now = State.read(root)
        assert (now.stable, list(now.blocked)) == ("1.0.0", ["1.1.0"])
        assert [one.what for one in now.events][-2:] == ["end_canary", "block"]
        assert now.events[-1].by == "guard"
        ended = [data for kind, data in running.events if kind == "canary_ended"]
        assert [one["version"] for one in ended] == ["1.1.0"]
        assert await running.many(20) == {"1.0.0"}
        if fault in ("errors", "nan"):
            assert {one.lane.version for one in running.told} <= {"1.0.0", "1.1.0"}
            assert any(one.failed == "1.1.0" for one in running.told)

    run(work, root)


def test_a_good_canary_stays(root: Path) -> None:
    try_out(root)

    async def work(running: Running) -> None:
        assert await running.many(150) == {"1.0.0", "1.1.0"}
        await asyncio.sleep(0.5)
        assert await running.many(20) == {"1.0.0", "1.1.0"}
        assert State.read(root).blocked == {}
        # Each once, however many were compared; those are told after the reply.
        await running.until(lambda: len(running.told) >= 170)
        assert len(running.told) == 170
        compared = [one for one in running.told if one.stable_labels is not None]
        assert compared
        assert all(one.stable_labels == one.answered.labels for one in compared)

    run(work, root)


def test_a_release_of_other_answers_is_found_out(root: Path) -> None:
    """It passes its own golden questions: nothing but stable knows better."""
    try_out(root, version="2.0.0")

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "2.0.0")
        while running.router.now.canary is not None:
            await running.many(30)
        await running.until(lambda: "2.0.0" in State.read(root).blocked)

    run(work, root)


def test_a_shadow_answers_copies_that_nobody_sees(root: Path) -> None:
    try_out(root, share=100, shadow=True, version="2.0.0")

    async def work(running: Running) -> None:
        assert running.router.lane("2.0.0") is None
        assert await running.many(40) == {"1.0.0"}
        await running.until(lambda: running.router.now.canary is None)  # wrong, and found out
        copies = [one for one in running.told if one.shadow]
        assert copies
        assert {one.lane.version for one in copies} == {"2.0.0"}
        assert all(one.stable_labels == ["delivery"] for one in copies)
        assert "2.0.0" in State.read(root).blocked or await asyncio.sleep(0.5, result=True)

    run(work, root)


def test_a_shadow_that_fails_is_ended_and_nobody_notices(root: Path) -> None:
    try_out(root, share=100, shadow=True)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        FAULTS["1.1.0"] = "errors"
        while running.router.now.canary is not None:
            assert await running.many(10) == {"1.0.0"}
        assert all(one.failed is None for one in running.told)

    run(work, root)


def test_what_stable_cannot_answer_either_is_not_the_canarys_fault(root: Path) -> None:
    try_out(root, share=100)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        FAULTS.update({"1.0.0": "errors", "1.1.0": "errors"})
        for at in range(40):
            with pytest.raises(Exception, match="model"):
                await running.ask(f"c{at}")
        await asyncio.sleep(0.3)
        assert running.router.now.canary is not None

    run(work, root)


def test_overload_is_nobodys_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the queue clients are told to come back, and no comparison takes their place."""
    try_out(root)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        FAULTS.update({"1.0.0": "slow", "1.1.0": "slow"})
        asked = [running.ask(f"c{at}") for at in range(60)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in found if isinstance(one, BaseException)]
        assert refused
        assert {isinstance(one, Busy) for one in refused} == {True}
        await asyncio.sleep(0.3)
        assert running.router.now.canary is not None

    run(work, root, serve={"batching__queue": 8, "limits__texts": 8, "batching__budget": 8})


def test_a_canary_that_cannot_be_loaded_ends_its_own_trial(root: Path) -> None:
    try_out(root)
    (root / "1.1.0/model/openvino_model.bin").write_bytes(b"")

    async def work(running: Running) -> None:
        assert await running.many(20) == {"1.0.0"}
        now = State.read(root)
        assert now.canary is None
        assert "1.1.0" in now.blocked
        assert "could not be tried" in str(now.events[-1].why)

    run(work, root)


def test_a_trial_stays_over_when_the_file_cannot_be_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_out(root)
    monkeypatch.setattr(following, "RETRY", 0.3)
    full = [True]
    end_canary = state.end_canary

    def refused(*args: Any, **kwargs: Any) -> Any:
        if full:
            raise OSError(28, "No space left on device")
        return end_canary(*args, **kwargs)

    monkeypatch.setattr(state, "end_canary", refused)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        FAULTS["1.1.0"] = "errors"
        while running.router.now.canary is not None:
            await running.many(20)
        await running.until(running.reasons)
        assert "the trial of 1.1.0 is over" in running.reasons()[0]
        await asyncio.sleep(0.8)
        assert await running.many(20) == {"1.0.0"}  # though the file still names it
        assert State.read(root).canary is not None
        full.clear()
        await running.until(lambda: State.read(root).canary is None)
        await running.until(lambda: not running.reasons())

    run(work, root)


def test_a_trial_that_kills_the_service_twice_is_not_begun_again(root: Path) -> None:
    try_out(root)
    since = State.read(root).canary.since  # type: ignore[union-attr]
    assert trials.begin(root, since) == 0  # and then the process was killed

    async def once(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        (root / trials.MARK).rename(root / "kept")

    run(once, root)
    (root / "kept").rename(root / trials.MARK)  # killed again

    async def never(running: Running) -> None:
        assert await running.many(20) == {"1.0.0"}
        assert "died 2 times" in str(State.read(root).events[-1].why)
        assert not (root / trials.MARK).exists()

    run(never, root)


def test_an_orderly_end_is_no_death(root: Path) -> None:
    try_out(root)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        assert (root / trials.MARK).exists()

    for _turn in range(3):
        run(work, root)
    assert State.read(root).canary is not None


def test_a_quiet_trial_begins_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_out(root)
    trials.begin(root, State.read(root).canary.since)  # type: ignore[union-attr]
    monkeypatch.setattr(trials, "QUIET", 0.1)

    async def work(running: Running) -> None:
        def deaths() -> int:
            return int(json.loads((root / trials.MARK).read_text(encoding="utf-8"))["deaths"])

        assert deaths() == 1
        await running.until(lambda: deaths() == 0)

    run(work, root)


def test_only_the_trial_that_was_judged_ends(root: Path) -> None:
    """Somebody has begun the same canary anew while the guard was judging."""
    try_out(root)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        judged = running.router.guard.trial
        assert judged is not None
        state.end_canary("by hand", "test", root=root)
        await running.serves("1.0.0")
        try_out(root)
        await running.serves("1.0.0", "1.1.0")
        assert running.router.guard.trial not in (None, judged)
        await running.router.follower.end(judged, _("too late"))
        assert await running.many() == {"1.0.0", "1.1.0"}
        assert State.read(root).blocked == {}

    run(work, root)


def test_a_canary_that_ends_while_it_leaves_the_shadow_is_loaded_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its clients would be sent to a model that is closed."""
    try_out(root, shadow=True)
    begin, begun, going = following.begin, threading.Event(), threading.Event()

    def slowly(trial: Any, root: Path) -> None:
        begin(trial, root)
        begun.set()
        assert going.wait(10)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        judged = running.router.guard.trial
        assert judged is not None
        monkeypatch.setattr(following, "begin", slowly)
        await asyncio.to_thread(try_out, root)
        await asyncio.to_thread(begun.wait, 10)
        await running.router.follower.end(judged, _("not good"))
        going.set()
        await running.serves("1.0.0", "1.1.0")
        assert await running.many() == {"1.0.0", "1.1.0"}
        assert running.router.guard.trial not in (None, judged)

    run(work, root)


def test_copies_that_fill_a_queue_are_not_the_shadows_fault(root: Path) -> None:
    try_out(root, share=100, shadow=True)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        canary = running.router.now.canary
        assert canary is not None
        canary.batcher.queue = 0  # every copy is refused
        await running.many(60)
        await asyncio.sleep(0.5)
        assert running.router.now.canary is canary
        assert not running.router.guard.seen["canary"]

    run(work, root)


def test_a_failing_listener_stops_nothing(root: Path) -> None:
    async def work(running: Running) -> None:
        def event(kind: str, data: Any) -> None:
            raise RuntimeError(kind)

        running.router.follower.event = event
        await asyncio.to_thread(state.promote, "1.1.0", "test", root=root)
        await running.serves("1.1.0")

    run(work, root)


def test_copies_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_out(root, share=100, shadow=True)
    monkeypatch.setattr(router, "COPIES", 3)

    async def work(running: Running) -> None:
        await running.serves("1.0.0", "1.1.0")
        FAULTS["1.1.0"] = "slow"
        await running.many(40)
        assert len(running.router._copies) <= 3

    run(work, root)


def test_a_replaced_file_is_seen_however_fast(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert stamp_of(path) is None
    stamps = set()
    for at in range(20):
        tiny.artifacts.write_bytes(path, str(at % 2).encode())
        stamps.add(stamp_of(path))
    assert len(stamps) == 20
