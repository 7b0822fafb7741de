"""Rows of a plan's tables as a table editor takes them, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from app.studio.project.fields import FieldView, Part, views

if TYPE_CHECKING:
    import pandas as pd

WIDE = "object"
TYPES = {"whole": "Int64", "number": "Float64", "switch": "bool"}


def frame_of(model: type[Part], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with a column a field; an empty one keeps its columns and types."""
    import pandas as pd

    columns = {
        one.name: pd.Series(
            [row.get(one.name) for row in rows], dtype=TYPES.get(one.kind, WIDE), name=one.name
        )
        for one in views(model)
    }
    return pd.DataFrame(columns)


def rows_of(model: type[Part], frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what was edited as plain values; rows in which nothing stands are left out.

    What a person left empty is the field's default; what is required stays empty and is found by
    the check.
    """
    fields = views(model)
    rows = []
    for record in frame.to_dict("records"):
        values = {one.name: value_of(one, record.get(one.name)) for one in fields}
        if any(is_filled(one, values[one.name]) for one in fields):
            rows.append(values)
    return rows


def value_of(field: FieldView, cell: Any) -> Any:
    """Return the value of a cell, as the schema wants it."""
    if is_missing(cell):
        return "" if field.required else field.default
    if field.kind in ("line", "text"):
        return str(cell).replace("\r\n", "\n").replace("\r", "\n").strip()
    if field.kind == "whole" or (field.kind == "choice" and isinstance(cell, float)):
        return int(cell) if float(cell).is_integer() else float(cell)
    if field.kind == "number":
        return float(cell)
    if field.kind == "switch":
        return bool(cell)
    if field.kind == "day":
        return day_of(cell)
    return cell


def is_missing(cell: Any) -> bool:
    """Return whether nothing stands in a cell."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return type(cell).__name__ in ("NAType", "NaTType")


def is_filled(field: FieldView, value: Any) -> bool:
    """Return whether a person wrote a value; a default says nothing."""
    return value not in ("", None) and (field.required or value != field.default)


def day_of(cell: Any) -> Any:
    """Return the day of a cell; what is none stays as it is, to be named."""
    if isinstance(cell, datetime):  # a pandas Timestamp is one too
        return cell.date()
    if isinstance(cell, str):
        try:
            return date.fromisoformat(cell[:10])
        except ValueError:
            return cell
    return cell
