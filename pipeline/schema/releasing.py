"""Sections ``release`` and ``canary``: what a release must show, and when a trial of one ends."""

from __future__ import annotations

from pipeline.schema.knob import LARGEST_SEED, Section, knob


class Golden(Section):
    """Questions with known answers that a model is asked before it may serve."""

    questions: int = knob(
        "Questions",
        "Texts of the validation part, drawn label by label, that the model answers right. More "
        "are surer and take longer at each promotion.",
        unit="texts", ge=5, le=1_000,
    )  # fmt: skip
    agreement: float = knob(
        "Agreement",
        "Share of them that must get the answer they got when the release was made.",
        unit="share", level="advanced", ge=0.5, le=1.0,
    )  # fmt: skip
    tolerance: float = knob(
        "Tolerance",
        "By how much a score may differ from then; for numbers as a share of how far answers "
        "spread. Another processor rounds otherwise.",
        unit="share", level="advanced", gt=0.0, le=0.5,
    )  # fmt: skip


class Releasing(Section):
    """What a release is made of, and what it must show before it is one."""

    golden: Golden = knob("Golden questions", "What a model is asked before it may serve.")
    figure_tolerance: float = knob(
        "Tolerance of the main figure",
        "The copy answers the whole validation part, and its main figure may differ from that in "
        "models/optimize by no more.",
        unit="share", level="advanced", ge=0.0, le=0.5,
    )  # fmt: skip
    examples: int = knob(
        "Examples", "Short texts of the test part that the demo offers, personal data masked.",
        unit="texts", ge=0, le=100,
    )  # fmt: skip
    tags: bool = knob(
        "Git tags",
        "Marks the commit of each release and promotion, as GTO and DVC's model registry read it.",
    )
    seed: int = knob(
        "Seed", "For the golden questions.", level="advanced", ge=0, le=LARGEST_SEED
    )  # fmt: skip


class Canary(Section):
    """A release that answers some clients before it answers all, and what ends that."""

    share: int = knob(
        "Share",
        "Of clients that the canary answers; each client stays with its model. In shadow: of "
        "requests that it gets a copy of.",
        unit="percent", ge=1, le=100,
    )  # fmt: skip
    shadow: bool = knob(
        "Shadow", "The canary answers copies of requests, and no client sees its answers."
    )
    min_requests: int = knob(
        "Requests at least", "Fewer of the canary's requests prove nothing.",
        unit="requests", ge=10, le=100_000,
    )  # fmt: skip
    window_seconds: int = knob(
        "Window", "Requests that are older count no more.",
        unit="seconds", level="advanced", ge=10, le=86_400,
    )  # fmt: skip
    check_seconds: float = knob(
        "Check", "How often the canary is judged; a bad one ends within ten seconds.",
        unit="seconds", level="advanced", ge=0.1, le=5.0,
    )  # fmt: skip
    max_error_share: float = knob(
        "Errors at most",
        "Share of the canary's requests that fail, above the share that fails on stable. More "
        "ends it.",
        unit="share", ge=0.0, le=1.0,
    )  # fmt: skip
    max_slowdown: float = knob(
        "Slowdown at most",
        "The canary's 95th percentile of seconds, as a multiple of stable's. More ends it.",
        unit="times", ge=1.0, le=100.0,
    )  # fmt: skip
    slack_ms: float = knob(
        "Slack", "A 95th percentile that is slower by no more never ends a canary.",
        unit="milliseconds", level="advanced", ge=0.0, le=10_000.0,
    )  # fmt: skip
    compared_share: float = knob(
        "Compared",
        "Share of the canary's requests that stable is asked too; costs stable that time.",
        unit="share", ge=0.0, le=1.0,
    )  # fmt: skip
    max_disagreement: float = knob(
        "Disagreement at most",
        "Share of compared texts that stable answers otherwise. More ends the canary.",
        unit="share", ge=0.0, le=1.0,
    )  # fmt: skip
