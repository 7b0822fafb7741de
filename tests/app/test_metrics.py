"""Metrics as Prometheus reads them, and health as a balancer does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as families

from app.service import metrics as module
from app.service.health import Health
from app.service.metrics import OTHER, Metrics, Readings
from pipeline.errors import Text
from pipeline.i18n import _
from tests.app import tiny

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
UNITS = ("_seconds", "_bytes", "_total", "_texts", "_confidence", "_info", "_score", "_fds")


@dataclass
class Lane:
    version: str
    role: str


def read(
    metrics: Metrics, accept: str = ""
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the value of each sample, by name and labels, read by Prometheus' own parser."""
    content, media_type = metrics.page(accept)
    parse = openmetrics_families if "openmetrics" in media_type else families
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse(content.decode())
        for one in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return read(metrics).get((name, tuple(sorted(labels.items()))))


@pytest.mark.parametrize("accept", ["", "text/plain; version=0.0.4", OPENMETRICS])
def test_both_formats_are_what_prometheus_reads(accept: str) -> None:
    metrics = Metrics(Readings(lanes=lambda: [Lane("1.0.0", "stable"), Lane("1.1.0", "canary")]))
    metrics.request("/predict", 200, "1.0.0", 0.02)
    metrics.answered(2, 17, [0.97, 0.5])
    metrics.drift("text", 0.25)
    found = read(metrics, accept)
    labels = (("code", "200"), ("route", "/predict"), ("version", "1.0.0"))
    assert found["mofang_requests_total", labels] == 1
    assert found["mofang_model_info", (("role", "canary"), ("version", "1.1.0"))] == 1
    assert found["mofang_texts_total", ()] == 2
    assert found["mofang_input_tokens_total", ()] == 17
    assert found["mofang_drift_score", (("kind", "text"),)] == 0.25
    assert found["mofang_confidence_bucket", (("le", "0.5"),)] == 1
    assert found["mofang_confidence_count", ()] == 2
    timed = (("route", "/predict"), ("version", "1.0.0"))
    assert found["mofang_request_duration_seconds_sum", timed] == pytest.approx(0.02)
    assert found["process_resident_memory_bytes", ()] > 2**20
    assert found["process_cpu_seconds_total", ()] > 0
    names = {name for name, _labels in found}
    assert not [one for one in names if one.endswith("_created")]
    for name in names:
        plain = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        assert plain.endswith(UNITS), "a base unit in each name, or what is counted"
        assert name.startswith(("mofang_", "process_"))


def test_readings_are_taken_when_somebody_asks() -> None:
    readings = Readings()
    metrics = Metrics(readings)
    assert value(metrics, "mofang_queue_texts") == 0
    assert value(metrics, "mofang_log_dropped_total") == 0
    readings.queued, readings.dropped = (lambda: 7), (lambda: 3)
    readings.lanes = lambda: [Lane("2.0.0", "stable")]
    assert value(metrics, "mofang_queue_texts") == 7
    assert value(metrics, "mofang_log_dropped_total") == 3
    assert value(metrics, "mofang_model_info", version="2.0.0", role="stable") == 1
    readings.lanes = lambda: [Lane("3.0.0", "stable")]
    assert value(metrics, "mofang_model_info", version="2.0.0", role="stable") is None


def test_two_services_in_a_process_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.answered(5, 5, [])
    assert value(one, "mofang_texts_total") == 5
    assert value(other, "mofang_texts_total") == 0


def test_what_clients_make_up_does_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    metrics = Metrics()
    for at in range(300):
        metrics.request(f"/made-up/{at}", 404, f"{at}.0.0", 0.001)
    metrics.request("/made-up/3", 404, "3.0.0", 0.001)  # an early one is still told apart
    found = read(metrics)
    series = [labels for name, labels in found if name == "mofang_requests_total"]
    assert len(series) == 21
    assert value(metrics, "mofang_requests_total", route=OTHER, code="404", version="") == 280
    assert value(metrics, "mofang_requests_total", route="/made-up/3", code="404",
                 version="3.0.0") == 2  # fmt: skip
    timed = [labels for name, labels in found if name == "mofang_request_duration_seconds_count"]
    assert len(timed) == 21


def test_labels_cannot_break_the_page() -> None:
    metrics = Metrics()
    metrics.request('/a"b\\c\nmofang_texts_total 9', 200, "", 0.1)
    assert value(metrics, "mofang_texts_total") == 0


def test_counting_costs_next_to_nothing() -> None:
    """A request with one text takes milliseconds; 5 % of one are more than 50 microseconds."""
    metrics = Metrics()
    metrics.request("/predict", 200, "1.0.0", 0.004)
    best = min(timed(metrics) for _ in range(5))
    assert best < 50e-6


def timed(metrics: Metrics, times: int = 500) -> float:
    """Return the seconds that counting one request takes."""
    began = time.perf_counter()
    for _at in range(times):
        metrics.request("/predict", 200, "1.0.0", 0.004)
        metrics.answered(1, 12, (0.93,))
    return (time.perf_counter() - began) / times


def test_health_tells_what_is_missing_in_both_languages() -> None:
    ready: list[bool] = []
    health = Health(lambda: bool(ready))
    assert health.report("en") == {
        "status": "not ready", "live": True, "ready": False, "degraded": [],
    }  # fmt: skip
    ready.append(True)
    assert health.report("en")["status"] == "ok"
    health.watch(lambda: [_("nothing"), "1.0.0"])
    assert health.report("en")["degraded"] == ["nothing", "1.0.0"]
    assert health.report("zh")["degraded"] == [_("nothing").render("zh"), "1.0.0"]
    assert health.report("zh")["degraded"] != health.report("en")["degraded"]
    assert health.report("en")["status"] == "degraded"


def test_a_probe_that_fails_is_a_reason_and_says_no_more() -> None:
    health = Health(lambda: True)

    def broken() -> Iterator[Text]:
        raise RuntimeError("password=hunter2 in /etc/secret")

    health.watch(broken)
    health.watch(lambda: ["the other"])
    assert health.report("en")["degraded"] == ["RuntimeError", "the other"]


def test_the_service_tells_all_of_it(tmp_path: Path) -> None:
    tiny.promoted(tmp_path)
    with tiny.served(tmp_path) as client:
        for _at in range(3):
            assert client.post("/predict", json={"inputs": ["my parcel", "money"]}).is_success
        assert client.post("/predict", json={"inputs": ""}).status_code == 422
        client.get("/never/heard/of/it")
        answer = client.get("/metrics", headers={"Accept": OPENMETRICS})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        samples: dict[Any, float] = {
            (one.name, *sorted(one.labels.values())): one.value
            for family in openmetrics_families(answer.text)
            for one in family.samples
        }
        assert samples["mofang_texts_total",] == 6
        assert samples["mofang_confidence_count",] == 6
        assert samples["mofang_requests_total", "/predict", "1.0.0", "200"] == 3
        assert samples["mofang_model_info", "1.0.0", "stable"] == 1
        assert samples["mofang_queue_texts",] == 0
        assert sum(one for key, one in samples.items() if "422" in key) == 1
        assert not any("never" in part for key in samples for part in key)
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
