"""Home: how the stages stand, what the last model came to, what to do next, and how to begin."""

from __future__ import annotations

import streamlit as st

from app.studio import before, drawn_graph, layout, overview, preferences, roles
from app.studio.overview import Facts, Gate, Standing, Step, Verdict
from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.runs.records import Run
from app.studio.speech import language, literal, number, say
from pipeline.evaluation import naming
from pipeline.i18n import Message, _

SECONDS_BETWEEN_LOOKS = 2.0
GUIDE = "guide"  # the preference: whether the guide is folded away
SENTENCES = 3
GATE_ICONS = {
    "passed": ":material/check_circle:",
    "failed": ":material/error:",
    "not judged": ":material/remove_circle_outline:",
}
GATE_WORDS: dict[str, Message] = {
    "passed": _("passed"),
    "failed": _("failed"),
    "not judged": _("not judged"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    st.title(say(_("Home")), anchor=False)
    run = overview.newest_run(project)
    now = overview.facts(project, run.state if run else None)
    draw_next(overview.next_step(now))
    layout.live(draw_graph, SECONDS_BETWEEN_LOOKS if run and run.works else None, project)
    draw_verdict(overview.verdict(project))
    draw_guide(project, now)
    if run is None or not run.works:
        box = st.expander(
            say(_("What would a run do now?")),
            icon=":material/preview:",
            key="home_ask",
            on_change="rerun",  # DVC is asked only when somebody wants to know
        )
        if box.open:
            with box:
                before.draw(project, key="home_before")


def draw_next(step: Step) -> None:
    """Draw the one thing to do next."""
    with st.container(border=True):
        st.markdown(f"**{say(_('Next:'))} {say(step.title)}**  \n{say(step.why)}")
        layout.link(step.view, step.title)


def draw_graph(project: Project) -> None:
    """Draw the stages, coloured by how they stand."""
    run = overview.newest_run(project)
    standings = overview.standings(project, states(run))
    if not standings:
        st.info(say(_("dvc.yaml names no stages.")), icon=":material/info:")
        return
    st.mermaid_chart(
        drawn_graph.mermaid(overview.graph(project), standings),
        alt=drawn_graph.told(standings),
    )


def states(run: Run | None) -> dict[str, Standing] | None:
    """Return the states of a run that works or did not end well; a good one speaks by its files."""
    if run is None or run.state == "done":
        return None
    found = following.stages(run)
    if run.works:
        return dict(found)
    return {name: one for name, one in found.items() if one in ("failed", "stopped")}


def draw_verdict(verdict: Verdict | None) -> None:
    """Draw what the last model came to."""
    st.subheader(say(_("The last result")), anchor=False)
    if verdict is None:
        st.info(
            say(_("There is no model yet. A run makes one, and says here how good it is.")),
            icon=":material/info:",
        )
        return
    if verdict.passed:
        passed = _("The model passed all gates.")
        st.success(say(passed), icon=":material/check_circle:")
    else:
        failed = _("A gate failed: the model is not good enough to be released.")
        st.error(say(failed), icon=":material/error:")
    left, right = st.columns([1, 2], gap="medium")
    with left:
        draw_figure(verdict)
        for gate in verdict.gates:
            st.markdown(f"{GATE_ICONS[gate.state]} {gate_text(gate)}")
    with right:
        for sentence in verdict.sentences.get(language(), ())[:SENTENCES]:
            st.markdown(f"- {literal(sentence)}")
        if verdict.ships:
            st.markdown(f"- {literal(verdict.why.get(language(), verdict.ships))}")
        layout.link("validate" if not verdict.passed else "test", _("Show everything about it"))


def draw_figure(verdict: Verdict) -> None:
    """Draw the figure that counts, with how sure it is."""
    if verdict.value is None:
        return
    st.metric(
        say(_("{figure}, on the test part", figure=naming.figure(verdict.main))),
        number(verdict.value),
        border=True,
    )
    if verdict.interval:
        low, high = map(number, verdict.interval)
        st.caption(say(_("between {low} and {high}, most likely", low=low, high=high)))


def gate_text(gate: Gate) -> str:
    """Return a gate in words."""
    group = f" [{gate.group}]" if gate.group else ""
    return say(
        _(
            "{figure}{group} {sign} {bound}: {found}, {state}",
            figure=naming.figure(gate.figure),
            group=group,
            sign=gate.sign,
            bound=number(gate.bound),
            found=number(gate.found),
            state=GATE_WORDS[gate.state],
        )
    )


def draw_guide(project: Project, now: Facts) -> None:
    """Draw the way from nothing to a watched model, until the reader folds it away."""
    user = roles.current(project)
    steps = overview.guide(project, now)
    done = sum(step.done for step in steps)
    folded = preferences.get(project, user.name, GUIDE, default=True) is False
    title = _("First steps: {done} of {total} done", done=number(done), total=number(len(steps)))
    with st.expander(say(title), icon=":material/flag:", expanded=not folded and done < len(steps)):
        for count, step in enumerate(steps, 1):
            icon = "check_circle" if step.done else "radio_button_unchecked"
            word = say(_("done")) if step.done else say(_("to do"))
            words, way = st.columns([3, 1], vertical_alignment="center")
            words.markdown(
                f":material/{icon}: **{count}. {say(step.title)}** ({word})  \n{say(step.why)}"
            )
            with way:
                layout.link(step.view)
        if not folded:
            st.button(
                say(_("Do not open this by itself again")),
                key="home_fold_guide",
                type="tertiary",
                on_click=fold,
                args=(project,),
            )


def fold(project: Project) -> None:
    """Remember that the reader knows the way."""
    with layout.explained():
        preferences.put(project, GUIDE, value=False)
