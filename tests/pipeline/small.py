"""A tiny model of each family, from scratch, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pipeline.modeling import architecture
from pipeline.tasks.task import of
from tests.helpers import changed

TEXTS = ["where is my parcel", "refund my order", "我的包裹在哪里", "change the password"] * 5
LABELS = ["a", "b", "c"]
FAMILIES = list(architecture.FAMILIES)
SIZES = {
    "init.scratch.layers": 2, "init.scratch.hidden": 32, "init.scratch.heads": 2,
    "init.scratch.intermediate": 64, "init.scratch.tokenizer.vocabulary": 300,
}  # fmt: skip


def knobs(family: tuple[str, str], changes: Mapping[str, Any]) -> Any:
    """Return section ``init`` for a tiny model; ``changes`` go by whole names."""
    kind = {"init.scratch.family": family[0], "init.scratch.positions": family[1]}
    return changed(SIZES | kind | dict(changes)).init


def small(
    family: tuple[str, str],
    changes: Mapping[str, Any] = MappingProxyType({}),
    *,
    seed: int = 1,
    task: str = "single_label",
) -> tuple[Any, Any]:
    """Return a tiny model and its tokenizer."""
    section = knobs(family, changes)
    return architecture.from_scratch(
        TEXTS, of(task, LABELS), section.scratch, section.weights, max_tokens=16, seed=seed
    )
