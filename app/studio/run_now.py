"""The run that works now, or the last one: how far it is, what it uses, why it failed; stop, start.

Everything is read from disk each time, so that every browser sees the same at any moment.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import streamlit as st

from app.studio import before, charts, drawn_graph, layout, overview, roles, run_states, run_words
from app.studio import model_drawing as drawing
from app.studio.project_files import Project
from app.studio.runs import curves as curve_files
from app.studio.runs import (
    devices,
    diagnosing,
    following,
    locks,
    records,
    restoring,
    starting,
    stopping,
)
from app.studio.runs.diagnosing import Diagnosis
from app.studio.runs.following import Progress
from app.studio.runs.records import Run
from app.studio.speech import (
    ago,
    date,
    duration,
    explained,
    literal,
    number,
    percent,
    plain,
    say,
    size,
)
from pipeline.evaluation import naming
from pipeline.i18n import _

EVERY = 2.0  # seconds between two looks
SEEN = "runs_seen"  # in the session: which run in which state the page was drawn for
LINES, SHORT, TALL = 200, 10, 320  # of the log; those that need no box; pixels of the box
POINTS = 120  # of a curve that is drawn anew every two seconds
FIELDS = 8  # edits that are named one by one


def draw(project: Project) -> None:
    """Draw the run that works, or the last one and the way to the next."""
    run = overview.newest_run(project)
    works = run is not None and run.works
    st.session_state[SEEN] = seen(run)
    # A run that begins elsewhere is seen by the frame, which draws every page anew then.
    layout.live(draw_live, EVERY if works else None, project)
    if not works:
        draw_start(project, run)


def seen(run: Run | None) -> tuple[str, str] | None:
    """Return what decides how the page is laid out."""
    return (run.id, run.state) if run is not None else None


def draw_live(project: Project) -> None:
    """Draw what changes by itself; a run that begins or ends draws the whole page anew."""
    run = overview.newest_run(project)
    if seen(run) != st.session_state.get(SEEN):
        st.rerun(scope="app")
    if run is None:
        text = _("No run was started in this project yet. Look below at what one would do.")
        st.info(say(text), icon=":material/info:")
        return
    draw_head(run)
    if run.works:
        draw_working(run)
    else:
        draw_ended(run)
    draw_log(run)


def draw_head(run: Run) -> None:
    """Draw who runs what, since when and how it stands."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    state = f"{run_states.ICONS[run.state]} **{say(run_states.STATES[run.state])}**"
    began = _("{user} started it {ago} · device: {device}",
              user=run.by, ago=ago(run.began), device=run_words.device(run.device))  # fmt: skip
    took = _("for {time}", time=duration(run.seconds))
    left.markdown(f"{state} · {say(took)}  \n{say(began)} · `{run.shown_command}`")
    if run.works:
        with right:
            draw_stop(run)


def draw_stop(run: Run) -> None:
    """Draw the button that stops the run."""
    stopping_now = (run.folder / records.STOP).exists()
    why = _("It is being stopped.") if stopping_now else None
    pressed = layout.button(
        _("Stop"), roles.STOP_RUN, key="runs_stop", icon=":material/stop:", kind="primary",
        why_not=why, width="stretch",
    )  # fmt: skip
    if pressed:
        with st.spinner(say(_("The run is being stopped; its checkpoints are kept."))):
            done = drawing.acted(lambda: stopping.stop(run))
        if done:
            st.rerun(scope="app")


def draw_working(run: Run) -> None:
    """Draw how far the run is."""
    draw_graph(run)
    progress = following.progress(run)
    if progress is not None:
        draw_progress(progress)
    left = following.seconds_left(run)
    if left is not None and left >= 1:  # what takes longer than ever says nothing
        text = _("The whole run takes about {time} more.", time=duration(left))
        st.caption(f":material/schedule: {say(text)}")
    draw_waiting(run)
    draw_curves(run)
    draw_devices(run)


def draw_graph(run: Run) -> None:
    """Draw the stages, coloured by how they stand in this run."""
    if not following.is_pipeline(run):
        return
    states = dict(following.stages(run))
    stages = {name: above for name, above in overview.graph(run.project).items() if name in states}
    if stages:
        text = drawn_graph.mermaid(stages, states)
        st.mermaid_chart(text, alt=drawn_graph.told(states))


def draw_progress(progress: Progress) -> None:
    """Draw the progress of the stage that works."""
    share = min(1.0, max(0.0, progress.step / progress.total))
    called = run_words.PIECES.get(progress.piece)
    parts = [drawn_graph.title_of(progress.stage)]
    if called is not None and progress.piece != progress.stage:
        parts.append(plain(called))
    if progress.epochs:
        now = min(progress.epochs, int(progress.epoch or 0) + 1)
        parts.append(plain(_("epoch {now} of {all}", now=now, all=progress.epochs)))
    parts.append(plain(_("step {step} of {total}", step=number(progress.step, 0),
                         total=number(progress.total, 0))))  # fmt: skip
    parts.append(percent(share, 0))
    if progress.seconds_left is not None and progress.seconds_left >= 1:
        parts.append(plain(_("about {time} left", time=duration(progress.seconds_left))))
    st.progress(share, text=" · ".join(map(literal, parts)))


def draw_waiting(run: Run) -> None:
    """Say which edits wait for the next run."""
    edits = following.waiting_edits(run)
    if not edits:
        return
    named = ", ".join(plain(run_words.field(one)) for one in edits[:FIELDS])
    text = _("Changed since this run began, for the next one: {fields}", fields=named)
    st.info(say(text), icon=":material/edit_note:")


def draw_curves(run: Run) -> None:
    """Draw the losses and one figure of the validation part."""
    found = following.curves(run)
    losses = {
        plain(title): curve_files.thinned(found[name], POINTS)
        for name, title in run_words.CURVES.items()
        if found.get(name)
    }
    if not losses:
        return
    with st.expander(say(_("Curves of training")), icon=":material/show_chart:", expanded=True):
        left, right = st.columns(2, gap="medium")
        with left:
            title = _("loss")
            charts.show(charts.curves(losses, _("step"), title), title, key="runs_loss")
        figure = next(
            (one for one in ("macro_f1", "r2", "accuracy") if found.get(f"validation/{one}")), None
        )
        if figure is not None:
            with right:
                called = naming.figure(figure)
                points = {plain(called): curve_files.thinned(found[f"validation/{figure}"], POINTS)}
                charts.show(charts.curves(points, _("step"), called), called, key="runs_figure")


def draw_devices(run: Run) -> None:
    """Draw what the run uses."""
    uses = devices.uses(run)
    if not uses:
        return
    now = uses[-1]
    with st.expander(say(_("What it uses")), icon=":material/memory:", expanded=True):
        places = st.columns(3)
        places[0].metric(
            say(_("processor cores")),
            plain(_("{used} of {all}", used=number(now.cores, 1), all=now.cores_total)),
            border=True,
        )
        places[1].metric(
            say(_("memory of the run")), size(now.memory), border=True,
            help=say(_("Of {total} in this machine {used} are in use.",
                       total=size(now.memory_total), used=size(now.machine))),
        )  # fmt: skip
        peak = max(one.memory for one in uses)
        places[2].metric(say(_("most memory so far")), size(peak), border=True)
        for gpu in now.gpus:
            text = _("GPU {number} ({name}): {use} busy, {memory} of {total}",
                     number=gpu.number, name=gpu.name, use=percent(gpu.use, 0),
                     memory=size(gpu.memory), total=size(gpu.memory_total))  # fmt: skip
            st.progress(min(1.0, gpu.use), text=say(text))


def draw_ended(run: Run) -> None:
    """Draw how the last run ended, and how it can go on."""
    draw_graph(run)
    found = diagnosing.explain(run)
    if found is None:
        result = run_words.result(run)
        text = _("The run is done. {result}", result=result) if result else _("The run is done.")
        st.success(say(text), icon=":material/check_circle:")
        layout.link("test", _("See how good the model is"))
    else:
        draw_diagnosis(run, found)
    for note in run.notes:
        st.caption(f":material/info: {say(note)}")
    draw_waiting(run)


def draw_diagnosis(run: Run, found: Diagnosis) -> None:
    """Draw why a run did not come to its end, what to do, and the button that does it."""
    text = f"**{say(found.cause)}**\n\n{say(found.hint)}"
    if found.kind == "stopped":
        st.warning(text, icon=":material/stop_circle:")
    else:
        st.error(text, icon=":material/error:")
    for problem in found.problems:
        st.markdown(explained(problem))
    if found.smaller:
        draw_smaller(run, found)
        return
    if found.kind == "aside" and layout.button(
        _("Take its results over"), roles.RESTORE_RUN, key="runs_take", kind="primary",
        icon=":material/download_done:",
    ):  # fmt: skip
        done = drawing.acted(
            lambda: restoring.restore_results(run.project, run.id),
            _("Parameters and results are those of that run."),
        )
        if done:
            st.rerun(scope="app")
    if layout.button(
        _("Start again"), roles.START_RUN, key="runs_again", icon=":material/replay:",
        kind="secondary" if found.kind == "aside" else "primary",
    ):  # fmt: skip
        again(run)


def draw_smaller(run: Run, found: Diagnosis) -> None:
    """Draw the next smaller setting, and the one click that goes on with it."""
    used = following.flat(run.snapshot)
    rows = [
        {"field": run_words.field(path), "path": path, "old": run_words.value(used.get(path)),
         "new": run_words.value(value)}
        for path, value in (found.smaller or {}).items()
    ]  # fmt: skip
    columns = (
        drawing.Column("field", _("Parameter")),
        drawing.Column("path", _("In params.yaml")),
        drawing.Column("old", _("It was")),
        drawing.Column("new", _("It becomes")),
    )
    drawing.table(rows, columns, key="runs_smaller", title=_("The next smaller setting"))
    lower = _("Save this and continue")
    if (
        layout.button(lower, roles.START_RUN, key="runs_continue", kind="primary",
                      icon=":material/play_arrow:")
        and drawing.acted(lambda: diagnosing.continue_smaller(run))
    ):  # fmt: skip
        st.rerun(scope="app")


def again(run: Run) -> None:
    """Start what a run did once more."""
    command = None if following.is_pipeline(run) else run.command

    def work() -> None:
        starting.start(run.project, following.targets(run), run.device, command=command)

    if drawing.acted(work):
        st.rerun(scope="app")


def draw_log(run: Run) -> None:
    """Draw the log, folded where the run is done."""
    drawing.folded(
        _("Log"), partial(draw_lines, run), key=f"runs_fold_{run.id}_{run.state}", icon="terminal",
        unfolded=run.state != "done",
    )  # fmt: skip


def draw_lines(run: Run) -> None:
    """Draw the last lines of the log."""
    lines = following.tail(run, LINES)
    if not lines:
        st.caption(say(_("Nothing is said yet.")))
        return
    tall: Literal["content"] | int = TALL if len(lines) > SHORT else "content"
    with st.container(height=tall, border=False, key="runs_log", autoscroll=True):
        st.code("\n".join(lines), language=None, wrap_lines=True)
    st.caption(f"`{run.log.relative_to(run.project.root)}`")


def draw_start(project: Project, last: Run | None) -> None:
    """Draw what a run would do, and the button that starts it."""
    st.subheader(say(_("The next run")), anchor=False)
    draw_stale(project)
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    names = following.stages_of(project)
    with left:
        chosen = st.selectbox(
            say(_("Up to which stage")), ["", *reversed(names)], key="runs_target",
            format_func=lambda one: drawn_graph.title_of(one) if one else plain(_("all stages")),
            help=say(_("With all stages before it; what did not change is skipped.")),
        )  # fmt: skip
    with middle:
        options = ["auto", "cpu", *(str(one.number) for one in gpus())]
        place = st.selectbox(
            say(_("Device")), options, key="runs_device",
            format_func=lambda one: plain(run_words.device(one)),
            help=say(_("Automatic takes a GPU when there is one.")),
        )  # fmt: skip
    with right:
        pressed = layout.button(
            _("Start the run"), roles.START_RUN, key="runs_start", icon=":material/play_arrow:",
            kind="primary" if last is None or last.state == "done" else "secondary",
            width="stretch",
        )  # fmt: skip
    targets = [chosen] if chosen else []
    st.caption(f":material/terminal: `{' '.join(['dvc', 'repro', *targets])}`")
    if pressed and drawing.acted(lambda: starting.start(project, targets, place)):
        st.rerun(scope="app")
    with st.expander(say(_("What would it do?")), icon=":material/preview:", expanded=True):
        before.draw(project, key="runs_before")


def draw_stale(project: Project) -> None:
    """Draw a lock that nobody holds any more, and who works in a terminal."""
    for one in locks.holders(project.root):
        text = _("{user} works in a terminal since {time}: {command}",
                 user=one.user, time=date(one.since), command=one.command)  # fmt: skip
        st.warning(say(text), icon=":material/terminal:")
    if locks.is_stale(project.root):
        text = _("A killed DVC left its lock behind. The next run clears it by itself.")
        st.warning(say(text), icon=":material/lock_clock:")
        if layout.button(_("Clear it now"), roles.CLEAR_LOCK, key="runs_unlock"):
            done = drawing.acted(
                lambda: locks.clear_stale_as_asked(project),
                _("The lock is cleared."),
            )
            if done:
                st.rerun()


@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def gpus() -> list[devices.Gpu]:
    """Return the GPUs of this machine."""
    return devices.gpus()
