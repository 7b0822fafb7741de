"""The variants of a model, as the report of optimize tells them, in rows that a table can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import Text
from pipeline.i18n import _

Report = Mapping[str, Any]
Row = dict[str, Any]

ORIGINAL, SHIPS, KEPT = "original", "ships", "kept"
REFUSED, UNAVAILABLE = "refused", "unavailable"
KEYS = ("size_mb", "memory_mb", "latency_ms_p50", "latency_ms_p95", "texts_per_second",
        "wh_per_1000_texts", "cold_start_s", "agreement", "points_lost")  # fmt: skip
SAVED: tuple[tuple[str, Text, int, bool], ...] = (  # figure, name, digits, less is better
    ("size_mb", _("size on disk, MB"), 1, True),
    ("latency_ms_p50", _("one text, ms"), 1, True),
    ("memory_mb", _("memory, MB"), 0, True),
    ("texts_per_second", _("texts a second"), 0, False),
)


def rows(report: Report, language: str = "en") -> list[Row]:
    """Return a row for each variant, numbered as on the plot, what could not be built last.

    :param language: of the reasons, which the report holds in words.
    """
    known = [name for name, line in report["table"].items() if not line.get("unavailable")]
    others = [name for name in report["table"] if name not in known]
    return [row(report, name, at, language) for at, name in enumerate(known, 1)] + [
        row(report, name, None, language) for name in others
    ]


def row(report: Report, name: str, at: int | None, language: str) -> Row:
    """Return one variant."""
    line, main = report["table"][name], report["main"]
    low, high = line.get("intervals", {}).get("test", {}).get(main, (None, None))
    return {
        "number": at,
        "name": name,
        "state": state(report, name),
        "why": why(line, language),
        "quality": line.get("test", {}).get(main),
        "low": low,
        "high": high,
        **{key: line.get(key) for key in KEYS},
    }


def state(report: Report, name: str) -> str:
    """Return what became of a variant."""
    line = report["table"][name]
    if line.get("unavailable"):
        return UNAVAILABLE
    if name == report["shipped"]:
        return SHIPS
    if name == report["original"]:
        return ORIGINAL
    return KEPT if line["keeps"] else REFUSED


def why(line: Report, language: str) -> str:
    """Return why a variant was refused or could not be built; nothing where it was not."""
    missing = line.get("unavailable")
    if isinstance(missing, Mapping):  # the report holds it in both languages
        return str(missing.get(language) or next(iter(missing.values()), ""))
    return str(missing or ", ".join(str(one) for one in line.get("refused_for", [])))


def measured(report: Report) -> list[Row]:
    """Return the variants that can stand on a plot."""
    return [one for one in rows(report) if one["number"] is not None and one["quality"] is not None]


def front(found: Sequence[Row], price: str, *, greater: bool = True) -> list[int]:
    """Return the places of the variants that no other beats, from the cheapest to the best.

    :param price: key of which less is better.
    :param greater: whether more quality is better.
    """
    sign = 1 if greater else -1
    best: list[int] = []
    order = sorted(range(len(found)),
                   key=lambda at: (found[at][price], -sign * found[at]["quality"]))  # fmt: skip
    for at in order:
        if not best or sign * found[at]["quality"] > sign * found[best[-1]]["quality"]:
            best.append(at)
    return best


def saved(report: Report) -> list[Row]:
    """Return what ships beside the trained model, figure by figure."""
    table = report["table"]
    ships, before = table.get(report["shipped"]), table.get(report["original"])
    if ships is None or before is None:
        return []
    found = []
    for key, figure, digits, less in SAVED:
        now, then = ships.get(key), before.get(key)
        if now is None:
            continue
        change = None if not then else f"{100 * (now - then) / then:+.0f}%"
        colour = "inverse" if less else "normal"
        found.append(
            {"figure": figure, "value": now, "digits": digits, "change": change, "colour": colour}
        )
    return found


def checked(report: Report) -> list[str]:
    """Return the variants whose answers were compared with their original's."""
    return [name for name, line in report["table"].items() if line.get("parity")]


def parity_rows(told: Report) -> list[Row]:
    """Return what was compared, and what was found."""
    labels, scores = told.get("labels") or {}, told.get("scores") or {}
    same = told.get("invariance") or {}
    found: list[tuple[Text, Any, Text]] = [
        (_("records compared"), told.get("records"), _("Of the validation part.")),
        (_("labels that differ"), labels.get("different"),
         _("Among the {compared} records of which the original is sure.",
           compared=labels.get("compared", "?"))),
        (_("scores: 99 of 100 differ by less than"), scores.get("p99"),
         _("Of the probability of a label, from 0 to 1.")),
        (_("scores: the largest difference"), scores.get("max"),
         _("Of the probability of a label, from 0 to 1.")),
        (_("alone or in a batch: the largest difference"), same.get("batch"),
         _("The same text must get the same answer, whoever asks beside it.")),
        (_("answers that a batch changed"), same.get("answers_changed"),
         _("Of {records} texts.", records=same.get("records", "?"))),
        (_("records answered otherwise"), told.get("disagreements"),
         _("All of them, the unsure ones too; they stand in disagreements.csv.")),
    ]  # fmt: skip
    return [
        {"check": check, "found": value, "meaning": meaning}
        for check, value, meaning in found
        if value is not None
    ]
