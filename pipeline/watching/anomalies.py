"""Which figures of a window are out of the ordinary, with a stated rate of false alarms.

A figure is an anomaly when all four hold:

1. It lies beyond what the tail of the reference windows lets expect, on a scale where windows
   spread evenly: logarithm for latencies and counts, Anscombe's arcsine (1948) for shares. The tail
   is taken to fall off exponentially, which on the logarithm is a Pareto tail: what latencies have
   at worst. Figures that spread normally fall off faster, and raise fewer alarms than stated.
2. For a share: the requests themselves say so too (Fisher's exact test, 1935), so that a small
   window is not blamed for chance.
3. It is beyond every reference window. Of windows that are alike, whatever their distribution, a
   new one is beyond all ``m`` others in one of ``m + 1`` cases.
4. The change is one that matters (``monitor.smallest``).

Each test may err in ``false_alarms / tests`` of sound windows (Bonferroni), hence all together in
``false_alarms``. As all conditions have to hold, each can only lower that. "Sound" means that the
window is of the same kind as the references: they should cover a rhythm such as a week.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from pipeline.i18n import Message, _
from pipeline.schema.watching import Monitor

Window = Mapping[str, Any]
Scale = Literal["latency", "throughput", "share", "mean", "resource"]

UP, DOWN = "up", "down"
LABELS = 100  # at most so many labels are tested, those that are most common in the references
TAIL, LEAST_TAIL = 8, 8  # one eighth of the references is their tail, and at least eight of them
TERMS = 100_000  # of a tail that is summed up; by then they are nothing beside the first


@dataclass(frozen=True)
class Watched:
    """A figure that is tested."""

    name: str
    scale: Scale
    directions: Sequence[str]  # in which a change is bad, or at least worth knowing
    severity: str
    label: str | None = None  # of a label's share

    def value(self, window: Window) -> float | None:
        """Return the figure of a window, None where it has none."""
        found = READ[self.name](window, self.label)
        return None if found is None or not math.isfinite(found) else found

    def counts(self, window: Window) -> tuple[int, int] | None:
        """Return how many of how many a share is of; None for other figures."""
        return COUNTED[self.name](window, self.label) if self.name in COUNTED else None


@dataclass(frozen=True)
class Anomaly:
    """A figure of a window that is out of the ordinary."""

    figure: str
    label: str | None
    value: float
    usual: float
    direction: str  # up or down
    p: float  # how often a sound window is at least so far off
    limit: float  # the p below which a figure is an anomaly: false_alarms / tests
    windows: int  # reference windows
    severity: str

    @property
    def family(self) -> str:
        """The name under which figures that go wrong together are told together."""
        return FAMILIES.get(self.figure, self.figure)

    def told(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self) | {"family": self.family}

    def sentence(self) -> Message:
        """Return it as a person reads it."""
        words = NAMES[self.figure]
        name = Message(words.text, {"label": self.label}) if self.label is not None else words
        unit = UNITS[self.figure]
        return _(
            "{name}: {value}, usually {usual} (over {windows} windows)",
            name=name,
            value=unit(self.value),
            usual=unit(self.usual),
            windows=self.windows,
        )


def check(window: Window, references: Sequence[Window], knobs: Monitor) -> list[Anomaly]:
    """Return what is out of the ordinary in a window, the worst first.

    :param window: as ``figures.window`` makes it.
    :param references: earlier, sound windows, of the same length.
    """
    enough = [one for one in references if one["requests"] >= knobs.min_requests]
    tests = []
    for watched in every(enough or references):
        own = references if watched.scale in ("throughput", "resource") else enough
        known = [(at, value) for at in own if (value := watched.value(at)) is not None]
        value = watched.value(window)
        judged = watched.scale in ("throughput", "resource")
        judged = judged or window["requests"] >= knobs.min_requests
        if value is not None and judged and len(known) >= knobs.min_windows:
            tests.append((watched, value, known))
    limit = knobs.false_alarms / max(1, len(tests))
    found = [
        anomaly
        for watched, value, known in tests
        if (anomaly := tested(watched, value, window, known, limit))
        and matters(anomaly, watched.scale, knobs)
    ]
    return sorted(found, key=lambda one: one.p)


def every(references: Sequence[Window]) -> list[Watched]:
    """Return the figures that are tested: the fixed ones and the share of each label."""
    common: dict[str, int] = {}
    for window in references:
        for label, count in window["labels"].items():
            common[label] = common.get(label, 0) + count
    labels = sorted(common, key=lambda label: (-common[label], label))[:LABELS]
    return [*WATCHED, *(Watched("label_share", "share", (UP, DOWN), "warning", one)
                        for one in labels)]  # fmt: skip


def tested(
    watched: Watched,
    value: float,
    window: Window,
    known: Sequence[tuple[Window, float]],
    limit: float,
) -> Anomaly | None:
    """Return the anomaly that a value is, by the first three conditions, or None."""
    values = [one for _at, one in known]
    if min(values) <= value <= max(values):
        return None
    direction = UP if value > max(values) else DOWN
    if direction not in watched.directions:
        return None
    own = watched.counts(window)
    scaled = [on_scale(watched.scale, one, watched.counts(at)) for at, one in known]
    usual = off_scale(watched.scale, fmean(scaled))
    p = tail(on_scale(watched.scale, value, own), scaled, direction)
    if own is not None:
        counts = [one for at, _value in known if (one := watched.counts(at)) is not None]
        before = (sum(one for one, _all in counts), sum(one for _one, one in counts))
        p = max(p, fisher(own, before, direction))
        usual = before[0] / max(before[1], 1)
    p = min(1.0, p * len(watched.directions))
    if p >= limit:
        return None
    return Anomaly(watched.name, watched.label, value, usual, direction, p, limit, len(values),
                   watched.severity)  # fmt: skip


def on_scale(scale: Scale, value: float, counts: tuple[int, int] | None) -> float:
    """Return a value where windows spread evenly."""
    if scale in ("latency", "resource"):
        return math.log(max(value, 1e-9))
    if scale == "throughput":
        return math.log1p(value)
    if scale == "share" and counts is not None:
        return math.asin(math.sqrt((counts[0] + 3 / 8) / (counts[1] + 3 / 4)))
    return value


def off_scale(scale: Scale, value: float) -> float:
    """Return what ``on_scale`` was given; of a share the requests themselves say what is usual."""
    if scale in ("latency", "resource"):
        return math.exp(value)
    return math.expm1(value) if scale == "throughput" else value


def tail(value: float, references: Sequence[float], direction: str) -> float:
    """Return how often one more observation is at least so far out.

    Of ``m`` observations let ``u`` be the one of rank ``k + 1`` and ``s`` the sum of what the ``k``
    beyond it have above it. A further one is beyond ``u`` in ``(k + 1) / (m + 1)`` of cases, and of
    an exponential tail then by more than ``z`` in ``(1 + z / s) ** -k``: ``s`` is the scale times a
    gamma variable of shape ``k`` (Renyi 1953).
    """
    m = len(references)
    k = min(m - 1, max(LEAST_TAIL, m // TAIL))
    sign = 1 if direction == UP else -1
    ordered = sorted((sign * one for one in references), reverse=True)
    bound = ordered[k]
    spread = sum(one - bound for one in ordered[:k])
    beyond = sign * value - bound
    if beyond <= 0:
        return 1.0
    if spread <= 0:
        return 0.0
    return (k + 1) / (m + 1) * (1 + beyond / spread) ** -k


def fisher(own: tuple[int, int], before: tuple[int, int], direction: str) -> float:
    """Return how often chance alone parts two groups at least so far.

    :param own: how many of how many, in the window.
    :param before: the same of all references together.
    :param direction: ``up``: the window has more.
    """
    (k, n), (earlier, all_before) = own, before
    if direction == DOWN:  # fewer of these are more of the others
        k, earlier = n - k, all_before - earlier
    total, marked = n + all_before, k + earlier
    if not n or not all_before or k * total <= marked * n:
        return 1.0
    term = math.exp(
        log_choose(marked, k) + log_choose(total - marked, n - k) - log_choose(total, n)
    )
    tail = 0.0
    for x in range(k, min(n, marked, k + TERMS) + 1):
        tail += term
        term *= (marked - x) * (n - x) / ((x + 1) * (total - marked - n + x + 1))
        if term <= tail * 1e-16:
            break
    return min(1.0, tail)


def log_choose(n: int, k: int) -> float:
    """Return the logarithm of the number of ways to choose ``k`` of ``n``."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def matters(anomaly: Anomaly, scale: Scale, knobs: Monitor) -> bool:
    """Return whether a change is as large as ``monitor.smallest`` asks for."""
    smallest = knobs.smallest
    if scale in ("latency", "throughput", "resource"):
        # One request more or less than none is not infinitely many times more.
        shift = 1.0 if scale == "throughput" else 0.0
        ratio = (anomaly.value + shift) / max(anomaly.usual + shift, 1e-9)
        change = ratio if ratio >= 1 else 1 / max(ratio, 1e-9)
        if scale == "resource":
            return change >= 1 + smallest.share
        return change >= (smallest.latency if scale == "latency" else smallest.throughput)
    return abs(anomaly.value - anomaly.usual) >= smallest.share


def seconds_at(name: str, quantile: str) -> Callable[[Window, str | None], float | None]:
    """Return what reads a quantile of the latency or the wait."""
    return lambda window, label: (window.get(name) or {}).get(quantile)


def resource_at(name: str) -> Callable[[Window, str | None], float | None]:
    """Return what reads memory or processor use."""
    return lambda window, label: (window.get("resources") or {}).get(name)


def share_of(name: str) -> Callable[[Window, str | None], tuple[int, int] | None]:
    """Return what reads how many requests had an outcome, of all."""
    return lambda window, label: (int(window[name]), int(window["requests"]))


def label_counts(window: Window, label: str | None) -> tuple[int, int] | None:
    """Return how many answers were a label, of all."""
    counts = window["labels"]
    total = sum(counts.values())
    return (int(counts.get(label, 0)), int(total)) if total else None


def ratio(
    read: Callable[[Window, str | None], tuple[int, int] | None],
) -> Callable[[Window, str | None], float | None]:
    """Return what reads a share from what reads its counts."""

    def share(window: Window, label: str | None) -> float | None:
        counts = read(window, label)
        return counts[0] / counts[1] if counts and counts[1] else None

    return share


COUNTED: dict[str, Callable[[Window, str | None], tuple[int, int] | None]] = {
    "failed_share": share_of("failed"),
    "refused_share": share_of("refused"),
    "label_share": label_counts,
}
READ: dict[str, Callable[[Window, str | None], float | None]] = {
    "latency_p50": seconds_at("seconds", "p50"),
    "latency_p95": seconds_at("seconds", "p95"),
    "latency_p99": seconds_at("seconds", "p99"),
    "throughput": lambda window, label: float(window["requests"]),
    "confidence": lambda window, label: (window.get("confidence") or {}).get("mean"),
    "memory": resource_at("memory_bytes"),
    "processor": resource_at("cpu_share"),
} | {name: ratio(read) for name, read in COUNTED.items()}

WATCHED: tuple[Watched, ...] = (
    Watched("latency_p50", "latency", (UP,), "warning"),
    Watched("latency_p95", "latency", (UP,), "warning"),
    Watched("latency_p99", "latency", (UP,), "warning"),
    Watched("throughput", "throughput", (UP, DOWN), "warning"),
    Watched("failed_share", "share", (UP,), "critical"),
    Watched("refused_share", "share", (UP,), "warning"),
    Watched("confidence", "mean", (UP, DOWN), "warning"),
    Watched("memory", "resource", (UP,), "warning"),
    Watched("processor", "resource", (UP,), "info"),
)
FAMILIES = {"latency_p50": "latency", "latency_p95": "latency", "latency_p99": "latency",
            "label_share": "labels", "memory": "resources", "processor": "resources"}  # fmt: skip
NAMES: dict[str, Message] = {
    "latency_p50": _("median latency"),
    "latency_p95": _("latency, 95th percentile"),
    "latency_p99": _("latency, 99th percentile"),
    "throughput": _("requests a window"),
    "failed_share": _("share of requests that failed"),
    "refused_share": _("share of requests that were refused"),
    "label_share": _("share of answers {label}"),
    "confidence": _("mean confidence"),
    "memory": _("memory of the service"),
    "processor": _("processor use of the service"),
}


def milliseconds(value: float) -> str:
    """Return seconds as a person reads a latency."""
    return f"{1000 * value:.3g} ms"


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %"


UNITS: dict[str, Callable[[float], str]] = {
    "latency_p50": milliseconds,
    "latency_p95": milliseconds,
    "latency_p99": milliseconds,
    "throughput": lambda value: f"{value:.0f}",
    "failed_share": percent,
    "refused_share": percent,
    "label_share": percent,
    "confidence": lambda value: f"{value:.3f}",
    "memory": lambda value: f"{value / 1e6:.0f} MB",
    "processor": percent,
}
