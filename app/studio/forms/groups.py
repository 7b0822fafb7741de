"""How fields stand on a page: two side by side, tables over the whole width, groups in frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.studio.forms import showing, widgets
from app.studio.forms.describing import FieldView, blank_kind, moved
from app.studio.forms.form import Form
from app.studio.forms.mattering import SWITCH, value_at
from app.studio.speech import literal, plain, say
from pipeline.i18n import _

GROUPS = ("group", "kinds", "sources")
NEW = 1_000  # numbers of new items begin here


@dataclass
class Sheet:
    """One draw of a form: whether all fields are shown, and where marks and messages go."""

    form: Form
    everything: bool
    slots: dict[str, DeltaGenerator] = field(default_factory=dict)  # path → ends with problems

    def shows(self, view: FieldView) -> bool:
        """Return whether a field is drawn: it matters, and it is basic or asks for attention."""
        if not self.form.matters(view):
            return False
        if view.kind == "group" and not any(map(self.shows, view.fields)):
            return False
        wanted = self.everything or view.level == "basic"
        return wanted or self.form.is_pending(view) or self.form.is_wrong(view)


def draw_views(sheet: Sheet, views: Sequence[FieldView], depth: int = 0) -> None:
    """Draw fields, those without inner fields first."""
    row: Any = None
    place = 0
    for view in views:
        if view.kind in GROUPS or not sheet.shows(view):
            continue
        if view.kind in widgets.WIDE or view.long:
            draw_field(sheet, view)
            row = None
            continue
        if row is None or place == len(row):
            row, place = st.columns(2, gap="medium"), 0
        with row[place]:
            draw_field(sheet, view)
        place += 1
    for view in views:
        if view.kind in GROUPS and sheet.shows(view):
            draw_group(sheet, view, depth)


def draw_field(sheet: Sheet, view: FieldView) -> None:
    """Draw one field and its marks; problems come below them."""
    form = sheet.form
    value = value_at(form.wanted, view.path)
    view = replace(view, value=value, default=form.default(view.path))
    slot = st.container(gap="xxsmall")
    with slot:
        now = widgets.draw_widget(form, view)
        draw_marks(form, replace(view, value=now))
    form.put(view.path, now)
    sheet.slots[view.path] = slot


def draw_marks(form: Form, view: FieldView) -> None:
    """Draw below a field what is allowed, what is usual, and whether it was changed."""
    about = showing.choice_told(view, view.value) if view.kind == "choice" else ""
    text = literal(" · ".join(filter(None, (about, showing.caption(view)))))
    if not view.changed:
        if text:
            st.caption(text)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        mark = say(_("changed"))
        st.caption(f":material/edit: **{mark}** · {text}", width="stretch")
        st.button(
            say(_("Reset")),
            key=f"{form.widget(view.path)}.reset",
            icon=":material/undo:",
            type="tertiary",
            help=say(_("Take the default again")),
            on_click=partial(form.reset, view.path),
        )


def draw_group(sheet: Sheet, view: FieldView, depth: int) -> None:
    """Draw a group in a frame, one in a group below a title."""
    frame = st.container(border=depth == 0, gap="small")
    sheet.slots[view.path] = frame
    with frame:
        if view.kind == "sources":
            draw_sources(sheet, view)
        elif view.kind == "kinds":
            draw_kinds(sheet, view, depth)
        else:
            fields = [one for one in view.fields if one.name == SWITCH]
            if fields:  # the switch speaks for its group
                draw_field(sheet, replace(fields[0], title=view.title, level=view.level))
            else:
                title(view, depth)
            draw_views(sheet, [one for one in view.fields if one not in fields], depth + 1)


def title(view: FieldView, depth: int) -> None:
    """Draw the title of a group."""
    text = literal(plain(view.title))
    st.markdown(f"##### {text}" if depth == 0 else f"**{text}**", help=showing.help_text(view))


def draw_kinds(sheet: Sheet, view: FieldView, depth: int) -> None:
    """Draw a group that is of one of several kinds, and the choice of the kind."""
    form = sheet.form
    start = value_at(form.wanted, view.path)
    known = start.get("kind") if isinstance(start, dict) else None
    options: list[Any] = ([None] if view.optional else []) + list(view.choices)
    texts = {one: kind_text(view, one) for one in options}
    kind = st.selectbox(
        showing.label(view),
        options,
        index=options.index(known) if known in options else 0,
        format_func=texts.__getitem__,
        key=form.widget(f"{view.path}.kind"),
        help=showing.help_text(view),
        persist_state="session",
    )
    if kind is None:
        form.put(view.path, None)
        return
    same = isinstance(start, dict) and kind == known
    form.put(view.path, start if same else blank_kind(view, kind, start if start else None))
    form.aliases[view.path] = f"{form.alias(view.path)}~{kind}"
    draw_views(sheet, [one for one in view.kinds[kind] if one.name != "kind"], depth + 1)


def kind_text(view: FieldView, kind: str | None) -> str:
    """Return a kind as it is called in the file, and what it is."""
    if kind is None:
        return plain(_("none"))
    about = next(one.help for one in view.kinds[kind] if one.name == "kind")
    return f"{kind}: {plain(about)}"


def draw_sources(sheet: Sheet, view: FieldView) -> None:
    """Draw a list of groups, each folded away, with buttons that add and remove one."""
    form, item = sheet.form, view.item
    if item is None:
        return
    title(view, 0)
    items = form.memory.items.setdefault(
        view.path, list(enumerate(value_at(form.wanted, view.path) or []))
    )
    form.put(view.path, [base for _number, base in items])
    for place, (number, base) in enumerate(items):
        path = f"{view.path}.{place}"
        form.aliases[path] = f"{view.path}.#{number}"
        inner = moved(item, path)
        new, wrong = number >= NEW, form.is_wrong(inner)
        key = f"{form.key}.{form.alias(path)}.fold"
        if wrong:
            st.session_state[key] = True
        fold = st.expander(
            headline(base), expanded=len(items) == 1 or new, key=key, on_change="rerun"
        )
        sheet.slots[path] = fold
        if not (fold.open or new or wrong or form.is_pending(inner)):
            continue  # what nobody sees costs nothing, and holds what the file does
        with fold:
            draw_kinds(sheet, replace(inner, title=_("Kind")), 1)
            if len(items) > 1:
                st.button(
                    say(_("Remove this source")),
                    key=f"{form.widget(path)}.remove",
                    icon=":material/delete:",
                    on_click=partial(remove, items, number),
                )
    st.button(
        say(_("Add a source")),
        key=f"{form.widget(view.path)}.add",
        icon=":material/add:",
        on_click=partial(add, items, item),
    )


def headline(base: Any) -> str:
    """Return what stands on the fold of an item."""
    name = str(base.get("name") or "")
    return literal(f"{name} · {base.get('kind')}") if name else say(_("New source"))


def add(items: list[tuple[int, Any]], item: FieldView) -> None:
    """Add a new item of the first kind."""
    number = max([NEW, *(number for number, _base in items)]) + 1
    items.append((number, blank_kind(item, item.choices[0])))


def remove(items: list[tuple[int, Any]], number: int) -> None:
    """Remove an item."""
    items[:] = [one for one in items if one[0] != number]
