"""Alerts over real HTTP: who gets them, how often, and that no secret is ever shown."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.errors import DataError, StorageError
from pipeline.i18n import _
from pipeline.traffic import database
from pipeline.watching import alerts, journal
from pipeline.watching.alerts import CRITICAL, INFO, WARNING, Alert, Said
from tests.pipeline.made_traffic import NOON
from tests.pipeline.watched import Webhook, alerting, listening

MINUTE = timedelta(minutes=1)


@pytest.fixture
def engine(project: Path) -> Iterator[Engine]:
    made = database.open("", project)
    yield made
    made.dispose()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as made:
        yield made


def alert(key: str = "anomaly.latency", severity: str = WARNING) -> Alert:
    title = Said.of({"en": "slow", "zh": "慢"})
    return Alert(key, severity, title, [_("{name}: {value}", name="p95", value="2 s")])


def told(engine: Engine, some: Alert, at: datetime = NOON, **knobs: Any) -> int:
    return len(alerts.raised(engine, [some], alerting(**knobs), at))


def test_an_alert_arrives_in_both_languages(engine: Engine, webhook: Webhook) -> None:
    to = alerts.targets(webhook.address)
    assert told(engine, alert()) == 1
    assert alerts.deliver(engine, to, alerting(), NOON) == {"sent": 1, "not_taken": 0}
    taken = webhook.taken[0]
    assert "slow" in taken["title"]
    assert "慢" in taken["title"]
    assert "p95: 2 s" in taken["message"]
    assert taken["type"] == "warning"
    listed = alerts.listed(engine, NOON - MINUTE)
    assert listed[0]["sent"] == {to[0].name: True}
    assert alerts.deliver(engine, to, alerting(), NOON) == {"sent": 0, "not_taken": 0}


def test_one_language_and_severities(engine: Engine, webhook: Webhook) -> None:
    to = alerts.targets(f"{webhook.address}\n\n# a comment\ncritical {webhook.address}")
    assert [one.lowest for one in to] == [INFO, CRITICAL]
    for severity in (INFO, WARNING, CRITICAL):
        told(engine, alert(severity, severity))
    knobs = alerting(language="zh", lowest="info")
    assert alerts.deliver(engine, to, knobs, NOON)["sent"] == 4
    assert sorted(one["type"] for one in webhook.taken) == ["failure", "failure", "info", "warning"]
    assert not any("slow" in one["title"] for one in webhook.taken)


def test_below_the_lowest_severity_is_recorded_and_not_sent(
    engine: Engine, webhook: Webhook
) -> None:
    to = alerts.targets(webhook.address)
    assert told(engine, alert(severity=INFO)) == 1
    assert alerts.deliver(engine, to, alerting(), NOON)["sent"] == 0
    assert alerts.deliver(engine, to, alerting(enabled=False, lowest="info"), NOON)["sent"] == 0
    assert len(alerts.listed(engine, NOON)) == 1


def test_cool_down(engine: Engine) -> None:
    assert told(engine, alert()) == 1
    assert told(engine, alert(), NOON + 239 * MINUTE) == 0
    assert told(engine, alert("other"), NOON + 239 * MINUTE) == 1
    assert told(engine, alert(severity=CRITICAL), NOON + 239 * MINUTE) == 1, "a graver one"
    assert told(engine, alert(), NOON + 300 * MINUTE) == 0, "cools down after the graver one"
    assert told(engine, alert(), NOON + 479 * MINUTE) == 1
    assert told(engine, alert(), NOON + 480 * MINUTE, cooldown_minutes=0) == 1


def test_an_acknowledged_alert_stays_quiet_unless_it_gets_worse(engine: Engine) -> None:
    (event,) = alerts.raised(engine, [alert()], alerting(), NOON)
    alerts.acknowledge(engine, event.id, NOON + MINUTE, by="anna\x1b[2J", normal=True, note="known")
    assert told(engine, alert(), NOON + timedelta(hours=23)) == 0
    assert told(engine, alert(severity=CRITICAL), NOON + timedelta(hours=23)) == 1
    assert told(engine, alert(), NOON + timedelta(hours=30)) == 1
    (listed,) = [one for one in alerts.listed(engine, NOON) if one["id"] == event.id]
    assert listed["acknowledged_by"] == "anna [2J"
    for number in (event.id + 1, 0, 10**9):
        with pytest.raises(DataError, match="no alert of this number"):
            alerts.acknowledge(engine, number, NOON, by="anna")


def test_a_target_that_fails_is_tried_again_and_not_for_ever(
    engine: Engine, webhook: Webhook
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = f"json://127.0.0.1:{closed.getsockname()[1]}/"
    to = alerts.targets(f"{webhook.address}\n{away}")
    webhook.code = 500
    told(engine, alert())
    outcomes = []
    for look in range(5):
        webhook.code = 500 if look < 1 else 200
        outcomes.append(alerts.deliver(engine, to, alerting(), NOON + look * 5 * MINUTE))
    assert [one["sent"] for one in outcomes] == [0, 1, 0, 0, 0]
    assert [one["not_taken"] for one in outcomes] == [2, 1, 1, 0, 0]
    assert list(alerts.listed(engine, NOON)[0]["sent"].values()) == [True, False]
    assert len(webhook.taken) == 1
    late = NOON + timedelta(hours=25)
    assert alerts.deliver(engine, to, alerting(attempts=20), late)["not_taken"] == 0


def test_a_slow_target_holds_nobody_up(engine: Engine, webhook: Webhook) -> None:
    webhook.delay = 3.0
    told(engine, alert())
    started = time.monotonic()
    sent = alerts.deliver(
        engine, alerts.targets(webhook.address), alerting(timeout_seconds=1), NOON
    )
    assert sent == {"sent": 0, "not_taken": 1}
    assert time.monotonic() - started < 2.5


def test_nothing_follows_a_redirect(engine: Engine, webhook: Webhook) -> None:
    webhook.code, webhook.headers = 307, {"Location": "/elsewhere"}
    told(engine, alert())
    sent = alerts.deliver(engine, alerts.targets(webhook.address), alerting(), NOON)
    assert sent == {"sent": 0, "not_taken": 1}
    assert [path.rstrip("/") for path in webhook.paths] == ["/s3cret-token"]


def test_after_a_crash_between_writing_and_sending_it_is_sent(
    engine: Engine, webhook: Webhook
) -> None:
    told(engine, alert())  # and here the process was killed
    assert told(engine, alert(), NOON + 5 * MINUTE) == 0
    to = alerts.targets(webhook.address)
    assert alerts.deliver(engine, to, alerting(), NOON + 5 * MINUTE)["sent"] == 1


def test_no_secret_is_ever_shown(
    engine: Engine, webhook: Webhook, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.code = 500
    text = f"{webhook.address}\nno-such-thing://s3cret-token\ns3cret-token"
    with pytest.raises(DataError) as raised:
        alerts.targets(text)
    to = alerts.targets(webhook.address)
    told(engine, alert())
    alerts.deliver(engine, to, alerting(), NOON)
    shown = f"{raised.value} {raised.value.render('zh')} {to} {alerts.listed(engine, NOON)}"
    shown += f"{[one.data for one in journal.read(engine)]} {caplog.text} {capfd.readouterr()}"
    assert "s3cret-token" not in shown
    assert [one.where for one in raised.value.problems] == ["MOFANG_ALERTS, 2", "MOFANG_ALERTS, 3"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("dingtalk://abcdefgh12345678/", "DingTalk"),
        ("feishu://abcdefgh-1234-5678-9abc-def012345678/", "Feishu"),
        ("wecombot://abcdefgh-1234-5678-9abc-def012345678/", "WeCom Bot"),
        ("mailtos://user:pass@example.org", "E-Mail"),
        ("jsons://example.org/path", "JSON"),
    ],
)
def test_the_services_that_people_use_are_known(url: str, name: str) -> None:
    (target,) = alerts.targets(url)
    assert target.name == f"1 {name}"


def test_no_more_targets_than_can_be_told_in_time() -> None:
    assert len(alerts.targets("\n".join(["json://127.0.0.1/"] * 25))) == alerts.MOST_TARGETS
    assert alerts.targets("") == []


def test_words_of_data_cannot_forge_lines(engine: Engine) -> None:
    title = Said.of("a\r\nBcc: everybody\x1b[31m\u202eevil" + "x" * 500)
    told(engine, Alert("odd", WARNING, title, [title]))
    (event,) = journal.read(engine, (alerts.ALERT,))
    for words in (event.data["title"]["en"], event.data["lines"]["zh"][0]):
        assert words.isprintable()
    assert len(event.data["title"]["en"]) <= alerts.LONGEST_TITLE


def test_an_address_that_is_none_keeps_no_other_from_being_told(
    engine: Engine, webhook: Webhook
) -> None:
    told(engine, alert())
    to = alerts.lines(f"what is this\n{webhook.address}")
    assert alerts.deliver(engine, to, alerting(), NOON) == {"sent": 1, "not_taken": 1}
    assert alerts.listed(engine, NOON)[0]["sent"] == {"1 ?": False, "2 JSON": True}


def test_the_test_button_reaches_every_target(webhook: Webhook) -> None:
    to = alerts.targets(f"critical {webhook.address}\njson://127.0.0.1:9/")
    assert alerts.test(to, alerting()) == [("1 JSON", True), ("2 JSON", False)]
    assert "Nothing has happened" in webhook.taken[0]["message"]


def test_without_a_database_people_are_told_once(project: Path, webhook: Webhook) -> None:
    why = StorageError.at("var/traffic.sqlite", found="x", allowed="y", fix="z")
    now = datetime.now().astimezone()
    assert alerts.last_resort(why, webhook.address, alerting(), now) == 1
    assert alerts.last_resort(why, webhook.address, alerting(), now + MINUTE) == 0
    assert alerts.last_resort(why, webhook.address, alerting(), now + 241 * MINUTE) == 1
    assert webhook.taken[0]["type"] == "failure"
