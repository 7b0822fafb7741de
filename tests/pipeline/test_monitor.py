"""One look of the monitor, from rows in the database to an alert on a webhook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from sqlalchemy import Engine

from pipeline import artifacts, monitor
from pipeline.errors import BusyError, DataError
from pipeline.releases.ledger import Event, State
from pipeline.traffic import database
from pipeline.traffic.entries import DROPPED, Feedback
from pipeline.traffic.entries import Event as Happened
from pipeline.watching import alerts, driftwatch, figures, journal, proposal, report
from pipeline.watching.look import Seen, Watch, look, references
from pipeline.watching.reference import build
from tests.helpers import ROOT, params_text
from tests.pipeline import watched
from tests.pipeline.made_traffic import NOON, entry
from tests.pipeline.watched import Webhook, alerting, listening, write

HOUR = timedelta(hours=1)
RELEASES = Path("releases")


@pytest.fixture
def engine(project: Path) -> Iterator[Engine]:
    Path("params.yaml").write_text(params_text(), encoding="utf-8")
    made = database.open("", project)
    yield made
    made.dispose()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as made:
        yield made


def watching(engine: Engine, webhook: Webhook, **knobs: Any) -> Watch:
    to = alerts.targets(webhook.address)
    return Watch(engine, watched.monitor(**knobs), alerting(lowest="info"), to, RELEASES)


def keep_history(engine: Engine, hours: int = 30) -> None:
    """Keep the figures of sound windows before noon, of a hundred requests each."""
    random = np.random.default_rng(1)
    for back in range(hours, 0, -1):
        since = NOON - back * HOUR
        made = watched.window(random, requests=int(random.poisson(100)), failed=0, refused=0,
                              resources=None)  # fmt: skip
        ends = {"since": journal.iso(since), "until": journal.iso(since + HOUR), "minutes": 60}
        made |= ends | {"anomalies": [], "per_second": 0.03, "failed_share": 0.0,
                        "disagreement": None, "feedback": None}  # fmt: skip
        figures.keep(engine, made)


def traffic(engine: Engine, hours: int = 1, **changes: Any) -> None:
    """Write a hundred requests an hour from noon on."""
    random = np.random.default_rng(2)
    for hour in range(hours):
        some = [
            entry(3_600 * hour + 36 * number, seconds=float(0.01 * np.exp(random.normal(0, 0.3))),
                  **changes)
            for number in range(100)
        ]  # fmt: skip
        write(engine, *some)


def save_state(**values: Any) -> None:
    RELEASES.mkdir(exist_ok=True)
    artifacts.write_json(RELEASES / "state.json", State(**values).model_dump())


def keys(engine: Engine) -> list[str]:
    return [one.data["key"] for one in journal.read(engine, (alerts.ALERT,))]


def test_failures_become_an_alert_and_the_window_no_reference(
    engine: Engine, webhook: Webhook
) -> None:
    keep_history(engine)
    traffic(engine, code=503, version=None, role=None, scores=None, labels=None)
    seen = look(watching(engine, webhook), NOON + HOUR + timedelta(minutes=1))
    assert seen.told()["anomalies"] == ["failed_share"]
    assert [one["type"] for one in webhook.taken].count("failure") == 1
    critical = next(one for one in webhook.taken if one["type"] == "failure")
    assert "share of requests that failed: 100.0 %" in critical["title"]
    assert "0.1 %" in critical["message"], "the stated rate of false alarms"
    again = look(watching(engine, webhook), NOON + HOUR + timedelta(minutes=6))
    assert again.windows == []
    assert again.told()["alerts"] == []
    assert journal.iso(NOON) not in known_good(engine)
    (event,) = journal.read(engine, (alerts.ALERT,))
    alerts.acknowledge(engine, event.id, NOON + 2 * HOUR, by="anna")
    assert journal.iso(NOON) not in known_good(engine)
    alerts.acknowledge(engine, event.id, NOON + 2 * HOUR, by="anna", normal=True)
    assert journal.iso(NOON) in known_good(engine)


def known_good(engine: Engine) -> list[str]:
    """Return when the windows began that a new one is compared with."""
    return [one["since"] for one in references(engine, NOON + 3 * HOUR, watched.monitor())]


def test_a_sound_hour_wakes_nobody(engine: Engine, webhook: Webhook) -> None:
    keep_history(engine)
    traffic(engine)
    # The made history has two labels of equal share and another latency; its figures are those of
    # another service. What is compared here is what both have.
    knobs = {"smallest__latency": 50.0, "smallest__share": 1.0, "smallest__throughput": 3.0}
    told = look(watching(engine, webhook, **knobs), NOON + HOUR + timedelta(minutes=1)).told()
    assert (told["windows"], told["anomalies"], told["failed"]) == (1, [], [])
    assert webhook.taken == []


def test_old_windows_are_judged_but_wake_nobody(engine: Engine, webhook: Webhook) -> None:
    keep_history(engine)
    traffic(engine, code=500)
    seen = look(watching(engine, webhook), NOON + 12 * HOUR)
    assert "failed_share" in seen.told()["anomalies"]
    assert webhook.taken == []


def test_what_the_service_tells_of_itself(engine: Engine, webhook: Webhook) -> None:
    sample = {"pid": 1, "memory_bytes": 10**8, "cpu_share": 0.1,
              "degraded": [{"en": "release 2 did not load", "zh": "版本 2 未能加载"}]}  # fmt: skip
    write(engine, Happened(NOON - timedelta(minutes=1), DROPPED, {"items": 12}))
    told = look(watching(engine, webhook), NOON, sample).told()
    assert keys(engine) == ["service.degraded", "log.dropped"]
    assert told["sent"] == 2
    assert "版本 2 未能加载" in webhook.taken[0]["message"] + webhook.taken[1]["message"]
    assert journal.last(engine, figures.SAMPLE) is not None
    assert look(watching(engine, webhook), NOON + timedelta(minutes=5), sample).told()["sent"] == 0


def test_what_happens_to_releases_is_told_once(engine: Engine, webhook: Webhook) -> None:
    look(watching(engine, webhook), NOON)
    at = (NOON + timedelta(minutes=2)).isoformat()
    why = {"en": "errors", "zh": "错误"}
    before = Event(at=(NOON - HOUR).isoformat(), what="promote", version="1.0.0", before=None,
                   by="anna", why=None)  # fmt: skip
    ended = Event(at=at, what="end_canary", version="1.1.0", before=None, by="guard", why=why)
    save_state(stable="1.0.0", events=[before, ended])
    look(watching(engine, webhook), NOON + timedelta(minutes=5))
    look(watching(engine, webhook), NOON + timedelta(minutes=10))
    assert [one.split(".202")[0] for one in keys(engine)] == ["release.end_canary.1.1.0"]
    assert "the trial of release 1.1.0 was ended" in webhook.taken[0]["title"]
    assert "错误" in webhook.taken[0]["message"]


def test_a_part_that_fails_is_an_alert_and_keeps_no_other_from_its_work(
    engine: Engine, webhook: Webhook
) -> None:
    keep_history(engine)
    traffic(engine, code=500)
    RELEASES.mkdir()
    (RELEASES / "state.json").write_text("{ torn", encoding="utf-8")
    told = look(watching(engine, webhook), NOON + HOUR + timedelta(minutes=1)).told()
    assert told["failed"] == ["releases"]
    assert "failed_share" in told["anomalies"]
    assert "monitor.releases" in keys(engine)


def test_bad_verdicts_alert_and_propose(engine: Engine, webhook: Webhook) -> None:
    save_state(stable="1.0.0")
    some = [entry(number) for number in range(60)]
    said = [Feedback(one.at, one.id, 0, "anna", "down" if at % 2 else "up")
            for at, one in enumerate(some)]  # fmt: skip
    write(engine, *some, *said)
    told = look(watching(engine, webhook), NOON + timedelta(minutes=10)).told()
    assert told["quality"]["bad"] is True
    assert "quality.1.0.0" in keys(engine)
    made = proposal.read(told["proposal"])
    assert made["causes"][0]["kind"] == "quality"
    assert any("a retraining is proposed" in one["title"] for one in webhook.taken)
    again = look(watching(engine, webhook), NOON + timedelta(minutes=15)).told()
    assert "proposal" not in again, "one open proposal is enough"
    proposal.reject(engine, made["id"], NOON + timedelta(minutes=20), by="anna", why="")
    later = look(watching(engine, webhook), NOON + timedelta(minutes=25)).told()
    assert "proposal" not in later, "what was rejected does not come back for the same verdicts"


WORDS = {
    "zh": "这个酒店的房间很干净服务也好早餐不错位置方便",
    "en": "where what city who many is the",
}


def made_texts(language: str, count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    pieces = list(WORDS["zh"]) if language == "zh" else WORDS["en"].split()
    glue = "" if language == "zh" else " "
    return [glue.join(random.choice(pieces, 12)) for _ in range(count)]


class Constant:
    """Answers every text alike, so that only texts can drift."""

    def __init__(self) -> None:
        from pipeline.tasks import task as tasks

        self.labels = ("location", "number")
        self.task = tasks.of("single_label", self.labels)
        self.card = SimpleNamespace(task="single_label", thresholds=None)

    def scores(self, texts: list[str], batch_size: int) -> Any:
        return np.tile([0.75, 0.25], (len(texts), 1))


def save_release(knobs: Any) -> None:
    folder = RELEASES / "1.0.0"
    folder.mkdir(parents=True)
    records = [{"text": text, "label": "location"} for text in made_texts("en", 1_500, 0)]
    build(folder, records, Constant(), knobs, unseen=records[:300])  # type: ignore[arg-type]
    start = Event(at=(NOON - HOUR).isoformat(), what="promote", version="1.0.0", before=None,
                  by="anna", why=None)  # fmt: skip
    save_state(stable="1.0.0", events=[start])


def send(engine: Engine, language: str, hour: int, count: int = 250) -> None:
    texts = made_texts(language, count, hour + 1)
    some = [entry(hour * 3_600 + at, [text]) for at, text in enumerate(texts)]
    write(engine, *some)


def test_drift_is_judged_confirmed_told_and_proposed(engine: Engine, webhook: Webhook) -> None:
    changes = {"drift__every_hours": 1, "drift__kinds": ["text", "length"], "drift__draws": 50}
    watch = watching(engine, webhook, **changes)
    save_release(watch.monitor.drift)
    send(engine, "en", 0)
    first = look(watch, NOON + HOUR).told()
    assert set(first["drift"]) >= {"text"}
    assert "drift.1.0.0" not in keys(engine)
    send(engine, "zh", 1)
    look(watch, NOON + 2 * HOUR)
    assert "drift.1.0.0" not in keys(engine), "one window is no proof"
    assert look(watch, NOON + 2 * HOUR + timedelta(minutes=5)).judged is None
    send(engine, "zh", 2)
    third = look(watch, NOON + 3 * HOUR).told()
    assert keys(engine).count("drift.1.0.0") == 1
    assert third["drift"]["text"] > first["drift"]["text"]
    made = proposal.read(third["proposal"])
    assert made["causes"][0]["kind"] == "drift"
    assert "texts: distance" in " ".join(made["what_changed"]["en"])
    windows = driftwatch.history(engine, "1.0.0", 10)
    assert [one.data["came"] for one in windows] == [250, 250, 250], "each text in one window"
    ends = [(one.data["since"], one.data["until"]) for one in windows]
    assert [until for _since, until in ends[:-1]] == [since for since, _until in ends[1:]]
    four = look(watch, NOON + 4 * HOUR)
    assert four.judged is None, "too few texts: the window waits"


def test_a_release_without_its_reference_is_a_failed_part(engine: Engine, webhook: Webhook) -> None:
    save_state(stable="1.0.0")
    send(engine, "en", 0)
    told = look(watching(engine, webhook), NOON + 12 * HOUR).told()
    assert told["failed"] == ["drift"]
    assert "monitor.drift" in keys(engine)


def test_one_look_at_a_time(engine: Engine, webhook: Webhook) -> None:
    Path("var").mkdir(exist_ok=True)
    with FileLock("var/.monitor.lock"), pytest.raises(BusyError):
        look(watching(engine, webhook), NOON)


def test_the_report_is_whole_escaped_and_in_both_languages(
    engine: Engine, webhook: Webhook
) -> None:
    keep_history(engine)
    evil = "<script>alert(1)</script>\x1b[2J"
    traffic(engine, labels=[evil])
    sample = {"pid": 1, "memory_bytes": 10**8, "cpu_share": 0.1, "degraded": [evil]}
    look(watching(engine, webhook), NOON + HOUR + timedelta(minutes=1), sample)
    found = report.gather(
        engine, watched.monitor(), since=NOON - 40 * HOUR, now=NOON + 2 * HOUR, stable="1.0.0"
    )
    assert found["whole"]["requests"] == 100
    assert len(found["windows"]) == 31
    page = report.write(found).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert page.count('lang="zh-Hans"') > 50
    again = json.loads((report.FOLDER / report.DATA).read_text(encoding="utf-8"))
    assert again == json.loads(json.dumps(found))


def given(monkeypatch: pytest.MonkeyPatch, **knobs: Any) -> None:
    """Let the command line read these knobs."""
    sections = SimpleNamespace(monitor=watched.monitor(**knobs), alerts=alerting())
    monkeypatch.setattr(monitor, "load", lambda: sections)


def test_the_command_line(
    engine: Engine, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    given(monkeypatch)
    monkeypatch.setenv("MOFANG_ALERTS", webhook.address)
    monkeypatch.setenv("MOFANG_USER", "anna")
    traffic(engine)
    for words in (["run"], ["run", "--json"], ["report", "--days", "40"], ["alerts"],
                  ["propose", "--why", "new product"], ["journal"]):  # fmt: skip
        monitor.main(words)
    out = capsys.readouterr().out
    assert "windows judged" in out
    assert "var/monitoring/report.html" in out
    (made,) = proposal.every()
    assert made["id"] in out
    monitor.main(["approve", made["id"]])
    assert "monitor continue" in capsys.readouterr().out
    monitor.main(["reject", made["id"], "--why", "no time"])
    with pytest.raises(SystemExit) as ended:
        monitor.main(["alerts", "test"])
    assert ended.value.code == 0
    assert "this is a test" in webhook.taken[-1]["title"]
    monkeypatch.setenv("MOFANG_ALERTS", "")
    with pytest.raises(SystemExit) as ended:
        monitor.main(["alerts", "test"])
    assert ended.value.code == 1
    with pytest.raises(DataError):
        monitor.main(["ack", "999"])
    (event,) = alerts.raised(
        engine, [alerts.Alert("x", "warning", alerts.Said.of("odd"))], alerting(), monitor.now()
    )
    monitor.main(["ack", str(event.id), "--normal"])
    assert alerts.listed(engine, NOON - 400 * HOUR)[0]["acknowledged_by"] == "anna"


def child(stdin: dict[str, Any], **environment: str) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        [sys.executable, "-m", "pipeline.monitor", "look"],
        input=json.dumps(stdin), capture_output=True, text=True, env=env, timeout=60, check=False,
    )  # fmt: skip


def test_the_look_that_the_service_starts(engine: Engine, webhook: Webhook) -> None:
    sections = {"monitor": watched.MONITOR, "alerts": watched.ALERTS, "traffic": {}}
    sample = {"pid": 1, "memory_bytes": 10**8, "cpu_share": 0.1, "degraded": ["slow disk"]}
    given = {"sections": sections, "sample": sample}
    done = child(given, MOFANG_ALERTS=webhook.address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["sent"] == 1
    assert "slow disk" in webhook.taken[0]["message"]
    gone = child(given, MOFANG_ALERTS=webhook.address,
                 MOFANG_DATABASE_URL="postgresql+psycopg://u:s3cret@127.0.0.1:9/x")  # fmt: skip
    assert gone.returncode == 1
    assert "s3cret" not in gone.stdout + gone.stderr
    assert "the monitor cannot reach its database" in webhook.taken[1]["title"]


def test_nothing_heavy_is_imported_for_a_look() -> None:
    code = (
        "import sys; from pipeline import monitor; from pipeline.watching import look, report;"
        "heavy = {'torch', 'transformers', 'evidently', 'pandas', 'sklearn', 'apprise', 'scipy',"
        " 'gradio', 'openvino'}; print(sorted(heavy & set(sys.modules)))"
    )
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_an_empty_look_is_told_as_json() -> None:
    assert json.dumps(Seen().told())
