"""One widget for one field, chosen by what the field holds. They draw; they decide nothing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.studio.forms import showing, tables
from app.studio.forms.describing import FieldView, every, sections
from app.studio.forms.form import Form
from app.studio.forms.mattering import MISSING
from app.studio.speech import literal, plain
from pipeline.i18n import _
from pipeline.schema.compressing import TARGETS

SEGMENTS = 5  # choices at most side by side
SEGMENT_LETTERS = 34  # and letters in all of them
SLIDER = 64  # whole numbers between the bounds of a slider
LARGEST = 2**53 - 1  # whole number that a browser holds
WIDE = ("texts", "numbers", "pairs", "entries", "table", "sources")
LINES = 4  # of a long text


def draw_widget(form: Form, view: FieldView) -> Any:
    """Draw the widget of a field and return what it holds."""
    if view.kind == "switch":
        return st.toggle(**common(form, view), value=bool(view.value))
    if view.kind == "choice":
        return draw_choice(form, view)
    if view.kind == "choices" or view.path in suggested():
        return draw_choices(form, view)
    if view.kind in ("whole", "number"):
        return draw_number(form, view)
    if view.kind in WIDE:
        return draw_table(form, view)
    return draw_text(form, view)


def common(form: Form, view: FieldView) -> dict[str, Any]:
    """Return what all widgets are given."""
    return {
        "label": showing.label(view),
        "key": form.widget(view.path),
        "help": showing.help_text(view),
        "persist_state": "session",
    }


def draw_choice(form: Form, view: FieldView) -> Any:
    """Draw one of a few choices side by side, one of many in a list."""
    options: list[Any] = ([None] if view.optional else []) + list(view.choices)
    letters = sum(len(str(one)) for one in options)
    value = view.value
    if value not in options:  # of a file that somebody edited: it is shown, with its problem
        options.append(value)
    if len(options) <= SEGMENTS and letters <= SEGMENT_LETTERS and not view.optional:
        return st.segmented_control(
            **common(form, view), options=options, default=value, required=True
        )
    none = plain(_("none"))
    return st.selectbox(
        **common(form, view),
        options=options,
        index=options.index(value),
        format_func=lambda one: none if one is None else str(one),
    )


def draw_choices(form: Form, view: FieldView) -> list[Any]:
    """Draw several of some choices; where the schema allows others they can be typed."""
    known = list(suggested().get(view.path, view.choices))
    value = list(view.value) if isinstance(view.value, list) else []
    return list(
        st.multiselect(
            **common(form, view),
            options=known + [one for one in value if one not in known],
            default=value,
            accept_new_options=view.kind != "choices",
            placeholder=plain(_("Choose")),
        )
    )


@functools.cache
def suggested() -> dict[str, Sequence[str]]:
    """Return what is offered for lists of texts that are mostly of one kind."""
    return {
        "search.fields": searchable(),
        "optimize.variants": TARGETS,
        "clean.quality.language.allowed": ("en", "zh", "ja", "ko", "de", "fr", "es", "ru"),
        "validate.groups.columns": (),
        "serve.hosts": (),
        "serve.proxies": (),
    }


def searchable() -> tuple[str, ...]:
    """Return the fields that a search can try."""
    inner = every([sections()["init"], sections()["train"]])
    return tuple(one.path for one in inner if one.searched)


def draw_number(form: Form, view: FieldView) -> float | None:
    """Draw a number within its bounds; a small range of whole numbers is a slider."""
    low, high = limits(view)
    value: float | None = view.value if is_within(view.value, low, high) else None
    given = common(form, view) | {"min_value": low, "max_value": high}
    slides = view.kind == "whole" and not view.optional and span(low, high) <= SLIDER
    if slides and value is not None:
        return int(st.slider(**given, value=int(value), step=1))
    found: float | None = st.number_input(
        **given, **typing_of(view, value), placeholder=plain(_("empty"))
    )
    if found is None and value is None and not view.optional:
        kept: float | None = view.value  # no widget could hold it: it stays, with its problem
        return kept
    if found is None or found == value:  # a whole number in the file stays one
        return value if found is not None else None
    return found if view.kind == "whole" else tables.tidy(float(found))


def typing_of(view: FieldView, value: float | None) -> dict[str, Any]:
    """Return how a number is typed: whole or not, by which steps, with an exponent or without."""
    if view.kind == "whole":
        return {"value": None if value is None else int(value), "step": 1, "format": "%d"}
    shown = "%e" if view.exponent else "%g"
    return {
        "value": None if value is None else float(value), "step": float(view.step), "format": shown
    }  # fmt: skip


def is_within(value: Any, low: float | None, high: float | None) -> bool:
    """Return whether a value is a number within bounds, which a widget insists on."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (low is None or value >= low) and (high is None or value <= high)


def span(low: float | None, high: float | None) -> float:
    """Return how far bounds lie apart."""
    return float("inf") if low is None or high is None else high - low


def limits(view: FieldView) -> tuple[float | None, float | None]:
    """Return the bounds of a number in its own type."""
    kind = int if view.kind == "whole" else float
    low = None if view.low is None else kind(view.low)
    high = None if view.high is None else kind(min(view.high, LARGEST))
    return low, high


def draw_text(form: Form, view: FieldView) -> Any:
    """Draw a text; where null is a value the empty text is null."""
    value = "" if view.value is None or view.value is MISSING else str(view.value)
    if view.long or "\n" in value:
        found = st.text_area(
            **common(form, view), value=value, max_chars=view.most, height="content"
        )
    else:
        found = st.text_input(
            **common(form, view),
            value=value,
            max_chars=view.most,
            placeholder=plain(_("empty")) if view.optional else None,
            autocomplete="off",
        )
    return None if view.optional and not found else (found or "")


def draw_table(form: Form, view: FieldView) -> Any:
    """Draw a list or a mapping as a table whose rows can be changed, added and removed."""
    import pandas

    name = form.widget(view.path)
    kept = form.memory.kept
    if name not in st.session_state or name not in kept:
        # The page was left and opened again: the table begins with what it held then.
        last = kept.get(f"{name}:last")
        kept[name] = tables.rows_of(view, view.value) if last is None else last
    fields = tables.columns(view)
    frame = pandas.DataFrame(
        {one.name: pandas.Series([row[one.name] for row in kept[name]], dtype=dtype(one))
         for one in fields}
    )  # fmt: skip
    st.markdown(f"{showing.label(view)}", help=showing.help_text(view))
    edited = st.data_editor(
        frame,
        key=name,
        num_rows="dynamic",
        alt=plain(view.title),
        hide_index=True,
        width="stretch",
        column_config={one.name: column(one, len(fields)) for one in fields},
    )
    rows = records(edited)
    kept[f"{name}:last"] = rows
    form.doubles[view.path] = tables.twice(view, rows)
    return tables.value_of(view, rows)


def records(frame: Any) -> list[tables.Row]:
    """Return the rows of an edited table; an empty cell is None, whatever its column's type."""
    whole = frame.astype(object)
    rows: list[tables.Row] = whole.where(whole.notna(), None).to_dict("records")
    return rows


def dtype(view: FieldView) -> str:
    """Return the type of a table's column, so that an empty one can be edited too."""
    kinds = {"switch": "boolean", "whole": "Int64", "number": "Float64"}
    return kinds.get(view.kind, "object")


def column(view: FieldView, count: int) -> Any:
    """Return how a column of a table is drawn and edited."""
    label, about = plain(view.title), literal(plain(view.help))
    if view.unit is not None:
        label = f"{label} ({plain(view.unit)})"
    kinds = st.column_config
    if view.kind == "switch":
        return kinds.CheckboxColumn(label, help=about)
    if view.kind == "choice":
        return kinds.SelectboxColumn(label, help=about, options=list(view.choices))
    if view.kind in ("texts", "choices"):
        return kinds.ListColumn(label, help=about, width="large")
    if view.kind in ("whole", "number"):
        low, high = limits(view)
        step = 1 if view.kind == "whole" else None
        return kinds.NumberColumn(label, help=about, min_value=low, max_value=high, step=step)
    return kinds.TextColumn(label, help=about, width="large" if count <= 2 else None)
