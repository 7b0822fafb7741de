"""Deploy: what serves, what could, how to change it, and a place to try it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.studio import deploy_changes as changes
from app.studio import deploy_service as service
from app.studio import deploying, layout, roles
from app.studio import model_drawing as drawing
from app.studio.deploying import Line, Overview
from app.studio.forms.drawing import section_forms
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.releasing import Desk
from app.studio.speech import date, language, number, say, size
from app.studio.stamps import Stamps
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import Message, _
from pipeline.releases.ledger import say as reason_of

EVERY = 3.0  # seconds between two looks at the service
PAGE = 20  # releases, or events, that a page shows
MOST_LABELS = 30  # that are named
SECTIONS = {"release": _("Releases"), "canary": _("Canary"), "serve": _("Service")}
VERSIONS = (
    Column("version", _("Version")),
    Column("serves", _("Serves")),
    Column("created", _("Made")),
    Column("by", _("by")),
    Column("variant", _("Variant")),
    Column("figure", _("Figure")),
    Column("value", _("on the test part"), "number"),
    Column("size", _("Size")),
    Column("commit", _("Commit"), help=_("A star: with changes that were not committed.")),
)
FIGURES = (Column("figure", _("Figure")), Column("value", _("Value"), "number"))
EVENTS = (
    Column("at", _("Time")),
    Column("version", _("Version")),
    Column("what", _("What happened")),
    Column("before", _("Before it")),
    Column("by", _("by")),
    Column("why", _("Why"), width="large"),
)


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head("deploy", _("Which release answers requests, and how to change it without a gap."))
    changes.show_outcome()
    layout.live(service.draw_service, EVERY, project)
    known = deploying.overview(project)
    draw_serving(project, known)
    drawing.panels(
        [
            (_("Change"), partial(changes.draw_changes, project, known)),
            (_("New release"), partial(changes.draw_new, project)),
            (_("Try it"), partial(service.draw_trial, project, known)),
            (_("Releases"), partial(draw_versions, project, known)),
            (_("What happened"), partial(draw_events, known)),
            (_("Settings"), partial(draw_settings, project)),
        ],
        key="deploy_tabs",
    )


def draw_serving(project: Project, known: Overview) -> None:
    """Draw what answers now, what is tried, and what a rollback would bring back."""
    now = known.state
    if not known.versions and now.stable is None:
        st.info(
            say(
                _(
                    "There is no release yet. A run that passed its gates can become one: see "
                    "New release."
                )
            ),
            icon=":material/info:",
        )
        return
    stable, trial, back = st.columns(3)
    with stable, st.container(border=True, height="stretch"):
        st.markdown(f":material/verified: **{say(_('Serves'))}**")
        draw_card(project, now.stable, _("Nothing serves yet: promote a release."))
    with trial, st.container(border=True, height="stretch"):
        st.markdown(f":material/experiment: **{say(_('Tried as canary'))}**")
        draw_card(project, now.canary.version if now.canary else None, _("No release is tried."))
        if now.canary is not None:
            words = (
                _("in shadow: gets copies of {share}% of requests, answers nobody")
                if now.canary.shadow
                else _("answers {share}% of clients")
            )
            st.progress(
                now.canary.share / 100, text=say(Message(words.text, {"share": now.canary.share}))
            )
            st.caption(say(_("since {date}", date=date(now.canary.since))))
    with back, st.container(border=True, height="stretch"):
        st.markdown(f":material/undo: **{say(_('A rollback brings back'))}**")
        draw_card(project, known.back_to, _("No earlier release may serve."))


def draw_card(project: Project, version: str | None, nothing: Message) -> None:
    """Draw a release in a few words."""
    if version is None:
        st.caption(say(nothing))
        return
    one = deploying.line(project, version)
    if one.problem is not None:
        st.markdown(f"### {say(version)}")
        st.error(say(one.problem), icon=":material/broken_image:")
        return
    st.markdown(f"### {say(version)}")
    figure = say(naming.figure(one.main)) if one.main else ""
    st.markdown(f"{figure} **{number(one.value)}** · {say(one.variant)} · {size(one.bytes)}")
    st.caption(say(_("made {date} by {by}", date=date(one.created), by=one.by)))


def draw_versions(project: Project, known: Overview) -> None:
    """Draw all releases, and one of them closely."""
    if known.damaged:
        told = _("In these releases a file is missing or cut: {versions}. They cannot serve.",
                 versions=", ".join(known.damaged))  # fmt: skip
        st.error(say(told), icon=":material/broken_image:")
    if not known.versions and not known.damaged:
        st.caption(say(_("There is no release yet.")))
        return
    offset = paged(len(known.versions), "deploy_versions_page")
    found = lines(project, (deploying.stamp(project), len(known.versions)), offset)
    drawing.table(
        [row(one) for one in found],
        VERSIONS,
        key="deploy_versions",
        title=_("All releases, the newest number first"),
    )
    chosen = st.selectbox(
        say(_("Look closely at")),
        [*(one.version for one in found), *known.damaged],
        key="deploy_detail",
        width=320,
        format_func=partial(changes.labelled, known),
    )
    if chosen:
        with st.container(border=True):
            with layout.explained():
                draw_detail(project, known, chosen)
            draw_detail_buttons(project, known, chosen)


def paged(count: int, key: str) -> int:
    """Draw the choice of a page where there are several, and return where it begins."""
    pages = -(-count // PAGE)
    if pages <= 1:
        return 0
    chosen = st.number_input(
        say(_("Page, of {pages}", pages=pages)), 1, pages, 1, key=key, width=160
    )
    return (int(chosen) - 1) * PAGE


@st.cache_data(max_entries=16, show_spinner=False)
def lines(project: Project, stamp: tuple[Stamps, int], offset: int) -> list[Line]:
    """Return a page of releases, read again when one came, went or changed what it does."""
    return deploying.lines(project, PAGE, offset)


def row(one: Line) -> dict[str, Text | float | None]:
    """Return a release as the table shows it."""
    return {
        "version": one.version,
        "serves": one.problem or one.serves,
        "created": date(one.created) if one.created else "",
        "by": one.by,
        "variant": one.variant,
        "figure": naming.figure(one.main) if one.main else "",
        "value": one.value,
        "size": size(one.bytes),
        "commit": f"{one.commit}{'*' if one.dirty else ''}",
    }


def draw_detail(project: Project, known: Overview, version: str) -> None:
    """Draw what one release is worth, and what it is not for."""
    if version in known.state.blocked:
        changes.draw_block(known, version)
    one = deploying.opened(project, version)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{say(_('Figures of the test part'))}**")
        figures: list[dict[str, Text | float | None]] = [
            {"figure": naming.figure(name), "value": value} for name, value in one.figures.items()
        ]
        drawing.table(figures, FIGURES, key="deploy_figures", title=_("Figures of the test part"))
    with right:
        st.markdown(f"**{say(_('What the model is not for'))}**")
        for limit in one.limits(language()):
            st.markdown(f"- {say(limit)}")
        if one.card.labels:
            shown = ", ".join(one.card.labels[:MOST_LABELS])
            told = _("{count} labels: {labels}", count=len(one.card.labels), labels=shown)
            st.caption(say(told))


def draw_detail_buttons(project: Project, known: Overview, version: str) -> None:
    """Draw what can be done with a release that is looked at."""
    desk = Desk(project, language())
    with st.container(horizontal=True):
        if layout.button(
            _("Check every file and ask the golden questions"),
            roles.TRY_MODEL,
            key="deploy_verify",
            icon=":material/fact_check:",
        ):
            changes.act(lambda: desk.verify(version), changes.ASKED)
        serves = version in known.state.serving()
        with st.popover(
            say(_("Remove …")),
            icon=":material/delete:",
            disabled=serves,
            help=say(_("It answers requests.")) if serves else None,
        ):
            st.markdown(say(_("The release is deleted from the disk. Its number stays taken.")))
            force = version == known.back_to and st.checkbox(
                say(_("Also though a rollback would bring it back")), key="deploy_remove_force"
            )
            needed = version == known.back_to and not force
            if layout.button(
                _("Remove {version} for good", version=version),
                roles.REMOVE_RELEASE,
                key="deploy_remove",
                icon=":material/delete_forever:",
                why_not=_("A rollback would bring it back.") if needed else None,
            ):
                changes.act(lambda: desk.remove(version, force), _("One moment …"))


def draw_events(known: Overview) -> None:
    """Draw what happened to releases."""
    if not known.state.events:
        st.caption(say(_("Nothing happened yet.")))
        return
    offset = paged(len(known.state.events), "deploy_events_page")
    rows = [
        {
            "at": date(one.at),
            "version": one.version,
            "what": deploying.WHAT[one.what],
            "before": one.before or "",
            "by": one.by,
            "why": reason_of(one.why, language()),
        }
        for one in deploying.events(known.state, PAGE, offset)
    ]
    drawing.table(rows, EVENTS, key="deploy_events", title=_("What happened, the newest first"))


def draw_settings(project: Project) -> None:
    """Draw the values of ``params.yaml`` by which releases are made, tried and served."""
    section_forms(SECTIONS, project, "deploy")
