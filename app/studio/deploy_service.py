"""Parts of the page Deploy: how the service is, and a place to ask a model something."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.studio import deploying, layout, roles, serving
from app.studio import model_drawing as drawing
from app.studio.deploying import Overview
from app.studio.project_files import Project
from app.studio.releasing import Desk
from app.studio.serving import Answer, Service
from app.studio.speech import ago, language, number, percent, plain, say
from pipeline.errors import Text
from pipeline.i18n import Message, _

ANSWER = "deploy_answer"  # in the session
SERVICE, LAST_RUN = "service", ""  # whom one can ask, beside releases
STATES: dict[str, tuple[Message, str, str]] = {  # word, icon, colour
    "running": (_("running"), "check_circle", "green"),
    "elsewhere": (_("running, started in a terminal"), "check_circle", "green"),
    "starting": (_("starting"), "hourglass_top", "blue"),
    "stopping": (_("stopping"), "hourglass_bottom", "orange"),
    "stopped": (_("stopped"), "stop_circle", "gray"),
    "failed": (_("fell"), "error", "red"),
}


def draw_service(project: Project) -> None:
    """Draw how the service is, with its buttons and addresses."""
    found = serving.status(project, language())
    word, icon, colour = STATES[found.state]
    with st.container(border=True):
        left, right = st.columns([3, 2], vertical_alignment="center")
        with left, st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{say(_('Service'))}**", width="content")
            st.badge(say(word), icon=f":material/{icon}:", color=colour)  # type: ignore[arg-type]
            if found.status == "not ready":
                st.badge(
                    say(_("no release yet")), icon=":material/hourglass_empty:", color="orange"
                )
        with right, st.container(horizontal=True, horizontal_alignment="right"):
            draw_buttons(project, found)
        draw_facts(found)
        if found.state == "failed" or found.restarts:
            drawing.folded(
                _("Last lines of its log"),
                partial(draw_log, project),
                key=f"deploy_log_{found.state}",
                icon="terminal",
                unfolded=found.state == "failed",
            )


def draw_log(project: Project) -> None:
    """Draw what the service printed last."""
    st.code("\n".join(serving.log(project)) or "–", language=None)


def draw_buttons(project: Project, found: Service) -> None:
    """Draw what can be done with the service."""
    if found.state in ("stopped", "failed"):
        if layout.button(
            _("Start the service"),
            roles.RUN_SERVICE,
            key="deploy_start",
            icon=":material/play_arrow:",
            kind="primary",
        ):
            drawing.acted(lambda: switched(serving.start, project))
        return
    if found.answers:
        st.link_button(
            say(_("Open the demo")),
            f"{found.address}/demo/",
            key="deploy_demo",
            icon=":material/open_in_new:",
        )
        st.link_button(
            say(_("Addresses")), f"{found.address}/docs", key="deploy_manual", icon=":material/api:"
        )
    elsewhere = _("It was started in a terminal; stop it there.")
    if layout.button(
        _("Stop"),
        roles.RUN_SERVICE,
        key="deploy_stop",
        icon=":material/stop:",
        why_not=elsewhere if found.state == "elsewhere" else None,
    ):
        drawing.acted(lambda: switched(serving.stop, project))


def switched(work: Callable[[Project], Service], project: Project) -> None:
    """Start or stop the service while the page waits, then draw it anew."""
    with st.spinner(say(_("One moment …"))):
        work(project)
    st.rerun()


def draw_facts(found: Service) -> None:
    """Draw where the service is, since when, and what it has to do without."""
    facts: list[Text] = []
    if found.state not in ("stopped", "failed"):
        facts.append(_("Address: {address}", address=found.address))
        if found.by:
            facts.append(_("started by {by} {ago}", by=found.by, ago=ago(found.began)))
        if found.restarts:
            facts.append(_("fell and was started again {count} times", count=found.restarts))
    elif found.state == "failed":
        facts.append(_("It ended with exit code {code}.", code=found.code))
    else:
        facts.append(_("Nobody is answered. Releases can be made and tried all the same."))
    st.caption(" · ".join(say(one) for one in facts))
    for why in found.degraded:
        st.warning(say(why), icon=":material/warning:")
    if found.outdated:
        st.info(
            say(
                _("Settings were changed since it started. Stop it and start it again to use them.")
            ),
            icon=":material/sync:",
        )


def draw_trial(project: Project, known: Overview) -> None:
    """Draw a place to ask a model something."""
    service = serving.status(project, language())
    options = [SERVICE] if service.answers else []
    options += list(known.versions)
    if deploying.source(project).variant:
        options.append(LAST_RUN)
    if not options:
        st.info(say(_("There is no model to try yet.")), icon=":material/info:")
        layout.link("runs", _("Start a run"))
        return
    names = {SERVICE: _("the service, as a client"), LAST_RUN: _("the model of the last run")}
    whom = st.selectbox(
        say(_("Ask")),
        options,
        key="deploy_ask_whom",
        width=320,
        format_func=lambda one: plain(names[one]) if one in names else one,
    )
    examples = deploying.examples(project, str(known.state.stable if whom == SERVICE else whom))
    if examples:
        st.pills(
            say(_("Examples")),
            examples,
            key="deploy_example",
            format_func=shortened,
            on_change=take_example,
        )
    text = st.text_area(say(_("Text")), key="deploy_text", height=100, max_chars=20_000)
    if layout.button(
        _("Ask the model"),
        roles.TRY_MODEL,
        key="deploy_ask",
        icon=":material/send:",
        kind="primary",
    ):
        st.session_state.pop(ANSWER, None)
        drawing.acted(lambda: ask(project, service, str(whom), text))
    answer: Answer | None = st.session_state.get(ANSWER)
    if answer is not None:
        draw_answer(answer)


def shortened(text: str) -> str:
    """Return the beginning of an example, for a button."""
    return say(text if len(text) <= 40 else f"{text[:39]}…")


def take_example() -> None:
    """Put the chosen example where the reader writes."""
    chosen = st.session_state.get("deploy_example")
    if chosen:
        st.session_state["deploy_text"] = chosen


def ask(project: Project, service: Service, whom: str, text: str) -> None:
    """Ask the model, and keep the answer for the page."""
    with st.spinner(say(_("The model reads …")), show_time=True):
        if whom == SERVICE:
            st.session_state[ANSWER] = serving.ask(service, text, language())
        else:
            st.session_state[ANSWER] = Desk(project, language()).ask(whom, text)


def draw_answer(answer: Answer) -> None:
    """Draw what the model answered."""
    told = _(
        "{version} in {time} ms",
        version=answer.version or plain(_("the last run")),
        time=number(1000 * answer.seconds, 0),
    )
    if answer.decided:
        st.markdown(f"### {say(answer.decided)}")
    for label, score in answer.labels:
        if label == "value":
            st.markdown(f"### {number(score)}")
        else:
            st.progress(min(1.0, max(0.0, score)), text=f"{say(label)} · {percent(score)}")
    st.caption(say(told))
