"""Parts of the page Deploy: every way to change what serves, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from app.studio import deploying, layout, outcomes, roles, serving
from app.studio.deploying import Overview, Source
from app.studio.project_files import Project
from app.studio.releasing import Desk, Outcome
from app.studio.speech import date, language, number, plain, say, size
from pipeline.errors import MofangError
from pipeline.evaluation import naming
from pipeline.i18n import Message, _
from pipeline.releases.ledger import say as reason_of

OUTCOME = "outcome"  # in the session
MOST_SHARE = 50  # percent that the slider offers; more is a promotion
ASKED = _("The release is asked its golden questions …")
NO_OTHER = _("There is no other release.")
BLOCKED = _("This release is blocked.")


def show_outcome() -> None:
    """Show what became of the last command, once."""
    outcome: Outcome | None = st.session_state.pop(OUTCOME, None)
    if outcome is None:
        return
    if outcome.good:
        st.success(say(_("Done.")), icon=":material/check_circle:")
    else:
        st.error(say(_("That was refused. Everything is as it was.")), icon=":material/error:")
    if outcome.said:
        st.code(outcome.said, language=None, wrap_lines=True)
    if outcome.command:
        st.caption(say(_("The same in a terminal: {command}", command=outcome.command)))
    record = outcome.record
    if record is not None and record.state in ("committed", "refused"):
        st.caption(f":material/commit: {say(record.told)}")
    if record is not None and record.problem is not None:
        st.warning(say(record.problem.fix), icon=":material/commit:")


def told(outcome: Outcome | None) -> None:
    """Keep what became of a command for the next drawing of the page."""
    if outcome is not None:
        st.session_state[OUTCOME] = outcome


def act(work: Callable[[], Outcome | None], doing: Message) -> None:
    """Run a command while the page waits, keep what became of it, and draw the page anew."""
    try:
        with st.spinner(say(doing), show_time=True):
            told(work())
    except MofangError as error:
        outcomes.tell(error)
        return
    st.rerun()


def draw_changes(project: Project, known: Overview) -> None:
    """Draw the three ways to change what serves."""
    if not known.versions:
        st.caption(say(_("Make a release first.")))
        return
    left, right = st.columns(2, gap="large")
    with left:
        draw_switch(project, known)
        draw_rollback(project, known)
    with right:
        draw_canary(project, known)


def draw_switch(project: Project, known: Overview) -> None:
    """Draw the blue-green switch: all requests, from one moment to the next."""
    headed(
        _("Switch (blue-green)"),
        _(
            "The new release is loaded and asked its golden questions beside the old one; "
            "then all requests go to it at once. The old one stays, ready to be switched "
            "back to."
        ),
    )
    version = draw_choice(known, others(known), key="deploy_switch_to")
    blocked = version in known.state.blocked
    force = blocked and draw_force(known, str(version), "deploy_switch_force")
    why_not = None if version and (force or not blocked) else NO_OTHER if not version else BLOCKED
    if layout.button(
        _("Switch all requests to {version}", version=version) if version else _("Switch over"),
        roles.PROMOTE,
        key="deploy_switch",
        icon=":material/swap_horiz:",
        kind="primary",
        why_not=why_not,
    ):
        act(lambda: Desk(project, language()).promote(str(version), bool(force)), ASKED)


def headed(title: Message, sentence: Message) -> None:
    """Draw the title of a way to change what serves, and what it does."""
    st.subheader(say(title))
    st.caption(say(sentence))


def others(known: Overview) -> list[str]:
    """Return the releases that do not answer all requests now."""
    return [one for one in known.versions if one != known.state.stable]


def draw_choice(
    known: Overview, options: Sequence[str], *, key: str, fixed: bool = False
) -> str | None:
    """Draw the choice of a release, each with what it does; None where there is none."""
    return st.selectbox(
        say(_("Release")),
        options,
        key=key,
        placeholder=plain(NO_OTHER),
        format_func=partial(labelled, known),
        width=320,
        disabled=fixed,
    )


def labelled(known: Overview, version: str) -> str:
    """Return a version for a list, with what it does."""
    role = plain(deploying.role_of(version, known.state))
    return f"{version} ({role})" if role else version


def draw_force(known: Overview, version: str, key: str) -> bool:
    """Draw why a release is blocked, and the wish to serve it all the same."""
    draw_block(known, version)
    return st.checkbox(say(_("Serve it all the same")), key=key)


def draw_block(known: Overview, version: str) -> None:
    """Draw why a release is blocked."""
    entry = known.state.blocked[version]
    why = reason_of(entry.why, language()) or "–"
    text = _("Blocked since {date}: {why}", date=date(entry.at), why=why)
    st.warning(say(text), icon=":material/block:")


def draw_rollback(project: Project, known: Overview) -> None:
    """Draw the way back after something went wrong."""
    headed(
        _("Roll back"),
        _(
            "Brings back what served before, ends a canary, and blocks the release that "
            "serves now, so that nobody promotes it again by mistake."
        ),
    )
    why = st.text_input(say(_("Reason, for the record")), key="deploy_back_why", max_chars=500)
    back = known.back_to
    if layout.button(
        _("Roll back to {version}", version=back) if back else _("Roll back"),
        roles.ROLL_BACK,
        key="deploy_back",
        icon=":material/undo:",
        why_not=None if back else _("No earlier release may serve."),
    ):
        act(
            lambda: Desk(project, language()).roll_back(str(back), why),
            _("The earlier release is asked its golden questions …"),
        )


def draw_canary(project: Project, known: Overview) -> None:
    """Draw the trial of a release beside stable: which, for how many, and its end."""
    headed(
        _("Canary"),
        _(
            "Some clients get the new release, always the same ones. When it errs, is slow "
            "or answers otherwise than it should, the service ends the trial by "
            "itself."
        ),
    )
    now, trial = known.state, known.state.canary
    options = [trial.version] if trial else others(known)
    version = draw_choice(known, options, key="deploy_canary_which", fixed=trial is not None)
    first = min(MOST_SHARE, trial.share if trial else usual_share(project))
    most = max(MOST_SHARE, trial.share if trial else 0)
    share = st.slider(
        say(_("Share of clients, in percent")),
        1,
        most,
        first,
        key=f"deploy_share_{trial.share if trial else 0}",
    )
    shadow = st.toggle(
        say(_("In shadow: it gets copies, and no client sees its answers")),
        trial.shadow if trial else False,
        key=f"deploy_shadow_{trial.shadow if trial else None}",
    )
    blocked = version in now.blocked
    force = bool(blocked and draw_force(known, str(version), "deploy_canary_force"))
    same = trial is not None and (trial.share, trial.shadow) == (share, shadow)
    if layout.button(
        _("Change the trial") if trial else _("Start the trial"),
        roles.CANARY,
        key="deploy_canary",
        icon=":material/experiment:",
        why_not=no_trial(known, version, same=same, refused=blocked and not force),
    ):
        act(lambda: Desk(project, language()).canary(str(version), share, shadow, force), ASKED)
    if trial is not None:
        draw_trial_end(project, trial.version)


def no_trial(known: Overview, version: str | None, *, same: bool, refused: bool) -> Message | None:
    """Return why a trial cannot begin or change; None where it can."""
    if known.state.stable is None:
        return _("A canary stands beside a release that serves: promote one first.")
    if not version:
        return NO_OTHER
    if same:
        return _("Nothing was changed.")
    return BLOCKED if refused else None


def draw_trial_end(project: Project, version: str) -> None:
    """Draw the two ways in which a trial ends: it becomes stable, or it goes."""
    desk = Desk(project, language())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if layout.button(
            _("Promote {version}", version=version),
            roles.PROMOTE,
            key="deploy_canary_promote",
            icon=":material/verified:",
            kind="primary",
        ):
            act(lambda: desk.promote(version), ASKED)
        if layout.button(
            _("End and block"), roles.ROLL_BACK, key="deploy_canary_end", icon=":material/block:"
        ):
            act(lambda: desk.end_canary(version), _("One moment …"))


def usual_share(project: Project) -> int:
    """Return the share that ``params.yaml`` gives a canary."""
    known = serving.values(project)
    return 10 if known is None else known.canary.share


def draw_new(project: Project) -> None:
    """Draw what the last run left, and the way to a release."""
    found = deploying.source(project)
    if found.stages:
        st.info(
            say(
                _(
                    "A release is made of a whole run. These stages have no result yet: {stages}",
                    stages=", ".join(found.stages),
                )
            ),
            icon=":material/info:",
        )
        layout.link("runs", _("Start a run"))
        return
    if found.problem is not None:
        st.error(say(found.problem), icon=":material/error:")
        return
    draw_source(found)
    proposed = deploying.next_version(project)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    version = left.text_input(
        say(_("Version")),
        key="deploy_version",
        placeholder=proposed,
        help=say(
            _("Empty takes {version}. A version means one model, for good.", version=proposed)
        ),
    )
    at_once = right.checkbox(
        say(_("Let it answer all requests at once")),
        key="deploy_at_once",
        disabled=not roles.may(roles.PROMOTE),
    )
    reason = None if found.ready else _("A gate does not hold, so this model is refused.")
    if layout.button(
        _("Make the release"),
        roles.CREATE_RELEASE,
        key="deploy_create",
        icon=":material/package_2:",
        kind="primary",
        why_not=reason,
    ):
        act(
            lambda: Desk(project, language()).create(version, at_once),
            _("The model is copied, and asked the whole validation part …"),
        )


def draw_source(found: Source) -> None:
    """Draw what a release would be made of."""
    variant, figure, space = st.columns([2, 1, 1])  # the name of a variant is long
    variant.metric(say(_("Variant that ships")), found.variant, border=True)
    figure.metric(
        say(_("{figure}, on the test part", figure=naming.figure(found.main))),
        number(found.value),
        border=True,
    )
    space.metric(say(_("Size")), size(found.bytes), border=True)
    for name, held in found.gates:
        icon, word = ("check_circle", _("holds")) if held else ("error", _("does not hold"))
        st.markdown(f":material/{icon}: {say(name)}: {say(word)}")
    if not found.parity:
        st.markdown(f":material/error: {say(_('The copy does not answer as the tested model.'))}")
