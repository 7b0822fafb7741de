"""Knobs, windows and a listening webhook for tests of the monitor."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from pipeline.schema.watching import Alerts, Monitor
from pipeline.traffic import database, privacy
from pipeline.traffic.rows import Rows
from pipeline.traffic.storing import store
from tests.pipeline.made_traffic import knobs as traffic_knobs

MONITOR: dict[str, Any] = {
    "enabled": True,
    "every_minutes": 5,
    "window_minutes": 60,
    "reference_windows": 168,
    "min_windows": 24,
    "min_requests": 50,
    "false_alarms": 0.001,
    "smallest": {"latency": 1.5, "throughput": 3.0, "share": 0.05},
    "quality": {"days": 7, "min_verdicts": 30, "min_accuracy": 0.8, "false_alarms": 0.01},
    "drift": {
        "kinds": ["text", "label", "length", "language", "confidence"],
        "every_hours": 6,
        "min_texts": 200,
        "max_texts": 10_000,
        "sample": 2_000,
        "false_alarms": 0.05,
        "draws": 200,
        "confirmed": 2,
        "report": False,
        "seed": 42,
    },
    "proposal": {"enabled": True, "texts": 500, "uncertain": 0.7, "canary_share": 10},
}
ALERTS: dict[str, Any] = {
    "enabled": True,
    "lowest": "warning",
    "language": "both",
    "cooldown_minutes": 240,
    "acknowledged_hours": 24,
    "timeout_seconds": 5,
    "attempts": 3,
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with others in some places (``drift.every_hours``, with two lines)."""
    made = json.loads(json.dumps(base))
    for where, value in changes.items():
        *steps, last = where.split("__")
        place = made
        for step in steps:
            place = place[step]
        place[last] = value
    return dict(made)


def monitor(**changes: Any) -> Monitor:
    """Return section monitor with some other values (``drift__every_hours=1``)."""
    return Monitor.model_validate(merged(MONITOR, changes))


def alerting(**changes: Any) -> Alerts:
    """Return section alerts with some other values."""
    return Alerts.model_validate(merged(ALERTS, changes))


def write(engine: Engine, *items: Any, text: str = "none") -> None:
    """Write requests, feedback and events as the recorder does."""
    rows = Rows(traffic_knobs(language=False, text=text), privacy.secret(Path()))
    with database.writing(engine) as connection:
        store(connection, rows, items)


def window(random: np.random.Generator, **changes: Any) -> dict[str, Any]:
    """Return the figures of a window as a sound service has them, drawn by chance."""
    requests = int(random.poisson(random.normal(1_000, 60)))
    failed = int(random.binomial(requests, 0.01))
    half = int(random.binomial(requests, 0.5))
    scale = float(np.exp(random.normal(0, 0.08)))
    return {
        "requests": requests,
        "failed": failed,
        "refused": int(random.binomial(requests, 0.02)),
        "seconds": {
            "p50": 0.010 * scale,
            "p95": 0.030 * scale * float(np.exp(random.normal(0, 0.05))),
            "p99": 0.050 * scale * float(np.exp(random.normal(0, 0.15))),
        },
        "labels": {"location": half, "number": requests - half},
        "confidence": {"mean": float(random.normal(0.9, 0.004)), "answers": requests},
        "resources": {
            "memory_bytes": float(random.normal(3e8, 2e6)),
            "cpu_share": float(np.exp(random.normal(-1, 0.1))),
        },
    } | changes


class Webhook(ThreadingHTTPServer):
    """Takes what ``json://`` sends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listener)
        self.taken: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.code = 200
        self.delay = 0.0
        self.headers: dict[str, str] = {}

    @property
    def address(self) -> str:
        """Return the target as apprise writes it."""
        return f"json://127.0.0.1:{self.server_address[1]}/s3cret-token"


class Listener(BaseHTTPRequestHandler):
    """One request to the webhook."""

    server: Webhook

    def do_POST(self) -> None:
        """Take one alert."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay)
        self.server.paths.append(self.path)
        if self.server.code == 200:
            self.server.taken.append(json.loads(body))
        self.send_response(self.server.code)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[Webhook]:
    """Run a webhook on a free port of this machine for the block."""
    made = Webhook()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()
