"""The monitor beside the service: a real look in a process of its own, and looks that go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app.service import schedule
from app.service.schedule import Schedule
from pipeline.i18n import _
from pipeline.traffic import database
from pipeline.watching import figures, journal
from tests.pipeline import watched
from tests.pipeline.made_traffic import knobs

KEYS = "name:predict:s3cret"


def made(**more: Any) -> Schedule:
    sections = {"monitor": watched.monitor(), "alerts": watched.alerting(), "traffic": knobs()}
    return Schedule(sections, dict(os.environ) | {"MOFANG_KEYS": KEYS}, root=Path(), **more)


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Run Python code in place of a look."""
    monkeypatch.setattr(schedule, "COMMAND", (sys.executable, "-c", code))


def test_a_look_runs_and_its_outcome_is_told(project: Path) -> None:
    outcomes: list[dict[str, Any]] = []
    one = made(told=outcomes.append, sample=lambda: {"degraded": [_("slow"), "disk"], "dropped": 3})
    outcome = asyncio.run(one.look())
    assert outcomes == [outcome]
    assert one.problem is None
    engine = database.open("", project)
    sample = journal.last(engine, figures.SAMPLE)
    assert sample is not None
    assert sample.data["memory_bytes"] > 10**7
    assert sample.data["degraded"] == [{"en": "slow", "zh": _("slow").render("zh")},
                                       {"en": "disk", "zh": "disk"}]  # fmt: skip
    engine.dispose()


def test_a_look_does_not_get_the_keys_of_clients(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "import json, os; print(json.dumps({'env': dict(os.environ)}))")
    monkeypatch.setenv("MOFANG_ALERTS", "json://127.0.0.1/")
    outcome = asyncio.run(made().look())
    assert outcome is not None
    assert "MOFANG_KEYS" not in outcome["env"]
    assert outcome["env"]["MOFANG_ALERTS"] == "json://127.0.0.1/"


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('[]')", "print('{')", "pass"])
def test_looks_that_fail_degrade_the_service_until_one_succeeds(
    project: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    one = made()
    stand_in(monkeypatch, code)
    assert asyncio.run(one.look()) is None
    assert one.problem is None, "one may meet a locked database"
    asyncio.run(one.look())
    assert "2 times" in str(one.problem)
    stand_in(monkeypatch, "print('{}')")
    asyncio.run(one.look())
    assert one.problem is None


def test_a_look_that_hangs_is_ended(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    )
    stand_in(monkeypatch, code)
    monkeypatch.setattr(schedule, "MOST_SECONDS", 3.0)
    monkeypatch.setattr(schedule, "PATIENCE", 0.3)
    one = made()
    started = time.monotonic()
    assert asyncio.run(one.look()) is None
    assert time.monotonic() - started < 8
    assert one.failed == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


def test_stopping_ends_a_look_and_waking_starts_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "open('looks', 'a').write('x'); print('{}')")
    monkeypatch.setattr(schedule, "FIRST", 0.0)

    def looks() -> int:
        return len(Path("looks").read_text()) if Path("looks").exists() else 0

    async def until(count: int) -> None:
        async with asyncio.timeout(10):
            while looks() < count:
                await asyncio.sleep(0.02)

    async def live() -> None:
        one = made()
        one.start()
        await until(1)
        one.wake()
        await until(2)
        stand_in(monkeypatch, "import time; open('looks', 'a').write('x'); time.sleep(60)")
        one.wake()
        await until(3)
        started = time.monotonic()
        await one.stop()
        assert time.monotonic() - started < 3
        one.wake()
        await asyncio.sleep(0.2)
        assert looks() == 3

    asyncio.run(live())


def test_switched_off_it_never_looks(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "open('looks', 'a').write('x')")
    monkeypatch.setattr(schedule, "FIRST", 0.0)

    async def live() -> None:
        sections = {"monitor": watched.monitor(enabled=False), "alerts": watched.alerting()}
        one = Schedule(sections, {"PATH": os.environ["PATH"]}, root=Path())
        one.start()
        await asyncio.sleep(0.3)
        await one.stop()

    asyncio.run(live())
    assert not Path("looks").exists()


def test_what_a_look_quotes_cannot_forge_a_line_of_the_log(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in(monkeypatch, r"import sys; sys.exit('\x1b[31m evil')")
    asyncio.run(made().look())
    assert "\x1b" not in caplog.text
    assert json.dumps("\x1b[31m evil") in caplog.text
