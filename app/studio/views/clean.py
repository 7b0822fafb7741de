"""Clean: what was dropped or changed, and why; every dropped record can be looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, data_drawing, layout, reading
from app.studio import model_drawing as drawing
from app.studio.data_drawing import Filter, Listing
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import number, percent, plain, say
from app.studio.text_changes import marked
from pipeline import artifacts
from pipeline.errors import Text
from pipeline.i18n import _
from pipeline.steps.reasons import REASONS

STAGE = "clean"
STEPS: dict[str, Text] = {
    "repair": _("Wrongly decoded text"),
    "html": _("Tags and entities"),
    "unicode": _("Unicode forms (NFKC)"),
    "width": _("Full-width to half-width"),
    "simplified": _("Traditional to simplified Chinese"),
    "urls": _("Links"),
    "emails": _("Mail addresses"),
    "control": _("Control characters"),
    "white_space": _("White space"),
    "personal_data": _("Personal data"),
}
PERSONAL: dict[str, Text] = {
    "email": _("mail addresses"),
    "phone": _("telephone numbers"),
    "identity_card": _("identity cards"),
    "bank_card": _("bank cards"),
    "ip": _("internet addresses"),
}
COLUMNS = (
    Column("text", _("Text"), width="large"),
    Column("label", _("Source label"), width="small"),
)
MORE = (
    Column("source", _("Source")),
    Column("language", _("Language")),
    Column("cluster", _("Cluster of near-duplicates")),
    Column("meta", _("Origin")),
    Column("id", _("Record")),
)


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head(STAGE, _("Which texts stay, how they are written, and why others are dropped."))
    drawing.standing(project, STAGE)
    drawing.panels(
        [
            (_("Overview"), partial(overview, project)),
            (_("Before and after"), partial(samples, project)),
            (_("Dropped records"), partial(dropped, project)),
            (_("Kept records"), partial(kept, project)),
            drawing.settings(STAGE, project),
        ],
        key="clean_tabs",
    )


def overview(project: Project) -> None:
    """Draw what was dropped and what was changed."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    total, lost = report["collected"], report["collected"] - report["kept"]
    places = st.columns(4)
    places[0].metric(say(_("Collected")), number(total))
    places[1].metric(say(_("Kept")), number(report["kept"]))
    places[2].metric(say(_("Dropped")), number(lost))
    places[3].metric(say(_("Share that stays")), percent(report["kept"] / total if total else None))
    st.subheader(say(_("What each reason took away")), anchor=False)
    charts.show(
        charts.waterfall(waterfall(report), _("records")),
        _("A waterfall from the collected records, less those of each reason, to the kept ones."),
        key="clean_waterfall",
    )
    left, right = st.columns(2, gap="large")
    with left:
        changes(report)
    with right:
        findings(report)


def waterfall(report: Mapping[str, Any]) -> list[tuple[str, str, float, float]]:
    """Return the bars: what came, what each reason took away in its turn, what is left."""
    left = report["collected"]
    bars = [(plain(_("collected")), "in", 0.0, float(left))]
    for reason in (*REASONS, *(set(report["dropped"]) - REASONS.keys())):
        count = report["dropped"].get(reason, 0)
        if count:
            bars.append((reason_of(reason), "dropped", float(left - count), float(left)))
            left -= count
    return [*bars, (plain(_("kept")), "out", 0.0, float(left))]


def reason_of(name: str) -> str:
    """Return a reason in words."""
    return plain(REASONS.get(name, name))


def changes(report: Mapping[str, Any]) -> None:
    """Draw how many texts each step rewrote."""
    st.subheader(say(_("Texts that were rewritten")), anchor=False)
    if not report["changed"]:
        st.caption(say(_("Every text was as it should be.")))
        return
    ranked = sorted(report["changed"].items(), key=lambda one: -one[1])
    drawing.table(
        [{"step": STEPS.get(name, name), "count": count} for name, count in ranked],
        [Column("step", _("Step")), Column("count", _("Texts"), "count")],
        key="clean_changes",
        title=_("Texts that were rewritten"),
    )


def findings(report: Mapping[str, Any]) -> None:
    """Draw what was found besides: personal data and clusters of near-duplicates."""
    st.subheader(say(_("Found besides")), anchor=False)
    clusters = report["clusters"]
    rows = [
        {"what": _("clusters of near-duplicates"), "count": clusters["clusters"]},
        {"what": _("records in them"), "count": clusters["records"]},
        {"what": _("records in the largest one"), "count": clusters["largest"]},
    ]
    rows += [
        {"what": PERSONAL.get(name, name), "count": count}
        for name, count in report["personal_data"].items()
    ]
    drawing.table(
        rows,
        [Column("what", _("What")), Column("count", _("Number"), "count")],
        key="clean_findings",
        title=_("Found besides"),
    )


def samples(project: Project) -> None:
    """Draw texts before and after each step, and texts that each reason dropped."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    found = report["samples"]
    if not found:
        text = _("No text was rewritten or dropped, or clean.samples is 0.")
        st.info(say(text), icon=":material/info:")
        return
    text = _(
        "What went is crossed out on red, what came is bold on green; personal data is masked."
    )
    st.caption(say(text))
    for name, some in found.items():
        rewritten = any(one["after"] is not None for one in some)
        title = STEPS.get(name, name) if rewritten else REASONS.get(name, name)
        icon = "edit" if rewritten else "delete"
        count = report["changed" if rewritten else "dropped"].get(name, len(some))
        drawing.folded(
            _("{title} · {count}", title=title, count=number(count)),
            partial(sampled, some),
            key=f"clean_sample_{name}",
            icon=icon,
            unfolded=len(found) <= 4,
        )


def sampled(some: Sequence[Mapping[str, Any]]) -> None:
    """Draw some texts as they were and as they are now."""
    for one in some:
        after = one["after"]
        st.markdown(marked(one["before"], one["before"] if after is None else after))


def dropped(project: Project) -> None:
    """Draw the dropped records, which can be searched by reason and by text."""
    report = reading.report(project, STAGE)
    reasons: dict[str, Text] = {}
    for name, count in ({} if report is None else report["dropped"]).items():
        reasons[name] = _("{reason} ({count})", reason=REASONS.get(name, name), count=number(count))
    because = Column("reason", _("Reason"), width="medium")
    listing = Listing(
        path=project.stage(STAGE) / artifacts.DROPPED,
        columns=(*COLUMNS, because),
        more=MORE,
        key="clean_dropped",
        title=_("Dropped records"),
        filters=(Filter("dropped_by", _("Reason"), reasons),),
        words={"reason": ("dropped_by", REASONS)},
    )
    data_drawing.leaf(listing)


def kept(project: Project) -> None:
    """Draw the records that stay."""
    listing = Listing(
        path=project.stage(STAGE) / artifacts.RECORDS,
        columns=(*COLUMNS, Column("cluster", _("Cluster of near-duplicates"), width="small")),
        more=MORE,
        key="clean_kept",
        title=_("Kept records"),
    )
    data_drawing.leaf(listing)
    layout.link("label", _("Label records"))
