"""When a field matters: one table. A field that changes nothing is not shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Test = Callable[[Any], bool]
Values = Mapping[str, Any]


class Missing:
    """Stands where there is no value, which is something else than null."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def is_(*wanted: object) -> Test:
    """Hold for one of these values."""
    return lambda value: value in wanted


def is_not(*unwanted: object) -> Test:
    """Hold for all but these values."""
    return lambda value: value not in unwanted


def holds(*wanted: str) -> Test:
    """Hold for a list with one of these entries."""
    return lambda value: bool(set(wanted).intersection(value))


def mentions(part: str) -> Test:
    """Hold for a list with an entry that has this in it."""
    return lambda value: any(part in str(one) for one in value)


def above(bound: float) -> Test:
    """Hold for larger numbers."""
    return lambda value: bool(value > bound)


def given(value: Any) -> bool:
    """Hold for what is neither null nor empty."""
    return value is not None and value != [] and value != ""


@dataclass(frozen=True)
class Rule:
    """A field, or all of a group, matters while another field passes a test.

    ``*`` in ``path`` stands for one name or place. ``other`` is a path from the top; with a dot in
    front it lies beside the field. ``otherwise`` is what the field has to be when it does not
    matter, where the schema refuses other values then.
    """

    path: str
    other: str
    test: Test
    otherwise: Any = MISSING

    @functools.cached_property
    def steps(self) -> list[str]:
        """The steps of the path."""
        return self.path.split(".")

    def fits(self, steps: Sequence[str]) -> bool:
        """Return whether the rule speaks of a field, or of a group around it."""
        return len(steps) >= len(self.steps) and all(
            one in ("*", step) for one, step in zip(self.steps, steps, strict=False)
        )

    def beside(self, steps: Sequence[str]) -> str:
        """Return the path of the other field, for a field that the rule fits."""
        if not self.other.startswith("."):
            return self.other
        return ".".join(steps[: len(self.steps) - 1]) + self.other


# Below a switch that is off nothing matters, except where the switch says another thing.
SWITCH = "enabled"
SWITCHES_OF_LITTLE = ("monitor",)  # by hand it works anyway

CLASSES = is_not("regression")
TF_IDF = holds("logistic_regression", "linear_svc")

RULES: tuple[Rule, ...] = (
    # collect
    Rule("collect.sources.*.sample", ".limit", given),
    Rule("collect.sources.*.reader", ".answer", is_("file", "api")),
    Rule("collect.sources.*.chunks", ".answer", is_("page")),
    Rule("collect.sources.*.items", ".answer", is_("api")),
    Rule("collect.sources.*.next_page", ".answer", is_("api")),
    Rule("collect.sources.*.max_pages", ".answer", is_("api")),
    Rule("collect.sources.*.chunks.overlap", ".size", given),
    Rule("collect.sources.*.reader.pattern", ".format", is_("txt")),
    Rule("collect.sources.*.reader.unmatched", ".pattern", given),
    Rule("collect.sources.*.reader.sheet", ".format", is_("auto", "xlsx")),
    Rule("collect.sources.*.reader.encoding", ".format", is_not("parquet")),
    Rule("collect.sources.*.reader.columns", ".format", is_not("txt")),
    Rule("collect.sources.*.feed.reader.pattern", ".format", is_("txt")),
    Rule("collect.sources.*.feed.reader.unmatched", ".pattern", given),
    Rule("collect.sources.*.feed.reader.sheet", ".format", is_("auto", "xlsx")),
    Rule("collect.sources.*.feed.reader.encoding", ".format", is_not("parquet")),
    Rule("collect.sources.*.feed.reader.columns", ".format", is_not("txt")),
    # clean
    Rule("clean.normalize.width", ".unicode", is_(False)),
    Rule("clean.duplicates.near.keep", ".drop", is_(True)),
    Rule("clean.personal_data.region", ".phone", is_not("keep")),
    # label
    Rule("label.labels", "label.task", CLASSES, []),
    Rule("label.definitions", "label.task", CLASSES, {}),
    Rule("label.mapping", "label.task", CLASSES, {}),
    Rule("label.rules", "label.task", CLASSES, []),
    Rule("label.consensus", "label.task", is_("single_label"), "majority"),
    Rule("label.separator", "label.task", is_("multi_label")),
    Rule("label.numbers", "label.task", is_("regression")),
    Rule("label.agreement.min_records", ".min_alpha", given),
    # split
    Rule("split.column", "split.strategy", is_("column"), None),
    Rule("split.shares", "split.strategy", is_not("column")),
    Rule("split.augment.synonyms", ".methods", holds("synonym", "insert")),
    # init
    Rule("init.pretrained", "init.method", is_("pretrained")),
    Rule("init.scratch", "init.method", is_("scratch")),
    Rule("init.weights.embeddings", "init.method", is_("scratch")),
    Rule("init.weights.layers", "init.method", is_("scratch")),
    Rule("init.weights.*.value", ".scheme", is_("constant")),
    Rule("init.weights.*.std", ".scheme", is_("normal", "truncated_normal")),
    Rule("init.weights.*.bound", ".scheme", is_("uniform")),
    Rule(
        "init.weights.*.gain",
        ".scheme",
        is_("xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "orthogonal"),
    ),
    # train
    Rule("train.lora", "train.method", is_("lora")),
    Rule("train.contrastive", "train.method", is_not("frozen")),
    Rule("train.contrastive.enabled", "train.method", is_not("frozen"), False),
    Rule("train.gradient_checkpointing", "train.method", is_not("frozen"), False),
    Rule("train.freeze_embeddings", "init.method", is_("pretrained"), False),
    Rule("train.freeze_embeddings", "train.method", is_not("frozen")),
    Rule("train.optimizer.momentum", ".kind", is_("sgd", "rmsprop")),
    Rule("train.optimizer.beta1", ".kind", is_("adamw")),
    Rule("train.optimizer.beta2", ".kind", is_("adamw", "rmsprop")),
    Rule("train.optimizer.epsilon", ".kind", is_("adamw", "rmsprop")),
    Rule("train.schedule.cycles", ".kind", is_("cosine_restarts")),
    Rule("train.schedule.factor", ".kind", is_("plateau")),
    Rule("train.schedule.patience", ".kind", is_("plateau")),
    Rule("train.loss.label_smoothing", "label.task", CLASSES),
    Rule("train.loss.class_weights", "label.task", CLASSES),
    Rule("train.loss.focal_gamma", "label.task", CLASSES),
    Rule("train.loss.regression", "label.task", is_("regression")),
    Rule("train.min_improvement", ".patience", above(0)),
    Rule("train.launcher.strategy", ".processes", above(1)),
    Rule("train.baselines.analyzer", ".kinds", TF_IDF),
    Rule("train.baselines.longest", ".kinds", TF_IDF),
    Rule("train.baselines.max_features", ".kinds", TF_IDF),
    # validate and test
    Rule("validate.calibration.thresholds", "label.task", CLASSES),
    Rule("test.errors.steps", ".explained", above(0)),
    Rule("test.robustness.records", ".kinds", given),
    Rule("test.robustness.share", ".kinds", given),
    Rule("test.learning_curve.draws", ".shares", given),
    # optimize
    Rule("optimize.calibration_records", ".variants", mentions("int8")),
    Rule("optimize.distillation", ".variants", mentions("distilled")),
    Rule("optimize.pruning", ".variants", mentions("pruned")),
    Rule("optimize.pruning.units", "optimize.variants", mentions("pruned_units")),
    Rule("optimize.pruning.weights", "optimize.variants", mentions("pruned_weights")),
    # search, canary, serve, traffic
    Rule("search.grid_points", ".sampler", is_("grid")),
    Rule("canary.max_disagreement", ".compared_share", above(0)),
    Rule("serve.rate.burst", ".texts_per_second", above(0)),
    Rule("serve.rate.clients", ".texts_per_second", above(0)),
    Rule("traffic.characters", ".text", is_("masked")),
    Rule("traffic.region", ".mask", holds("phone")),
)


def matters(path: str, values: Values) -> bool:
    """Return whether a field changes anything, given all values of ``params.yaml``.

    :param path: dotted, as in ``train.lora.rank`` or ``collect.sources.0.sample``.
    """
    if below_a_switch_that_is_off(path.split("."), values):
        return False
    return all(
        value is MISSING or rule.test(value)
        for rule, other in rules_of(path)
        for value in (value_at(values, other),)
    )


@functools.lru_cache(maxsize=4096)
def rules_of(path: str) -> tuple[tuple[Rule, str], ...]:
    """Return the rules for a field, each with the path of the other field."""
    steps = path.split(".")
    return tuple((rule, rule.beside(steps)) for rule in RULES if rule.fits(steps))


def settled(values: Values) -> dict[str, Any]:
    """Return what has to change in fields that no longer matter, so that all values fit."""
    changes: dict[str, Any] = {}
    for rule in RULES:
        if rule.otherwise is MISSING:
            continue
        other = value_at(values, rule.beside(rule.steps))
        if other is MISSING or rule.test(other):
            continue
        now = value_at(values, rule.path)
        if now is not MISSING and now != rule.otherwise:
            changes[rule.path] = rule.otherwise
    return changes


def below_a_switch_that_is_off(steps: Sequence[str], values: Values) -> bool:
    """Return whether a group around a field is turned off; the switch itself always matters."""
    group: Any = values
    for depth, step in enumerate(steps[:-1], 1):
        group = found(group, [step])
        if group is MISSING:  # a name with dots, below which there is no switch
            return False
        if depth == len(steps) - 1 and steps[depth] == SWITCH:
            return False
        off = isinstance(group, Mapping) and group.get(SWITCH) is False
        if off and ".".join(steps[:depth]) not in SWITCHES_OF_LITTLE:
            return True
    return False


def value_at(values: Any, path: str) -> Any:
    """Return the value at a dotted path, or ``MISSING``.

    A name may hold dots itself (labels do), so the longest one that fits is taken first.
    """
    return found(values, path.split("."))


def found(values: Any, steps: Sequence[str]) -> Any:
    """Return the value that the steps lead to, or ``MISSING``."""
    if not steps:
        return values
    if isinstance(values, Sequence) and not isinstance(values, str):
        at = int(steps[0]) if steps[0].isdecimal() and steps[0].isascii() else len(values)
        return found(values[at], steps[1:]) if at < len(values) else MISSING
    if isinstance(values, Mapping):
        for end in range(len(steps), 0, -1):
            name = ".".join(steps[:end])
            if name in values:
                return found(values[name], steps[end:])
    return MISSING
