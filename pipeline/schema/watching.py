"""Sections ``monitor`` and ``alerts``: what is watched in the log of requests, and who is told."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.schema.knob import LARGEST_SEED, Section, contradiction, knob

Kind = Literal["text", "label", "length", "language", "confidence"]


class Smallest(Section):
    """Changes too small to matter, however certain they are."""

    latency: float = knob(
        "Latency", "A latency is an anomaly from so many times the usual one.",
        unit="times", level="advanced", ge=1.0, le=100.0,
    )  # fmt: skip
    throughput: float = knob(
        "Throughput", "A number of requests is an anomaly from so many times more, or fewer.",
        unit="times", level="advanced", ge=1.0, le=1_000.0,
    )  # fmt: skip
    share: float = knob(
        "Share",
        "A share (of errors, of a label), a confidence, processor or memory use is an anomaly "
        "from so large a difference; memory and processor as a share of what is usual.",
        unit="share", level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip


class Quality(Section):
    """What people say about answers, as ``POST /feedback`` and the demo take it."""

    days: int = knob(
        "Days", "Verdicts are counted anew every so many days.", unit="days", ge=1, le=366
    )
    min_verdicts: int = knob(
        "Verdicts at least", "Fewer prove nothing.", unit="verdicts", ge=5, le=1_000_000
    )
    min_accuracy: float = knob(
        "Least accuracy",
        "Share of judged answers that people found right. Below it an alert goes out and a "
        "retraining is proposed.",
        unit="share", ge=0.0, le=1.0,
    )  # fmt: skip
    false_alarms: float = knob(
        "False alarms",
        "How often a model that is exactly so good is ever taken for a worse one in these days, "
        "however often it is looked. Smaller needs more verdicts.",
        unit="share", level="advanced", gt=0.0, le=0.2,
    )  # fmt: skip


class Drift(Section):
    """Requests beside the data that the model learnt from."""

    kinds: list[Kind] = knob(
        "Kinds",
        "What is compared: the texts, the answers, the length of texts, their language, the "
        "confidence of answers.",
        min_length=1, max_length=5,
    )  # fmt: skip
    every_hours: int = knob(
        "Every", "A window is judged so often, or later, once it holds enough texts.",
        unit="hours", ge=1, le=24 * 31,
    )  # fmt: skip
    min_texts: int = knob(
        "Texts at least", "Fewer prove nothing: the window waits for more.",
        unit="texts", ge=50, le=100_000,
    )  # fmt: skip
    max_texts: int = knob(
        "Texts at most", "Of each side; of more so many are drawn by the seed.",
        unit="texts", level="advanced", ge=200, le=100_000,
    )  # fmt: skip
    sample: int = knob(
        "Sample", "Texts of the training part that a release keeps, as numbers, to compare with.",
        unit="texts", level="advanced", ge=200, le=20_000,
    )  # fmt: skip
    false_alarms: float = knob(
        "False alarms",
        "Share of windows of the same kind of text that are taken for drifted; thresholds are "
        "fitted to it when a release is made.",
        unit="share", ge=0.001, le=0.2,
    )  # fmt: skip
    draws: int = knob(
        "Draws", "Windows drawn from the training part to find the thresholds; more are steadier.",
        unit="draws", level="advanced", ge=50, le=10_000,
    )  # fmt: skip
    confirmed: int = knob(
        "Confirmed",
        "So many windows in a row must have drifted before an alert goes out: two make a false "
        "one as rare as the square of a single one.",
        unit="windows", ge=1, le=10,
    )  # fmt: skip
    report: bool = knob(
        "Report", "Also writes a page by Evidently when a window has drifted; takes seconds."
    )
    seed: int = knob("Seed", "For all that is drawn.", level="advanced", ge=0, le=LARGEST_SEED)

    @model_validator(mode="after")
    def bounds_fit(self) -> Drift:
        """A window that fills is not larger than what is read of it, and no kind stands twice."""
        if self.min_texts > self.max_texts:
            raise contradiction("drift.min_texts above drift.max_texts")
        if len(set(self.kinds)) < len(self.kinds):
            raise contradiction("a kind of drift twice")
        return self


class Proposal(Section):
    """What to do when drift or quality passes its limit."""

    enabled: bool = knob("Switch", "Writes a proposal, which changes nothing until it is approved.")
    texts: int = knob(
        "Texts", "Uncertain and disputed requests that go to be labelled, at most.",
        unit="texts", ge=0, le=100_000,
    )  # fmt: skip
    uncertain: float = knob(
        "Uncertain", "An answer with less confidence is uncertain.", unit="share", gt=0.0, le=1.0
    )
    canary_share: float = knob(
        "Canary's share", "Share of requests that the new model would get first.",
        unit="percent", ge=1.0, le=50.0,
    )  # fmt: skip


class Monitor(Section):
    """What is watched, and when a difference is one."""

    enabled: bool = knob("Switch", "On a schedule inside the service; by hand it works anyway.")
    every_minutes: int = knob(
        "Every", "Between two looks; each judges the windows that ended meanwhile.",
        unit="minutes", ge=1, le=24 * 60,
    )  # fmt: skip
    window_minutes: int = knob(
        "Window",
        "Requests that are judged together. Shorter ones tell sooner, longer ones see smaller "
        "changes.",
        unit="minutes", ge=1, le=7 * 24 * 60,
    )  # fmt: skip
    reference_windows: int = knob(
        "Reference windows",
        "Earlier windows that a new one is compared with. They should cover a whole rhythm, such "
        "as a week.",
        unit="windows", ge=10, le=2_000,
    )  # fmt: skip
    min_windows: int = knob(
        "Windows at least", "With fewer reference windows no anomaly is told.",
        unit="windows", level="advanced", ge=5, le=2_000,
    )  # fmt: skip
    min_requests: int = knob(
        "Requests at least", "A window with fewer tells how many there were, and nothing else.",
        unit="requests", ge=1, le=1_000_000,
    )  # fmt: skip
    false_alarms: float = knob(
        "False alarms",
        "Share of sound windows that raise an alarm, over all figures together. Smaller sees "
        "only larger changes.",
        unit="share", gt=0.0, le=0.2,
    )  # fmt: skip
    smallest: Smallest = knob("Smallest change", "A change below these is no anomaly.")
    quality: Quality = knob("Quality", "What people say about answers.")
    drift: Drift = knob("Drift", "Requests beside the data that the model learnt from.")
    proposal: Proposal = knob("Proposal", "What to do when drift or quality passes its limit.")

    @model_validator(mode="after")
    def windows_fit(self) -> Monitor:
        """As many windows as are needed must be among those that are kept."""
        if self.min_windows > self.reference_windows:
            raise contradiction("min_windows above reference_windows")
        return self


class Alerts(Section):
    """Who is told, how often, and in which language. Targets stand in MOFANG_ALERTS."""

    enabled: bool = knob("Switch", "Sends alerts; all are recorded and shown anyway.")
    lowest: Literal["info", "warning", "critical"] = knob(
        "Severity", "From which severity an alert is sent. A target may ask for more."
    )
    language: Literal["en", "zh", "both"] = knob("Language", "Of what is sent.")
    cooldown_minutes: int = knob(
        "Cool-down", "The same alert is not sent again within.", unit="minutes", ge=0, le=44_640
    )
    acknowledged_hours: int = knob(
        "Acknowledged", "Nor within so long after somebody acknowledged it.",
        unit="hours", ge=0, le=8_784,
    )  # fmt: skip
    timeout_seconds: int = knob(
        "Time limit", "A target that takes longer counts as failed.",
        unit="seconds", level="advanced", ge=1, le=120,
    )  # fmt: skip
    attempts: int = knob(
        "Attempts", "In this and the next looks, until a target took it.",
        unit="attempts", level="advanced", ge=1, le=20,
    )  # fmt: skip
