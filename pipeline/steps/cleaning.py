"""One shard of texts through every rule that needs no other record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.steps import language, personal, quality, text
from pipeline.steps.reasons import EMPTY

SHOWN = 300  # characters of a sample
KINDS = ("email", "phone", "identity_card", "bank_card", "ip")
Knobs = Mapping[str, Any]


@dataclass
class Samples:
    """For each step and each reason, the texts with the lowest ids: a draw that repeats."""

    limit: int
    drawn: dict[str, list[tuple[str, str, str | None]]] = field(default_factory=dict)

    def offer(self, about: str, id: str, before: str, after: str | None) -> None:
        """Keep a sample while it is among the first of its kind."""
        drawn = self.drawn.setdefault(about, [])
        if self.limit and (len(drawn) < self.limit or id < drawn[-1][0]):
            drawn.append((id, before, after))
            drawn.sort(key=lambda sample: sample[0])
            del drawn[self.limit :]

    def join(self, other: Samples) -> None:
        """Take over what another shard drew."""
        for about, drawn in other.drawn.items():
            for sample in drawn:
                self.offer(about, *sample)

    def shown(self, region: str) -> dict[str, list[dict[str, str | None]]]:
        """Return the samples for people: shortened, and without anybody's data."""

        def hidden(words: str | None) -> str | None:
            return words and personal.mask(words[: 2 * SHOWN], kinds=KINDS, region=region)[:SHOWN]

        return {
            about: [
                {"id": id, "before": hidden(before), "after": hidden(after)}
                for id, before, after in drawn
            ]
            for about, drawn in sorted(self.drawn.items())
        }


@dataclass
class Shard:
    """What became of the texts of one shard."""

    texts: list[str]
    reasons: list[str | None]
    languages: list[str | None]
    changed: Counter[str]  # step → how many texts it changed
    personal: Counter[str]  # kind → how often it was found
    samples: Samples


def clean(ids: Sequence[str], texts: Sequence[str], knobs: Knobs) -> Shard:
    """Write every text the same way and give a reason to those that cannot stay.

    :param knobs: the section ``clean``.
    """
    shard = Shard([], [], [], Counter(), Counter(), Samples(knobs["samples"]))
    judge = quality.compiled(knobs["quality"])
    for id, raw in zip(ids, texts, strict=True):
        clean, reason = rewritten(raw, knobs, shard, id)
        spoken: str | None = None
        if reason is None:
            reason = judge(clean) if clean else EMPTY
        if reason is None and knobs["quality"]["language"]["enabled"]:
            wanted = knobs["quality"]["language"]
            reason, spoken = language.judge(
                clean, allowed=wanted["allowed"], min_confidence=wanted["min_confidence"]
            )
        if reason is not None:
            shard.samples.offer(reason, id, raw, None)
        shard.texts.append(clean)
        shard.reasons.append(reason)
        shard.languages.append(spoken)
    return shard


def rewritten(raw: str, knobs: Knobs, shard: Shard, id: str) -> tuple[str, str | None]:
    """Return a text as it will be learnt from, and a reason when it must not be."""
    steps = {"boilerplate": raw}
    lined, reason = quality.before(raw, knobs["quality"])
    normal = text.normalize(lined, **knobs["normalize"])
    last, found, counts = personal.treat(normal, **knobs["personal_data"])
    steps = {"boilerplate": (raw, lined), "normalize": (lined, normal), "personal_data": (normal, last)}
    for step, (before, after) in steps.items():
        if before != after:
            shard.changed[step] += 1
            shard.samples.offer(step, id, before, after)
    shard.personal.update(counts)
    return last, reason or found
