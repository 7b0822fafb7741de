"""The data card: what was collected, from where and under which terms, in English and 中文.

Its front matter is the Hub's, so that the folder can be put there as it is. All figures come from
the written file, batch by batch; nothing in the card depends on when it was made.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import unpacked
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.sources.merging import raw_batches

if TYPE_CHECKING:
    import pyarrow as pa

GROUPS_COUNTED = 10_000
GROUPS_LISTED = 50
LONGEST = 200  # characters of a value that the card shows
ALWAYS = ("file", "row")  # what every record's meta holds
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
         (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"),
         (1_000_000_000, "100M<n<1B"))  # fmt: skip
# The Hub's names for licences, as far as they are licences of data.
LICENCES = {
    "apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-4.0", "odc-by", "odbl", "pddl", "gpl-3.0", "unlicense",
}  # fmt: skip


class Figures:
    """Counts what the card says, batch by batch; holds eight bytes a record."""

    def __init__(self, group_by: Sequence[str]) -> None:
        self.group_by = list(group_by)
        self.records = 0
        self.filled: Counter[str] = Counter()
        self.groups: Counter[tuple[str | None, ...]] = Counter()
        self.others = 0
        self.hashes: list[bytes] = []
        self.times: list[str] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the records of a batch."""
        self.records += len(batch)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self.filled[name] += len(column) - column.null_count
        texts = batch.column("text").to_pylist()
        digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
        self.hashes.append(b"".join(digests))
        self.add_times(batch.column("created_at"))
        self.add_meta(batch.column("meta").to_pylist())
        if self.group_by:
            self.add_groups(batch)

    def add_times(self, column: pa.Array) -> None:
        """Widen the span of time."""
        times = [when.isoformat() for when in column.drop_null().to_pylist()]
        found = [*self.times, *times]
        self.times = [min(found), max(found)] if found else []

    def add_meta(self, column: Iterable[str]) -> None:
        """Count the filled columns that are kept beside each record."""
        for text in column:
            for name, value in json.loads(text).items():
                if name not in ALWAYS:
                    self.filled[f"meta.{name}"] += value is not None and value != ""

    def add_groups(self, batch: pa.RecordBatch) -> None:
        """Count records by the wanted columns; times by their day."""
        columns = []
        for name in self.group_by:
            values = batch.column(name).to_pylist()
            days = name == "created_at"
            columns.append([one and one.date().isoformat() if days else one for one in values])
        for group, count in Counter(zip(*columns, strict=True)).items():
            if group in self.groups or len(self.groups) < GROUPS_COUNTED:
                self.groups[group] += count
            else:
                self.others += count

    def result(self) -> dict[str, Any]:
        """Return all figures as the report holds them."""
        ordered = sorted(
            self.groups.items(), key=lambda one: (-one[1], [str(value or "") for value in one[0]])
        )
        listed = [[*group, count] for group, count in ordered[:GROUPS_LISTED]]
        others = self.others + sum(count for _group, count in ordered[GROUPS_LISTED:])
        return {
            "records": self.records,
            "filled": dict(self.filled),
            "duplicates": self.duplicates(),
            "time_span": self.times or None,
            "groups": {"by": self.group_by, "counts": listed, "others": others},
        }

    def duplicates(self) -> int:
        """Return how many records have a text that came before."""
        import numpy as np

        numbers = np.frombuffer(b"".join(self.hashes), dtype=np.uint64)
        return int(len(numbers) - len(np.unique(numbers)))


def describe(path: Path, group_by: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a file of records."""
    figures = Figures(group_by)
    for batch in raw_batches(path):
        figures.add(batch)
    return figures.result()


def render(report: dict[str, Any]) -> str:
    """Return the card as Markdown: the Hub's front matter, then the same in both languages."""
    return "---\n" + front_matter(report) + "---\n\n" + "\n".join(
        section(report, language) for language in LANGUAGES
    )  # fmt: skip


def front_matter(report: dict[str, Any]) -> str:
    """Return the YAML that the Hub reads."""
    from ruamel.yaml import YAML

    named = {one["licence"].strip().lower() for one in report["sources"] if one["records"]}
    licence = named.pop() if len(named) == 1 else "other"
    size = next((name for limit, name in SIZES if report["records"] < limit), "n>1B")
    files = [{"split": "train", "path": "records.parquet"}]
    target = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(
        {
            "license": licence if licence in LICENCES else "other",
            "task_categories": ["text-classification"],
            "size_categories": [size],
            "configs": [{"config_name": "default", "data_files": files}],
        },
        target,
    )
    return target.getvalue()


def section(report: dict[str, Any], language: str) -> str:
    """Return the whole card in one language."""
    duplicates = _("{count} records have a text that came before.", count=report["duplicates"])
    span = _("No record states a time.")
    if report["time_span"]:
        first, last = report["time_span"]
        span = _("From {first} to {last}.", first=first, last=last)
    blocks: list[Message | str] = [
        _("# Data card"),
        _("Written by the stage collect; records.parquet holds {count} records.",
          count=report["records"]),
        _("## Sources"), sources(report["sources"], language),
        *missing(report["sources"], language),
        _("## Completeness"), completeness(report, language),
        _("## Duplicates"), duplicates,
        _("## Time span"), span,
        *counts(report["groups"], language),
    ]  # fmt: skip
    return "\n\n".join(in_words(block, language) for block in blocks) + "\n"


def sources(entries: Sequence[dict[str, Any]], language: str) -> str:
    """Return the table of sources with their terms."""
    header = [_("Source"), _("Kind"), _("Licence"), _("Permitted use"), _("Personal data"),
              _("Records"), "sha256"]  # fmt: skip
    rows = [
        [one["name"], one["kind"], one["licence"], one["permitted_use"],
         _("yes") if one["personal_data"] else _("no"), one["records"], one.get("sha256", "–")]
        for one in entries
    ]  # fmt: skip
    return table(header, rows, language)


def missing(entries: Sequence[dict[str, Any]], language: str) -> list[Message | str]:
    """Return the optional sources that failed, with their reasons."""
    rows = [
        [one["name"], unpacked(one["missing"]).render(language)]
        for one in entries
        if "missing" in one
    ]
    return [_("## Missing"), table([_("Source"), _("Reason")], rows, language)] if rows else []


def completeness(report: dict[str, Any], language: str) -> str:
    """Return how much of each column is filled."""
    total = max(1, report["records"])
    rows = [[name, f"{count / total:.1%}"] for name, count in report["filled"].items()]
    return table([_("Column"), _("Filled")], rows, language)


def counts(groups: dict[str, Any], language: str) -> list[Message | str]:
    """Return how many records there are of each kind."""
    if not groups["by"]:
        return []
    width = len(groups["by"])
    rows: list[list[object]] = [
        [*("–" if value is None else value for value in one[:width]), one[width]]
        for one in groups["counts"]
    ]
    if groups["others"]:
        rows.append([_("others"), *[""] * (width - 1), groups["others"]])
    return [_("## Records by kind"), table([*groups["by"], _("Records")], rows, language)]


def table(header: Sequence[object], rows: Iterable[Sequence[object]], language: str) -> str:
    """Return a table of Markdown; what stands in its cells cannot leave them."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(value if value == "---" else escaped(value, language) for value in line)
        + " |"
        for line in lines
    )  # fmt: skip


def escaped(value: object, language: str) -> str:
    """Return a value as plain text for Markdown: no HTML, no link, no picture, no further cell."""
    text = in_words(value, language)
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = re.sub(r"([\\`*_\[\]|~!#$])", r"\\\1", text)
    return html.escape(text, quote=False).replace("://", ":&#47;&#47;")


def in_words(text: object, language: str) -> str:
    """Return a message in a language, and anything else as it is."""
    return text.render(language) if isinstance(text, Message) else str(text)
