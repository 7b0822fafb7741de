"""Collect: what came from where, under which licence; every record to leaf through."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, data_drawing, reading
from app.studio import model_drawing as drawing
from app.studio.data_drawing import Filter, Listing
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import DASH, date, day, language, number, percent, plain, say, size
from pipeline import artifacts
from pipeline.errors import Text, unpacked
from pipeline.i18n import _

STAGE = "collect"
BARS = 20  # kinds of records that are drawn; the data card has all
FILLED: dict[str, Text] = {
    "text": _("text"),
    "label": _("label"),
    "group": _("group"),
    "created_at": _("time"),
}
KINDS: dict[str, Text] = {  # of sources
    "file": _("files"),
    "documents": _("documents"),
    "http": _("web"),
    "sql": _("database"),
    "hub": _("Hugging Face hub"),
    "datasets": _("data set on disk"),
    "package": _("Python package"),
    "stream": _("growing stream"),
}
USES: dict[str, Text] = {  # which people state most; others stand as they were written
    "internal": _("internal use"),
    "research": _("research"),
    "commercial": _("commercial use"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head(STAGE, _("Where raw records come from, under which licence, and what they are."))
    drawing.standing(project, STAGE)
    drawing.panels(
        [
            (_("Overview"), partial(overview, project)),
            (_("Records"), partial(records, project)),
            drawing.settings(STAGE, project),
        ],
        key="collect_tabs",
    )


def overview(project: Project) -> None:
    """Draw what was collected."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    figures(report)
    sources(report)
    kinds(report)
    drawing.download(
        project.stage(STAGE) / "README.md",
        _("Data card (Markdown)"),
        "text/markdown",
        key="collect_card",
    )


def figures(report: Mapping[str, Any]) -> None:
    """Draw the figures that count most."""
    total = report["records"]
    places = st.columns(4)
    places[0].metric(say(_("Records")), number(total))
    places[1].metric(say(_("Sources")), number(len(report["sources"])))
    places[2].metric(
        say(_("Repeated texts")),
        number(report["duplicates"]),
        help=say(_("Records whose text came before. Cleaning decides what becomes of them.")),
    )
    share = report["filled"].get("label", 0) / total if total else None
    places[3].metric(say(_("With a label")), percent(share))
    said = [
        f"{plain(title)} {percent(report['filled'][name] / total)}"
        for name, title in FILLED.items()
        if total and name in report["filled"]
    ]
    st.caption(say(_("Filled: {columns}", columns=" · ".join(said))))
    if report["time_span"]:
        first, last = (day(one) for one in report["time_span"])
        st.caption(say(_("Written from {first} to {last}", first=first, last=last)))


def sources(report: Mapping[str, Any]) -> None:
    """Draw the sources with their terms, and those that are missing."""
    st.subheader(say(_("Sources")), anchor=False)
    for one in report["sources"]:
        if "missing" in one:
            reason = unpacked(one["missing"]).render(language())
            text = _("The source {name} is missing: {reason}", name=one["name"], reason=reason)
            st.warning(say(text), icon=":material/warning:")
    rows = [source_terms(one) for one in report["sources"]]
    st.table(rows, border="horizontal", hide_index=True, alt=plain(_("Sources")))
    with st.expander(say(_("When and what exactly")), key="collect_exactly"):
        drawing.table(
            [source_row(one) for one in report["sources"]],
            [
                Column("name", _("Source")),
                Column("when", _("Collected")),
                Column("size", _("Size")),
                Column("left_out", _("Left out"),
                       help=_("Rows that were empty, or did not fit the source's pattern.")),
                Column("sha256", "sha256", width="large"),
            ],
            key="collect_files",
            title=_("When the sources were collected, their size and their hash"),
        )  # fmt: skip


def source_terms(one: Mapping[str, Any]) -> dict[str, str]:
    """Return what a source states about itself, as a row of a table whose cells are Markdown."""
    kind, use = one["kind"], one["permitted_use"]
    return {
        say(_("Source")): say(one["name"]),
        say(_("Kind")): say(KINDS.get(kind, kind)),
        say(_("Records")): number(one["records"]),
        say(_("Licence")): say(one["licence"]),
        say(_("Permitted use")): say(USES.get(use, use)),
        say(_("Personal data")): say(_("yes") if one["personal_data"] else _("no")),
    }


def source_row(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return when a source was collected and what it was, as a row of a table."""
    left_out = one.get("empty", 0) + one.get("unmatched", 0)
    return {
        "name": one["name"],
        "left_out": number(left_out),
        "size": size(one.get("bytes")),
        "when": date(one.get("collected_at")),
        "sha256": one.get("sha256", DASH),
    }


def kinds(report: Mapping[str, Any]) -> None:
    """Draw how many records there are of each kind."""
    groups = report["groups"]
    if not groups["by"] or not groups["counts"]:
        return
    named = [plain(FILLED.get(groups["by"][at], groups["by"][at])) for at in telling(groups)]
    st.subheader(say(_("Records by {columns}", columns=" · ".join(named))), anchor=False)
    counts = kinds_of(groups)
    charts.show(
        charts.bars(dict(list(counts.items())[:BARS]), _("records")),
        _("Bars: how many records there are of each kind, the most frequent first."),
        key="collect_kinds",
    )
    rest = len(groups["counts"]) - BARS
    if rest > 0 or groups["others"]:
        text = _("{count} further kinds stand in the data card.", count=number(max(rest, 0)))
        st.caption(say(text))


def kinds_of(groups: Mapping[str, Any]) -> dict[str, float]:
    """Return how many records there are of each kind; columns with one value only are left out.

    :param groups: of the report: the columns, and rows of their values with a count.
    """
    found: dict[str, float] = {}
    columns = telling(groups)
    for row in groups["counts"]:
        name = " · ".join(DASH if row[at] is None else str(row[at]) for at in columns)
        found[name] = found.get(name, 0) + row[-1]
    return found


def telling(groups: Mapping[str, Any]) -> list[int]:
    """Return the places of the columns that have several values; of the last one where none has."""
    width = len(groups["by"])
    several = [at for at in range(width) if len({str(row[at]) for row in groups["counts"]}) > 1]
    return several or [width - 1]


def records(project: Project) -> None:
    """Draw the records as they were collected."""
    report = reading.report(project, STAGE)
    named: dict[str, Text] = {} if report is None else {
        one["name"]: one["name"] for one in report["sources"]
    }  # fmt: skip
    listing = Listing(
        path=project.stage(STAGE) / artifacts.RECORDS,
        columns=(
            Column("text", _("Text"), width="large"),
            Column("label", _("Source label"), width="medium"),
            Column("source", _("Source"), width="small"),
            Column("created_at", _("Time"), width="small"),
        ),
        more=(Column("group", _("Group")), Column("meta", _("Origin")), Column("id", _("Record"))),
        key="collect_records",
        title=_("Collected records"),
        filters=(Filter("source", _("Source"), named),) if len(named) > 1 else (),
    )
    data_drawing.leaf(listing)
