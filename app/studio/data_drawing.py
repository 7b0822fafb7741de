"""Parts that the pages of the data stages share: records to leaf through, to search and to read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.studio import reading, roles
from app.studio.layout import live
from app.studio.model_drawing import Column, configured
from app.studio.parquet_reading import Found
from app.studio.project_files import Project
from app.studio.speech import date, literal, number, plain, plural, say
from pipeline.errors import Text
from pipeline.i18n import _
from pipeline.steps import targets

ROWS = 25  # records of a page
TALL = 420  # pixels of a table; a longer one scrolls
EVERYTHING = ""  # the choice of a filter that filters nothing
LONGEST_READ = 20_000  # characters of a record that are shown at once
BREAK = "  \n"  # of a line, in Markdown


@dataclass(frozen=True)
class Filter:
    """A column by which records are chosen."""

    column: str
    title: Text
    values: Mapping[str, Text]  # value → what it is called


@dataclass(frozen=True)
class Listing:
    """What a list of records shows."""

    path: Path
    columns: Sequence[Column]
    key: str  # what the names of the widgets begin with
    title: Text
    filters: Sequence[Filter] = ()
    more: Sequence[Column] = ()  # shown of a record that was chosen
    # A column that shows another one in words: its key → column of the file, value → words.
    words: Mapping[str, tuple[str, Mapping[str, Text]]] = field(default_factory=dict)


def label_filter(project: Project, counts: Mapping[str, int]) -> tuple[Filter, ...]:
    """Return the filter by label; none where a record has several labels, or a number.

    :param counts: label → how many records have it.
    """
    if not counts or reading.params(project).label.task != targets.SINGLE:
        return ()
    named: dict[str, Text] = {name: f"{name} ({number(count)})" for name, count in counts.items()}
    return (Filter("label", _("Label"), named),)


def leaf(listing: Listing, chosen: Callable[[Mapping[str, Any]], None] | None = None) -> None:
    """Draw records page by page; turning a page draws nothing else anew."""
    live(browse, None, listing, chosen)


def browse(listing: Listing, chosen: Callable[[Mapping[str, Any]], None] | None = None) -> None:
    """Draw records page by page, with a search; a row that is chosen is shown whole.

    No more than a page is read, and a search looks for a second before it asks to go on.

    :param chosen: draws what can be done with a record that was chosen.
    """
    if not listing.path.is_file():
        st.info(say(_("There are no records here yet.")), icon=":material/info:")
        return
    contains, equals = asked(listing)
    starts = f"{listing.key}_starts_{digest(contains, equals)}"
    places: list[int] = st.session_state.setdefault(starts, [0])
    kept = ["id", *(one.key for one in (*listing.columns, *listing.more))]
    kept += [column for column, _words in listing.words.values()]
    found = reading.find(
        listing.path,
        contains=contains,
        equals=equals,
        start=places[-1],
        limit=ROWS,
        columns=tuple(dict.fromkeys(kept)),
    )
    for name, (column, called) in listing.words.items():
        if column in found.frame.columns:
            found.frame[name] = [in_words(one, called) for one in found.frame[column]]
    tell(found, places[-1], filtered=bool(contains or equals))
    row = None
    if len(found.frame):
        row = table(listing, found.frame)
    turn(listing, found, places)
    if row is not None:
        whole(listing, row)
        if chosen is not None:
            chosen(row)


def in_words(value: Any, called: Mapping[str, Text]) -> str:
    """Return what a value is called."""
    return plain(called.get(value, value)) if isinstance(value, str) else ""


def digest(contains: str, equals: Mapping[str, str]) -> str:
    """Return a short name of what is searched for: another search begins at the first record."""
    text = "\x1f".join([contains, *(f"{name}={value}" for name, value in sorted(equals.items()))])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def asked(listing: Listing) -> tuple[str, dict[str, str]]:
    """Draw the search and return what is looked for: a part of the text, and values of columns."""
    first, *others = st.columns([2, *[1] * len(listing.filters)], vertical_alignment="bottom")
    contains = first.text_input(
        say(_("Search in the text")),
        key=f"{listing.key}_search",
        icon=":material/search:",
        max_chars=200,
    )
    equals: dict[str, str] = {}
    for place, one in zip(others, listing.filters, strict=True):
        value = choose(place, one, f"{listing.key}_{one.column}")
        if value != EVERYTHING:
            equals[one.column] = value
    return contains.strip(), equals


def choose(place: DeltaGenerator, one: Filter, key: str) -> str:
    """Draw a filter and return the value that was chosen, ``EVERYTHING`` where none was."""
    names = {EVERYTHING: plain(_("all"))}
    names.update({value: plain(title) for value, title in one.values.items()})

    def called(value: str) -> str:
        return names.get(value, value)

    return place.selectbox(say(one.title), tuple(names), format_func=called, key=key)


def tell(found: Found, start: int, *, filtered: bool) -> None:
    """Say which records these are, and of how many."""
    count = len(found.frame)
    if not filtered:
        text = _(
            "Records {first} to {last} of {total}",
            first=number(start + 1 if count else 0),
            last=number(start + count),
            total=number(found.total),
        )
    elif found.next is None:
        text = plural(
            count,
            _("{count} record on this page; all {total} were looked at", total=number(found.total)),
            _(
                "{count} records on this page; all {total} were looked at",
                total=number(found.total),
            ),
        )
    else:
        values = {"upto": number(found.next), "total": number(found.total)}
        text = plural(
            count,
            _("{count} record on this page; {upto} of {total} were looked at so far", **values),
            _("{count} records on this page; {upto} of {total} were looked at so far", **values),
        )
    st.caption(say(text))


def table(listing: Listing, frame: pd.DataFrame) -> Mapping[str, Any] | None:
    """Draw a page of records and return the one that was chosen."""
    names = [one.key for one in listing.columns if one.key in frame.columns]
    short = reading.shown(frame[names])
    for name in names:  # an empty cell is empty, and reads not as "None"
        short[name] = [shown_value(one) or "" for one in short[name]]
    event = st.dataframe(
        short,
        key=f"{listing.key}_table",
        hide_index=True,
        height="content" if len(short) <= 11 else TALL,
        column_config={one.key: configured(one) for one in listing.columns},
        on_select="rerun",
        selection_mode="single-row",
        alt=plain(listing.title),
    )
    rows = event["selection"]["rows"]
    if not rows or rows[0] >= len(frame):
        return None
    return {str(name): value for name, value in frame.iloc[rows[0]].items()}


def turn(listing: Listing, found: Found, places: list[int]) -> None:
    """Draw the buttons that lead to other pages, and to a copy of this one."""
    back, forth, copy, _rest = st.columns([1, 1, 1.6, 2], vertical_alignment="center")
    back.button(
        say(_("Back")),
        key=f"{listing.key}_back",
        icon=":material/arrow_back:",
        disabled=len(places) < 2,
        on_click=go_back,
        args=(places,),
        width="stretch",
    )
    forth.button(
        say(_("Next")),
        key=f"{listing.key}_next",
        icon=":material/arrow_forward:",
        disabled=found.next is None or found.next >= found.total,
        on_click=places.append,
        args=(found.next,),
        width="stretch",
    )
    reason = roles.why_not(roles.DOWNLOAD)
    name = f"{listing.path.parent.name}-{listing.path.stem}.csv"

    def content() -> bytes:
        roles.require(roles.DOWNLOAD, name)
        return reading.spreadsheet(found.frame)

    copy.download_button(
        say(_("Download this page")),
        content,
        file_name=name,
        mime="text/csv",
        key=f"{listing.key}_download",
        icon=":material/download:",
        disabled=reason is not None or not len(found.frame),
        help=say(reason) if reason else None,
        on_click="ignore",
        width="stretch",
    )


def go_back(places: list[int]) -> None:
    """Return to the page before."""
    if len(places) > 1:
        places.pop()


def whole(listing: Listing, row: Mapping[str, Any]) -> None:
    """Draw all of a record that was chosen."""
    with st.container(border=True):
        if "text" in row:
            st.markdown(written(str(row["text"])))
        said = [
            f"{say(one.title)}: {literal(value)}"
            for one in (*listing.columns, *listing.more)
            if one.key != "text" and (value := shown_value(row.get(one.key))) is not None
        ]
        st.caption(BREAK.join(said))


def shown_value(value: Any) -> str | None:
    """Return a value of a record in words; None where there is none."""
    if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return date(value.to_pydatetime())
    if isinstance(value, int | float):
        return number(float(value))
    return str(value)


def written(text: str) -> str:
    """Return the text of a record as Markdown that shows it as it is, with its own lines."""
    cut = text if len(text) <= LONGEST_READ else f"{text[:LONGEST_READ]}…"
    return BREAK.join(literal(line) for line in cut.splitlines()) or "–"
