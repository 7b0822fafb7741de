"""The part of the page Monitor about training again: what is proposed, decided and done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.studio import deciding, layout, outcomes, roles
from app.studio import model_drawing as drawing
from app.studio.deploy_changes import act, told
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.releasing import Outcome
from app.studio.speech import ago, date, language, literal, plain, say
from pipeline.errors import MofangError
from pipeline.i18n import Message, _
from pipeline.watching import proposal
from pipeline.watching.proposal import Content

WAY = (
    proposal.PROPOSED,
    proposal.APPROVED,
    proposal.LABELLING,
    proposal.TRAINING,
    proposal.CANARY,
    proposal.PROMOTED,
)
EVERY = 3.0  # seconds between two looks at a run that works for a proposal
OUTCOMES = {"started": _("begun"), "done": _("done"), "failed": _("failed")}
STEPS = {
    "collect": _("new texts collected and cleaned"),
    "queue": _("texts to label chosen"),
    "labelled": _("people were done labelling"),
    "train": _("trained"),
    "release": _("release made"),
    "canary": _("tried as canary"),
}
JOURNAL = (
    Column("at", _("Time")),
    Column("step", _("Step")),
    Column("outcome", _("Outcome")),
    Column("by", _("by")),
    Column("note", _("Note"), width="large"),
)


def draw(project: Project) -> None:
    """Draw all proposals, the newest first, and the way to make one by hand."""
    found = deciding.every(project)
    if not found:
        st.info(
            say(
                _(
                    "Nobody proposed to train again. The monitor does when drift is confirmed or "
                    "people find too many answers wrong."
                )
            ),
            icon=":material/info:",
        )
    for count, content in enumerate(found):
        if count and content["state"] in proposal.OVER:
            key = f"monitor_over_{content['id']}"
            draw_old = partial(draw_content, content)
            drawing.folded(heading(content), draw_old, key=key, icon="history")
        else:
            with st.container(border=True):
                st.markdown(f"#### {say(heading(content))}")
                draw_next(project, content)
                draw_content(content)
    if all(one["state"] in proposal.OVER for one in found):
        draw_by_hand(project)


def heading(content: Content) -> Message:
    """Return a proposal in a line: its name, its state, since when."""
    state = proposal.STATES[content["state"]]
    return _("{id}: {state}, {ago}", id=content["id"], state=state, ago=ago(content["created"]))


def draw_next(project: Project, content: Content) -> None:
    """Draw how far a proposal is and what it waits for; a run is looked at again and again."""
    state = content["state"]
    if state in WAY:
        st.caption(
            " → ".join(
                f"**{say(proposal.STATES[one])}**" if one == state else say(proposal.STATES[one])
                for one in WAY
            )
        )
    now = deciding.following_step(project, content)
    layout.live(draw_step, EVERY if now.needed == "wait" else None, project, content, now.needed)


def draw_step(project: Project, content: Content, before: str) -> None:
    """Draw what a proposal waits for, with the button that goes on."""
    name = content["id"]
    now = deciding.following_step(project, content)
    if before == "wait" and now.needed != "wait":
        st.rerun()
    if now.needed == "over":
        return
    st.markdown(f":material/arrow_forward: {say(now.told)}")
    if now.needed == "decide":
        draw_decision(project, content)
        return
    if now.run is not None:
        layout.link("runs", _("Show the run"))
    if now.needed == "label":
        layout.link("label")
    if now.needed == "watch":
        layout.link("deploy")
    if now.button is not None and layout.button(
        now.button,
        roles.DECIDE_PROPOSAL,
        key=f"monitor_go_{name}",
        kind="primary",
        icon=":material/play_arrow:",
    ):
        act(lambda: deciding.proceed(project, name, language()), _("One moment …"))
    draw_rejection(project, name)


def draw_decision(project: Project, content: Content) -> None:
    """Draw the two answers to a proposal."""
    name = content["id"]
    st.caption(
        say(
            _(
                "Approving changes params.yaml exactly as shown below, and copies the chosen texts "
                "into data/raw. Nothing is trained before you start it."
            )
        )
    )
    with st.container(horizontal=True):
        if layout.button(
            _("Approve"),
            roles.DECIDE_PROPOSAL,
            key=f"monitor_approve_{name}",
            kind="primary",
            icon=":material/check:",
        ):
            settled(lambda: deciding.approve(project, name), _("Approved."))
        draw_rejection(project, name)


def draw_rejection(project: Project, name: str) -> None:
    """Draw the way to end a proposal, with a reason."""
    with st.popover(say(_("Reject …")), icon=":material/close:"):
        why = st.text_input(
            say(_("Reason, for the record")), key=f"monitor_why_{name}", max_chars=500
        )
        if layout.button(
            _("Reject"),
            roles.DECIDE_PROPOSAL,
            key=f"monitor_reject_{name}",
            icon=":material/close:",
        ):
            settled(lambda: deciding.reject(project, name, why), _("Rejected."))


def settled(work: Callable[[], Recorded | None], done: Message) -> None:
    """Do what somebody decided, say so, and draw the page anew."""
    try:
        record = work()
    except MofangError as error:
        outcomes.tell(error)
        return
    told(Outcome(True, plain(done), "", record))
    st.rerun()


def draw_content(content: Content) -> None:
    """Draw what a proposal says: why, which data, the exact change, and what was done."""
    reader = language()
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{say(_('What changed'))}**")
        for line in content["what_changed"][reader]:
            st.markdown(f"- {literal(line)}")
    with right:
        st.markdown(f"**{say(_('What to collect or label'))}**")
        for line in content["what_to_collect"][reader]:
            st.markdown(f"- {literal(line)}")
    with st.expander(say(_("The exact change of params.yaml")), icon=":material/difference:"):
        st.code(content["params"]["diff"] or "–", language="diff")
    done, key = partial(draw_done, content), f"monitor_done_{content['id']}"
    drawing.folded(_("What was done"), done, key=key, icon="history")


def draw_done(content: Content) -> None:
    """Draw each step that was taken for a proposal, with the commands that repeat them."""
    rows = [
        {
            "at": date(one["at"]),
            "step": STEPS.get(one["step"], proposal.STATES.get(one["step"], one["step"])),
            "outcome": OUTCOMES.get(one["outcome"], one["outcome"]),
            "by": one["by"],
            "note": one["note"],
        }
        for one in content["steps"]
    ]
    drawing.table(rows, JOURNAL, key=f"monitor_steps_{content['id']}", title=_("What was done"))
    st.code("\n".join(content["commands"]), language="sh")


def draw_by_hand(project: Project) -> None:
    """Draw the way to propose a training whatever the limits say."""
    with st.expander(say(_("Propose to train again, whatever the limits say"))):
        why = st.text_input(
            say(_("Reason, for the record")), key="monitor_propose_why", max_chars=500
        )
        if layout.button(
            _("Propose it"),
            roles.DECIDE_PROPOSAL,
            key="monitor_propose",
            icon=":material/model_training:",
        ):
            act(lambda: deciding.propose(project, why, language()), _("One moment …"))
