"""Knobs, requests and waiting for tests of the traffic database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipeline.schema.traffic import Traffic
from pipeline.traffic.entries import Entry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LABELS = ("location", "number")
STATED: dict[str, Any] = {
    "text": "none",
    "mask": ["email", "phone", "identity_card", "bank_card", "ip"],
    "region": "CN",
    "characters": 2000,
    "language": True,
    "features": True,
    "queue": 20_000,
    "batch": 500,
    "flush_ms": 20,
    "retry_seconds": {"first": 0.05, "longest": 0.2},
    "retention_days": 30,
    "figures_days": 400,
    "most_mb": 1024,
    "sweep_minutes": 10.0,
}


def knobs(**changed: Any) -> Traffic:
    """Return section traffic with some other values."""
    return Traffic.model_validate(STATED | changed)


def entry(number: int = 0, texts: Sequence[str] = ("Where is Iceland ?",), **changed: Any) -> Entry:
    """Return an answered request, a second after the one with the number before."""
    size = len(texts)
    values: dict[str, Any] = {
        "id": f"request-{number:06d}",
        "at": NOON + timedelta(seconds=number),
        "route": "/predict",
        "code": 200,
        "version": "1.0.0",
        "role": "stable",
        "client": "anna",
        "texts": texts,
        "scores": np.tile([0.75, 0.25], (size, 1)),
        "labels": [LABELS[0]] * size,
        "tokens": 7 * size,
        "seconds": 0.02,
        "waited": 0.005,
    }
    return Entry(**values | changed)


def refused(number: int, **changed: Any) -> Entry:
    """Return a request that was not answered."""
    nothing = {"code": 422, "version": None, "role": None, "scores": None, "labels": None}
    return entry(number, **nothing | changed)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Return as soon as something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"still not: {what}"
        time.sleep(0.01)
