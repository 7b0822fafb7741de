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
    """For each step and each reason, different texts with the lowest ids: a draw that repeats."""

    limit: int
    drawn: dict[str, list[tuple[str, str, str | None]]] = field(default_factory=dict)

    def offer(self, about: str, record: str, before: str, after: str | None) -> None:
        """Keep a sample while it is among the first of its kind."""
        drawn = self.drawn.setdefault(about, [])
        if any(before == other for _record, other, _after in drawn):
            return
        if self.limit and (len(drawn) < self.limit or record < drawn[-1][0]):
            drawn.append((record, before, after))
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
                {"id": record, "before": hidden(before), "after": hidden(after)}
                for record, before, after in drawn
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

    :param ids: of the records; the lowest are shown as samples.
    :param knobs: the section ``clean``.
    """
    shard = Shard([], [], [], Counter(), Counter(), Samples(knobs["samples"]))
    judge, switches = quality.compiled(knobs["quality"]), one_by_one(knobs["normalize"])
    wanted = knobs["quality"]["language"]
    for record, raw in zip(ids, texts, strict=True):
        clean, reason = rewritten(record, raw, knobs, switches, shard)
        spoken: str | None = None
        if reason is None:
            reason = judge(clean) if clean else EMPTY
        if reason is None and wanted["enabled"]:
            reason, spoken = language.judge(
                clean, allowed=wanted["allowed"], min_confidence=wanted["min_confidence"]
            )
        if reason is not None:
            shard.samples.offer(reason, record, raw, None)
        shard.texts.append(clean)
        shard.reasons.append(reason)
        shard.languages.append(spoken)
    return shard


def one_by_one(normalize: Knobs) -> dict[str, Knobs]:
    """Return for each switch that is on the switches with only that one on."""
    off = {name: "keep" if isinstance(value, str) else False for name, value in normalize.items()}
    return {
        name: off | {name: value}
        for name, value in normalize.items()
        if value not in ("keep", False)
    }


def rewritten(
    record: str, raw: str, knobs: Knobs, switches: Mapping[str, Knobs], shard: Shard
) -> tuple[str, str | None]:
    """Return a text as it will be learnt from, and a reason when it must not be."""
    lined, reason = quality.before(raw, knobs["quality"])
    normal = text.normalize(lined, **knobs["normalize"])
    last, found, counts = personal.treat(normal, **knobs["personal_data"])
    shard.personal.update(counts)
    if last != raw:
        after = {"boilerplate": (raw, lined), "personal_data": (normal, last)}
        if normal != lined:
            for name, only in switches.items():
                after[name] = (lined, text.normalize(lined, **only))
        for step, (one, other) in after.items():
            if one != other:
                shard.changed[step] += 1
                shard.samples.offer(step, record, one, other)
    return last, reason or found
