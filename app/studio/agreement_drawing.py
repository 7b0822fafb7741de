"""How far annotators agree, who labels how much, and the records about which they do not agree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from app.studio import charts, label_drawing, label_lists, layout, roles
from app.studio import model_drawing as drawing
from app.studio.label_lists import DISPUTES, Table
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import DASH, duration, number, percent, plain, say
from pipeline.errors import Text
from pipeline.i18n import _
from pipeline.steps.agreement import NOMINAL, REASONS, Agreement, Figure
from pipeline.steps.annotations import ADJUDICATOR, ANNOTATOR, CHECKER, guidelines, workload

GOOD, USUAL = 0.8, 0.667  # Krippendorff's own bounds
ROLES: Mapping[str, Text] = {
    ANNOTATOR: _("annotator"),
    ADJUDICATOR: _("adjudicator"),
    CHECKER: _("checker"),
}


def draw(project: Project) -> None:
    """Draw agreement and disagreements on one page."""
    layout.live(draw_figures, None, project)
    st.subheader(say(_("Where annotators disagree")), anchor=False)
    reason = roles.why_not(roles.ADJUDICATE)
    if reason is not None:
        st.info(say(reason), icon=":material/lock:")
        return
    label_drawing.draw(project, DISPUTES)


def draw_figures(project: Project) -> None:
    """Draw what the annotations come to at this moment."""
    table = Table.of(project)
    found = table.spoken.agreement(table.params)
    places = st.columns(4)
    alpha = _("Krippendorff's alpha")
    places[0].metric(say(alpha), number(found.alpha.value), help=say(interval(found.alpha)))
    places[1].metric(say(_("Annotators")), number(found.annotators))
    places[2].metric(say(_("Labelled records")), number(found.records))
    places[3].metric(
        say(_("Labelled by several")),
        number(found.overlap),
        help=say(_("Without seeing each other. Agreement is counted over these records.")),
    )
    st.caption(say(judged(found)))
    more = partial(draw_parts, table, found)
    drawing.folded(_("By label, by pair and by person"), more, key="agreement_more", icon="groups")


def draw_parts(table: Table, found: Agreement) -> None:
    """Draw what the agreement is made of."""
    draw_labels(found)
    draw_pairs(found)
    draw_people(table, found)


def interval(one: Figure) -> Text:
    """Return a figure's interval, or why there is no figure."""
    if one.value is None:
        return REASONS.get(one.reason or "", one.reason or "")
    return _("interval {low} to {high}", low=number(one.low), high=number(one.high))


def judged(found: Agreement) -> Text:
    """Return in a sentence how good the agreement is; its lower end counts."""
    one = found.alpha
    if one.value is None:
        return _("No figure yet: {reason}.", reason=REASONS.get(one.reason or "", ""))
    sure = one.value if one.low is None else one.low
    values = {"low": number(one.low), "high": number(one.high)}
    if sure >= GOOD:
        return _("Good agreement (interval {low} to {high}; 0.8 and more is good).", **values)
    if sure >= USUAL:
        return _("Usable agreement (interval {low} to {high}; 0.667 is the usual least).", **values)
    return _(
        "Not yet reliable (interval {low} to {high}; 0.667 is the usual least). Settle what is "
        "below, and write the rule into the guideline.",
        **values,
    )


def draw_labels(found: Agreement) -> None:
    """Draw the agreement about each label."""
    known = {name: one for name, one in found.labels.items() if one.value is not None}
    if not known:
        st.caption(say(_("There are no figures by label yet.")))
        return
    ranked = sorted(known.items(), key=lambda one: one[1].value or 0.0)
    charts.show(
        charts.bars({name: one.value or 0.0 for name, one in ranked}, _("alpha of the label")),
        _("Bars: the agreement about each label, the lowest first."),
        key="agreement_labels",
    )


def draw_pairs(found: Agreement) -> None:
    """Draw the agreement of each pair of annotators."""
    if not found.pairs:
        return
    rows = [
        {"pair": name, "value": one.value, "interval": interval(one), "records": one.records}
        for name, one in found.pairs.items()
    ]
    drawing.table(
        rows,
        [
            Column("pair", _("Pair")),
            Column("value", _("Cohen's kappa"), "number"),
            Column("interval", _("Interval")),
            Column("records", _("Records"), "count"),
        ],
        key="agreement_pairs",
        title=_("Agreement of each pair of annotators"),
    )


def draw_people(table: Table, found: Agreement) -> None:
    """Draw what each person did."""
    entries = [one for some in table.spoken.people.values() for one in some]
    if not entries:
        return
    own = _("Agrees with the others") if found.metric == NOMINAL else _("alpha with the others")
    rows = []
    for name, work in workload(entries).items():
        agrees = found.people.get(name)
        value = None if agrees is None else agrees.value
        shown = percent(value) if found.metric == NOMINAL else number(value)
        rows.append(
            {
                "name": name,
                "roles": ", ".join(plain(ROLES.get(one, one)) for one in work["roles"]),
                "records": work["records"],
                "annotations": work["annotations"],
                "seconds": DASH if work["seconds"] is None else duration(work["seconds"]),
                "agrees": shown,
            }
        )
    drawing.table(
        rows,
        [
            Column("name", _("Name")),
            Column("roles", _("Roles")),
            Column("records", _("Records"), "count"),
            Column("annotations", _("Annotations"), "count"),
            Column("seconds", _("Time a record")),
            Column("agrees", own),
        ],
        key="agreement_people",
        title=_("What each person did"),
    )
    stated = guidelines(entries, label_lists.guideline_version(table.project))
    if stated["outdated_guideline"]:
        text = _(
            "{count} labels were made under an earlier guideline.",
            count=number(stated["outdated_guideline"]),
        )
        st.caption(say(text))
