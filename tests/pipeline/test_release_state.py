"""What serves: promoted, tried, rolled back, blocked; and that the file survives everything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.errors import BusyError, GateError, ModelError, StorageError
from pipeline.i18n import _
from pipeline.releases import golden, state, store
from pipeline.releases.ledger import Event, State, say
from pipeline.releases.reading import RELEASES, Release
from tests.helpers import ROOT
from tests.pipeline import made_releases

Releases = Mapping[str, Release]
FILE = RELEASES / "state.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with releases 1.0.0, 1.1.0 and 1.2.0; tests take a copy."""
    return made_releases.three(tmp_path_factory.mktemp("made"))


@pytest.fixture
def releases(project: Path, made: Path) -> Releases:
    """Return the releases of the project in which the test runs, by their version."""
    shutil.copytree(made, project, dirs_exist_ok=True)
    return {version: store.read(version) for version in store.versions()}


def happened() -> list[tuple[str, str]]:
    return [(one.what, one.version) for one in State.read().events if one.what != "create"]


def test_where_nothing_was_promoted_nothing_serves(project: Path) -> None:
    assert State.read() == State()
    assert State().serving() == []
    with pytest.raises(GateError, match="no earlier release"):
        state.rollback("anna", None)
    with pytest.raises(GateError, match="no canary"):
        state.rollback("anna", None, only_canary=True)


def test_from_the_first_promotion_to_a_rollback(releases: Releases) -> None:
    state.promote("1.0.0", "anna")
    state.promote("1.1.0", "anna", why="better")
    state.start_canary("1.2.0", 10, False, "bob")
    now = State.read()
    assert now.serving() == ["1.1.0", "1.2.0"]
    assert now.canary is not None
    assert (now.canary.share, now.canary.shadow) == (10, False)
    told = json.loads(FILE.read_text(encoding="utf-8"))
    assert list(told) == ["stable", "canary", "blocked", "events"]
    assert told["events"][-2] == {
        "at": now.events[-2].at, "what": "promote", "version": "1.1.0", "before": "1.0.0",
        "by": "anna", "why": "better",
    }  # fmt: skip
    assert now.events[-2].at.endswith("+00:00")

    now = state.rollback("bob", "too slow")
    assert (now.stable, now.canary) == ("1.0.0", None), "only what proved itself answers"
    assert now.blocked["1.1.0"].why == "too slow"
    assert (now.events[-1].what, now.events[-1].before) == ("rollback", "1.1.0")
    with pytest.raises(GateError, match="no earlier release"):
        state.rollback("bob", None)
    assert State.read() == now


def test_a_rollback_goes_back_step_by_step_and_over_what_is_blocked(releases: Releases) -> None:
    for version in releases:
        state.promote(version, "anna")
    assert State.read().earlier(list(releases)) == "1.1.0"
    assert state.rollback("anna", None).stable == "1.1.0"
    assert state.rollback("anna", None).stable == "1.0.0", "not forward again"
    state.promote("1.2.0", "anna", force=True)
    assert State.read().earlier(list(releases)) == "1.0.0", "1.1.0 is blocked"
    assert State.read().earlier([]) is None


def test_what_was_blocked_serves_again_only_by_force(releases: Releases) -> None:
    state.promote("1.0.0", "anna")
    state.start_canary("1.1.0", 10, False, "anna")
    now = state.end_canary(_("error share {share}", share=0.3), "guard", block=True)
    assert now.canary is None
    assert happened()[-2:] == [("end_canary", "1.1.0"), ("block", "1.1.0")]
    assert say(now.blocked["1.1.0"].why, "en") == "error share 0.3"
    assert set(now.blocked["1.1.0"].why or {}) == {"en", "zh"}
    for again in (
        lambda: state.promote("1.1.0", "anna"),
        lambda: state.start_canary("1.1.0", 10, False, "anna"),
    ):
        with pytest.raises(GateError, match=r"blocked since .* \(error share 0\.3\)"):
            again()
    assert State.read() == now
    now = state.start_canary("1.1.0", 10, False, "anna", force=True)
    assert (now.serving(), now.blocked) == (["1.0.0", "1.1.0"], {})


def test_the_same_model_under_another_number_is_blocked_too(releases: Releases) -> None:
    state.block("1.2.0", "answers wrongly", "guard")
    assert state.block("1.2.0", "again", "guard").blocked["1.2.0"].why == "answers wrongly"
    made_releases.create("1.3.0")
    with pytest.raises(GateError, match="answers wrongly"):
        state.promote("1.3.0", "anna")
    now = state.promote("1.3.0", "anna", force=True)
    assert now.blocked == {}, "the model is free again, whatever its number"


def test_a_canary_needs_a_stable_release_and_stands_alone(releases: Releases) -> None:
    with pytest.raises(GateError, match="no stable release"):
        state.start_canary("1.0.0", 10, False, "anna")
    state.promote("1.0.0", "anna")
    with pytest.raises(GateError, match="the stable release itself"):
        state.start_canary("1.0.0", 10, False, "anna")
    for share in (0, 101):
        with pytest.raises(GateError, match="1 to 100"):
            state.start_canary("1.1.0", share, False, "anna")
    state.start_canary("1.1.0", 10, True, "anna")
    with pytest.raises(GateError, match=r"1\.1\.0, which is tried already"):
        state.start_canary("1.2.0", 10, False, "anna")


def test_more_clients_see_the_same_canary(releases: Releases) -> None:
    """What was observed so far still counts when the share grows; out of the shadow it does not."""
    state.promote("1.0.0", "anna")
    first = state.start_canary("1.1.0", 10, True, "anna").canary
    time.sleep(0.002)
    again = state.start_canary("1.1.0", 10, True, "anna")
    assert (again.canary, len(happened())) == (first, 2), "nothing has changed"
    wider = state.start_canary("1.1.0", 50, True, "anna").canary
    shown = state.start_canary("1.1.0", 50, False, "anna").canary
    assert first is not None
    assert wider is not None
    assert shown is not None
    assert (wider.since, wider.share) == (first.since, 50)
    assert shown.since > wider.since
    assert state.end_canary("enough", "anna").canary is None
    assert state.end_canary("enough", "anna").events == State.read().events, "once is enough"


def test_only_the_trial_that_is_meant_ends(releases: Releases) -> None:
    """Whoever ends one has looked at the file before; meanwhile another may have begun."""
    state.promote("1.0.0", "anna")
    first = state.start_canary("1.1.0", 10, False, "anna").canary
    assert first is not None
    state.end_canary("by hand", "anna")
    time.sleep(0.002)
    again = state.start_canary("1.1.0", 10, False, "anna")
    late = {"version": "1.1.0", "since": first.since}
    assert state.end_canary("late", "guard", block=True, **late) == again
    assert state.end_canary("late", "guard", block=True, version="1.2.0") == again
    assert again.canary is not None
    now = state.end_canary("bad", "guard", version="1.1.0", since=again.canary.since, block=True)
    assert (now.canary, list(now.blocked)) == (None, ["1.1.0"])


def test_a_promoted_canary_is_no_canary_any_more(releases: Releases) -> None:
    state.promote("1.0.0", "anna")
    state.start_canary("1.1.0", 10, False, "anna")
    now = state.promote("1.2.0", "anna")
    assert now.serving() == ["1.2.0", "1.1.0"], "another one goes on"
    assert state.promote("1.1.0", "anna").serving() == ["1.1.0"]
    assert state.promote("1.1.0", "anna").events == State.read().events, "once is enough"


@pytest.mark.parametrize("strength", [-5.0, float("nan"), 2.0])
def test_a_model_that_answers_otherwise_never_serves(releases: Releases, strength: float) -> None:
    """Its files are sealed again, so only its answers can give it away."""
    state.promote("1.0.0", "anna")
    before = FILE.read_bytes()
    made_releases.save_model(RELEASES / "1.1.0/model", strength=strength)
    made_releases.reseal(RELEASES / "1.1.0")
    with pytest.raises(GateError, match=r"golden\.json, 1: found"):
        state.promote("1.1.0", "anna", force=True)
    with pytest.raises(GateError, match="scores off by"):
        state.start_canary("1.1.0", 10, False, "anna")
    assert FILE.read_bytes() == before
    golden.ask(store.read("1.0.0"), most=3)


def test_a_damaged_or_missing_release_never_serves(releases: Releases) -> None:
    state.promote("1.0.0", "anna")
    before = FILE.read_bytes()
    card = RELEASES / "1.1.0/model/mofang.json"
    card.write_bytes(card.read_bytes().replace(b"account", b"accounT", 1))
    (RELEASES / "1.2.0/golden.json").unlink()
    for version, found in (("1.1.0", "differs from the manifest"), ("1.2.0", "no such file"),
                           ("9.9.9", "no such release"), ("../1.0.0", "a version like"),
                           ("1.0", "a version like"), ("", "a version like")):  # fmt: skip
        with pytest.raises(ModelError, match=found):
            state.promote(version, "anna", force=True)
    assert FILE.read_bytes() == before
    assert store.versions() == ["1.0.0", "1.1.0"], "what lacks a file is no release"


def test_a_rollback_to_a_damaged_release_changes_nothing(releases: Releases) -> None:
    state.promote("1.0.0", "anna")
    state.promote("1.1.0", "anna")
    before = FILE.read_bytes()
    made_releases.save_model(RELEASES / "1.0.0/model", strength=-5.0)
    made_releases.reseal(RELEASES / "1.0.0")
    with pytest.raises(GateError, match=r"golden\.json"):
        state.rollback("anna", None)
    assert FILE.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stable": "../x"}', b'{"other": 1}',
                                     b'{"stable": "1.0.0", "canary": {"version": "1.1.0"}}',
                                     b"\xff\xfe"])  # fmt: skip
def test_a_damaged_file_is_told(project: Path, content: bytes) -> None:
    RELEASES.mkdir()
    FILE.write_bytes(content)
    with pytest.raises(ModelError, match="Put the file back"):
        State.read()
    with pytest.raises(ModelError, match="Put the file back"):
        state.block("1.0.0", "x", "anna")
    assert FILE.read_bytes() == content


def test_old_events_go_and_promotions_stay(project: Path) -> None:
    """Or a rollback would not find its way after a thousand canaries."""
    made = [event("promote", "1.0.0"), event("promote", "1.1.0", "1.0.0")]
    made += [event("canary", "1.2.0") for _at in range(state.MOST_EVENTS)]
    kept = state.newest(made)
    assert len(kept) == state.MOST_EVENTS
    assert [one.what for one in kept[:3]] == ["promote", "promote", "canary"]
    assert State(stable="1.1.0", events=kept).earlier(["1.0.0"]) == "1.0.0"
    many = [event("promote", f"1.{at}.0") for at in range(state.MOST_EVENTS + 5)]
    assert state.newest(many) == many[5:]


def event(what: str, version: str, before: str | None = None) -> Event:
    return Event.model_validate(
        {"at": "2026-01-01", "what": what, "version": version, "before": before, "by": "a",
         "why": None}
    )  # fmt: skip


def test_changes_of_many_at_once_are_all_kept(project: Path) -> None:
    def work(number: int) -> None:
        for at in range(20):
            state.record("create", f"{number}.{at}.0", "anna")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        State.read()  # whoever reads meanwhile sees a whole file
    found = {one.version for one in State.read().events}
    assert found == {f"{number}.{at}.0" for number in range(4) for at in range(20)}


def test_a_killed_writer_leaves_the_file_whole(project: Path) -> None:
    loop = (
        "from pipeline.releases import state\n"
        "for at in range(100000):\n"
        "    state.record('create', f'1.{at}.0', 'anna')\n"
    )
    for _round in range(3):
        child = subprocess.Popen([sys.executable, "-c", loop], env=os.environ | {
            "PYTHONPATH": str(ROOT)})  # fmt: skip
        try:
            wait_for(lambda: len(State.read().events) > 3, child)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(10)
        before = State.read()
        assert state.record("create", "9.0.0", "bob").events[:-1] == before.events
        FILE.unlink()


def wait_for(done: object, child: subprocess.Popen[bytes]) -> None:
    assert callable(done)
    until = time.monotonic() + 30
    while not done():
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_change_waits_and_then_says_who_is_busy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "SECONDS_TO_WAIT", 0.1)
    with state.changing(RELEASES), pytest.raises(BusyError, match="one change at a time"):
        run_in_thread(lambda: state.record("create", "1.0.0", "anna"))


def run_in_thread(act: object) -> None:
    """Run in a thread of its own, as another program would, and raise here what it raised."""
    assert callable(act)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            act()
        except BusyError as error:
            raised.append(error)

    one = threading.Thread(target=work)
    one.start()
    one.join(20)
    for error in raised:
        raise error


def test_a_folder_that_cannot_be_written_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(artifacts, "write_json", full)
    with pytest.raises(StorageError, match="what serves goes on"):
        state.record("create", "1.0.0", "anna")
    assert State.read() == State()


def test_what_serves_is_not_removed(releases: Releases) -> None:
    for version in ("1.0.0", "1.1.0"):
        state.promote(version, "anna")
    state.start_canary("1.2.0", 10, False, "anna")
    for version in ("1.1.0", "1.2.0"):
        with pytest.raises(GateError, match="answers requests"):
            store.remove(version, "anna", force=True)
    with pytest.raises(GateError, match="a rollback brings back"):
        store.remove("1.0.0", "anna")
    assert store.versions() == ["1.0.0", "1.1.0", "1.2.0"]
    store.remove("1.0.0", "anna", force=True)
    assert store.versions() == ["1.1.0", "1.2.0"]
    assert happened()[-1] == ("remove", "1.0.0")
    with pytest.raises(ModelError, match="no such release"):
        store.remove("1.0.0", "anna")
    with pytest.raises(GateError, match="there or removed"):
        made_releases.create("1.0.0")
    assert not list(RELEASES.glob(".*1.0.0*")), "nothing is left"
