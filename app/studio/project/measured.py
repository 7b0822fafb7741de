"""What the stages have measured, as far as a plan is judged by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Read = Callable[[str], dict[str, Any] | None]  # a stage → what it left, None where it left nothing
OF_VARIANT = ("latency_ms_p95", "texts_per_second", "size_mb", "wh_per_1000_texts")
GAP = "accuracy_gap"


@dataclass(frozen=True)
class Training:
    """What the last training took."""

    seconds: float
    co2_kg: float | None
    money: float | None
    kwh: float | None
    currency: str | None


@dataclass(frozen=True)
class Measured:
    """What is known by measurement; None or empty where a stage has not run."""

    figures: Mapping[str, float] = field(default_factory=dict)  # by the names of choices.FIGURES
    smaller_is_better: frozenset[str] = frozenset()
    main: str | None = None
    records: int | None = None  # of the training part
    labels: Mapping[str, int] = field(default_factory=dict)
    alpha: float | None = None
    personal: int = 0
    failed_gates: tuple[str, ...] = ()
    unfair: tuple[str, ...] = ()
    training: Training | None = None
    verdict: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # language → sentences

    @property
    def rarest(self) -> tuple[str, int] | None:
        """The label with the fewest training records."""
        return min(self.labels.items(), key=lambda one: one[1]) if self.labels else None


def measured(report: Read, metrics: Read) -> Measured:
    """Return what the reports and metrics of the stages say.

    :param report: as ``reading.report`` with the project filled in.
    """
    split, label, clean = report("split") or {}, report("label") or {}, report("clean") or {}
    validate, test = report("validate") or {}, report("test") or {}
    training = report("train") or {}
    taken = (test.get("training") or training.get("actual")) if training or test else None
    return Measured(
        figures=figures(test, metrics("test") or {}, report("optimize"), metrics("optimize")),
        smaller_is_better=frozenset(test.get("smaller_is_better") or ()),
        main=test.get("main"),
        records=(split.get("parts") or {}).get("train"),
        labels=(split.get("labels") or {}).get("train") or {},
        alpha=((label.get("agreement") or {}).get("alpha") or {}).get("value"),
        personal=sum((clean.get("personal_data") or {}).values()),
        failed_gates=tuple(named(one) for one in validate.get("gates") or () if failed(one)),
        unfair=tuple(groups_apart(test.get("fairness") or validate.get("fairness") or {})),
        training=taking(taken, training.get("currency")),
        verdict={
            language: tuple(said) for language, said in (test.get("verdict") or {}).items()
        },
    )  # fmt: skip


def figures(
    test: Mapping[str, Any],
    measures: Mapping[str, Any],
    optimize: Mapping[str, Any] | None,
    variants: Mapping[str, Any] | None,
) -> dict[str, float]:
    """Return what was measured on the test part and of the model that ships."""
    found = {
        name: value
        for name, value in (measures.get("model") or {}).items()
        if isinstance(value, float | int)
    }
    if test.get("main") in found:
        found["main"] = found[test["main"]]
    shipped = (variants or {}).get((optimize or {}).get("shipped") or "", {})
    known = {name: shipped.get(name) for name in OF_VARIANT}
    return found | {name: value for name, value in known.items() if value is not None}


def failed(gate: Mapping[str, Any]) -> bool:
    """Return whether a gate was asked and not met."""
    return gate.get("passed") is False and not gate.get("skipped")


def named(gate: Mapping[str, Any]) -> str:
    """Return a gate in signs."""
    from app.studio.deploying import gate_of  # reads releases too, which takes long to import

    return gate_of(gate)


def groups_apart(fairness: Mapping[str, Any]) -> list[str]:
    """Return the columns whose groups differ in accuracy beyond what chance explains."""
    found = []
    for column, entry in fairness.items():
        gap = ((entry or {}).get("claim") or {}).get(GAP)
        if gap and (gap.get("low") or 0) > 0:
            found.append(f"{column} ({gap.get('lowest')})")
    return found


def taking(taken: Mapping[str, Any] | None, currency: str | None) -> Training | None:
    """Return what a training took."""
    if not taken or taken.get("seconds") is None:
        return None
    return Training(
        taken["seconds"], taken.get("co2_kg"), taken.get("money"), taken.get("kwh"), currency
    )
