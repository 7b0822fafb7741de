"""Lists and mappings as rows of a table, and rows back as values. Pure: no page, no pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.studio.forms.describing import FieldView
from pipeline.i18n import Message, _

NAME, VALUE = "name", "value"  # of columns that no group has named
NAME_TITLE, VALUE_TITLE = _("Name"), _("Value")
NAMES: Mapping[str, tuple[Message, Message]] = {  # what the two columns of pairs are
    "label.mapping": (_("Label of the source"), _("Label of the task")),
    "label.definitions": (_("Label"), _("Value")),
    "collect.sources.*.headers": (_("Header"), _("Environment variable")),
}
Row = dict[str, Any]


def columns(view: FieldView) -> list[FieldView]:
    """Return the columns of a list's or a mapping's table, each described as a field."""
    item = view.item
    if item is None:
        raise ValueError(view.kind)
    if view.kind == "table":
        return list(item.fields)
    name, value = titles(view)
    first = FieldView(f"{view.path}.{NAME}", name, view.help, None, "basic", "text", least=1)
    if view.kind == "entries":
        return [first, *item.fields]
    own = FieldView(
        f"{view.path}.{VALUE}", value, view.help, view.unit, "basic", item.kind,
        choices=item.choices, low=item.low, high=item.high, most=item.most,
    )  # fmt: skip
    return [first, own] if view.kind == "pairs" else [own]


def titles(view: FieldView) -> tuple[Message, Message]:
    """Return what the columns of names and of values are called."""
    steps = ["*" if step.isdecimal() else step for step in view.path.split(".")]
    lists = view.kind in ("texts", "numbers")
    return NAMES.get(".".join(steps), (NAME_TITLE, view.title if lists else VALUE_TITLE))


def rows_of(view: FieldView, value: Any) -> list[Row]:
    """Return a value as rows, a cell for each column."""
    if view.kind == "table":
        return [{one.name: cell_of(one, row.get(one.name)) for one in columns(view)}
                for row in value]  # fmt: skip
    if view.kind == "entries":
        fields = columns(view)[1:]
        return [
            {NAME: name, **{one.name: cell_of(one, row.get(one.name)) for one in fields}}
            for name, row in value.items()
        ]
    if view.kind == "pairs":
        return [{NAME: name, VALUE: one} for name, one in value.items()]
    return [{VALUE: one} for one in value]


def cell_of(view: FieldView, value: Any) -> Any:
    """Return a value as a table's cell holds it."""
    if view.kind in ("texts", "choices"):
        return [str(one) for one in value or []]
    return str(value) if view.kind == "value" and value is not None else value


def value_of(view: FieldView, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows, as people left them, as a value; rows without a single cell are left out.

    Where a name stands twice the first row counts; see ``twice``.
    """
    fields = columns(view)
    filled = [row for row in rows if any(not empty(row.get(one.name)) for one in fields)]
    cells = [{one.name: value_of_cell(one, row.get(one.name)) for one in fields} for row in filled]
    if view.kind == "table":
        return cells
    if view.kind == "entries":
        rest = [one.name for one in fields[1:]]
        return first({row[NAME]: {name: row[name] for name in rest}} for row in cells)
    if view.kind == "pairs":
        return first({row[NAME]: row[VALUE]} for row in cells)
    return [row[VALUE] for row in cells]


def first(pairs: Iterable[Row]) -> Row:
    """Return all pairs in one mapping; of those with the same name the first."""
    found: Row = {}
    for pair in pairs:
        found |= {name: one for name, one in pair.items() if name not in found}
    return found


def twice(view: FieldView, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names that stand in several rows of pairs or entries."""
    if view.kind not in ("pairs", "entries"):
        return []
    names = Counter(str(row[NAME]) for row in rows if not empty(row.get(NAME)))
    return [name for name, count in names.items() if count > 1]


def empty(cell: Any) -> bool:
    """Return whether a cell holds nothing; a table's way to say so is NaN."""
    if hasattr(cell, "__len__") and not isinstance(cell, str):
        return len(cell) == 0
    return cell is None or cell == "" or bool(cell != cell)  # NaN is not itself


def value_of_cell(view: FieldView, cell: Any) -> Any:
    """Return what a cell says."""
    if view.kind in ("texts", "choices"):
        return [] if empty(cell) else [str(one) for one in cell]
    if empty(cell):
        return None if view.optional or view.kind in ("whole", "number", "choice") else blank(view)
    if view.kind == "switch":
        return bool(cell)
    if view.kind == "whole":
        return int(cell) if float(cell).is_integer() else float(cell)
    if view.kind == "number":
        return tidy(float(cell))
    if view.kind == "value":
        return number_or_text(str(cell))
    return str(cell)


def blank(view: FieldView) -> Any:
    """Return what an empty cell of text or of a switch means."""
    return False if view.kind == "switch" else ""


def number_or_text(text: str) -> float | str:
    """Return a number where a text is one."""
    try:
        return float(text)
    except ValueError:
        return text


def tidy(value: float) -> float:
    """Return a number without the dust that adding steps leaves: 0.3, not 0.30000000000000004."""
    return float(f"{value:.15g}")
