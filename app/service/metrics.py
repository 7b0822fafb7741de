"""What ``GET /metrics`` tells Prometheus, in a registry of its own.

Counting stands in the way of every request, so that a series is looked up once and then kept, and
whatever can be read when somebody asks (queue, drops, models, memory) is read then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

PREFIX = "mofang"
OTHER = "other"  # the route of what is no route, and of series beyond MOST
MOST = 500  # pairs of route and version, or of route, code and version, that are told apart
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Named(Protocol):
    """What metrics have to know of a lane of the router."""

    @property
    def version(self) -> str:
        """Of the release."""

    @property
    def role(self) -> str:
        """Either ``stable`` or ``canary``."""


@dataclass
class Readings:
    """Where values come from that are read only when somebody asks for metrics."""

    lanes: Callable[[], Iterable[Named]] = tuple
    queued: Callable[[], int] = int  # texts that wait for a worker
    dropped: Callable[[], int] = int  # entries of the request log that were not written


@dataclass
class Metrics:
    """All figures of one service.

    :param readings: whose functions may be set later, as the parts of the service start.
    """

    readings: Readings = field(default_factory=Readings)

    def __post_init__(self) -> None:
        """Make every series."""
        # A series of its own for the second in which each other series began: twice the page, and
        # process_start_time_seconds tells as much.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(Read(self.readings))
        kept: dict[str, Any] = {"namespace": PREFIX, "registry": self.registry}
        self._requests = Counter(
            "requests_total", "Requests by what they were answered with.",
            ("route", "code", "version"), **kept,
        )  # fmt: skip
        self._seconds = Histogram(
            "request_duration_seconds", "From the first byte of a request to its answer.",
            ("route", "version"), buckets=SECONDS, **kept,
        )  # fmt: skip
        self._texts = Counter("texts_total", "Texts that were answered.", **kept)
        self._tokens = Counter("input_tokens_total", "Tokens of these texts.", **kept)
        self._confidence = Histogram(
            "confidence", "Highest probability of each answer; none for numbers.",
            buckets=SHARES, **kept,
        )  # fmt: skip
        self._drift = Gauge(
            "drift_score", "Distance of recent requests from the training data.",
            ("kind",), **kept,
        )  # fmt: skip
        self._counters: dict[tuple[str, int, str], Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}

    def request(self, route: str, code: int, version: str, seconds: float) -> None:
        """Count a request.

        :param route: as the service declares it (``/v2/models/{name}/infer``), never the path that
            a client made up; ``OTHER`` where there is none.
        :param version: of the release that answered; ``""`` where none did.
        """
        key = (route, code, version)
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= MOST:
                key = (OTHER, code, "")
            counter = self._counters[key] = self._requests.labels(key[0], str(key[1]), key[2])
        counter.inc()
        self._timer(route, version).observe(seconds)

    def _timer(self, route: str, version: str) -> Histogram:
        """Return the durations of a route and a version."""
        key = (route, version)
        timer = self._timers.get(key)
        if timer is None:
            if len(self._timers) >= MOST:
                key = (OTHER, "")
            timer = self._timers[key] = self._seconds.labels(*key)
        return timer

    def answered(self, texts: int, tokens: int, confidences: Iterable[float]) -> None:
        """Count what was answered.

        :param confidences: a probability, 0 to 1, a text; none for a number.
        """
        self._texts.inc(texts)
        self._tokens.inc(tokens)
        for one in confidences:
            self._confidence.observe(one)

    def drift(self, kind: str, score: float) -> None:
        """Tell how far requests are from the training data.

        :param kind: ``text``, ``label``, ``length``, ``language`` or ``confidence``.
        """
        self._drift.labels(kind).set(score)

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """Return all series and their media type, in the format that the reader accepts.

        :param accept: header ``Accept``.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class Read:
    """Series that are read when somebody asks."""

    def __init__(self, readings: Readings) -> None:
        self.readings = readings

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        models = InfoMetricFamily(
            f"{PREFIX}_model", "Releases that answer.", labels=("version", "role")
        )
        for lane in self.readings.lanes():
            models.add_metric((lane.version, lane.role), {})
        yield models
        yield GaugeMetricFamily(
            f"{PREFIX}_queue_texts", "Texts that wait for a worker.", value=self.readings.queued()
        )
        yield CounterMetricFamily(
            f"{PREFIX}_log_dropped", "Entries of the request log that could not be written.",
            value=self.readings.dropped(),
        )  # fmt: skip
