"""New project: from a bundled one, or from a table of one's own with a guided column mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from app.studio import layout, roles
from app.studio.dotted import value_at
from app.studio.forms import beginning, templates, uploading
from app.studio.forms.beginning import Stated
from app.studio.forms.templates import Bundled, Started
from app.studio.forms.uploading import Checked, Mapped, Table
from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.speech import explained, literal, number, plain, say, show_error
from pipeline.errors import MofangError
from pipeline.i18n import Message, _

BUNDLED, OWN = "bundled", "own"
DONE, UPLOAD = "start:done", "start:upload"  # in the session
LABELS_SHOWN = 12
TASKS = {
    "single_label": _("One label a text"),
    "multi_label": _("Several labels a text"),
    "regression": _("A number a text"),
}
ABOUT = {
    "single_label": _("for topics, kinds, feelings"),
    "multi_label": _("for tags, of which a text may have several"),
    "regression": _("for ratings and other quantities"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    st.title(plain(_("New project")))
    done = st.session_state.get(DONE)
    if isinstance(done, Started):
        draw_done(done)
        return
    st.markdown(
        say(
            _(
                "A project is one file, params.yaml, with all its values. Starting a new one "
                "replaces the file; what stood there is kept beside it."
            )
        )
    )
    titles = {BUNDLED: plain(_("A bundled project")), OWN: plain(_("A table of my own"))}
    way = st.segmented_control(
        say(_("Start from")),
        list(titles),
        default=BUNDLED,
        required=True,
        format_func=titles.__getitem__,
        key="start_way",
        persist_state="session",
    )
    if way == BUNDLED:
        draw_bundled(project)
    else:
        draw_own(project)


def draw_done(done: Started) -> None:
    """Say that the project was started, and what comes next."""
    st.success(say(_("The project is ready to run.")), icon=":material/check_circle:")
    if done.kept is not None:
        kept = _("What stood in params.yaml before is kept as `{name}`.", name=done.kept.name)
        st.markdown(plain(kept))  # a name of our own, which means nothing to Markdown
    st.caption(say(done.recorded.told))
    if done.recorded.problem is not None:
        st.warning(explained(done.recorded.problem), icon=":material/warning:")
    layout.link("runs", _("Next: run the pipeline"))
    layout.link("collect", _("Look at where texts come from"))
    if st.button(say(_("Start another project")), key="start_again"):
        st.session_state.pop(DONE)
        st.rerun()


def finish(done: Started) -> None:
    """Show that the project was started, at the next draw."""
    st.session_state[DONE] = done
    st.session_state.pop(UPLOAD, None)
    st.rerun()


def draw_bundled(project: Project) -> None:
    """Draw the bundled projects as cards, each with its button."""
    entries = templates.listed()
    for pair in (entries[first : first + 2] for first in range(0, len(entries), 2)):
        for place, one in zip(st.columns(2, gap="medium"), pair, strict=False):
            with place, st.container(border=True, height="stretch"):
                draw_card(project, one)


def draw_card(project: Project, one: Bundled) -> None:
    """Draw one bundled project."""
    st.markdown(f"##### {say(one.title)}")
    st.markdown(say(one.what))
    told = [one.task, one.language]
    if one.minutes is not None:
        told.append(_("about {minutes} minutes on two cores", minutes=one.minutes))
    facts = " · ".join(map(plain, told))
    st.caption(f":material/info: {literal(facts)}")
    if layout.button(
        _("Start with this one"),
        roles.START_PROJECT,
        key=f"start_{one.name}",
        icon=":material/play_arrow:",
    ):
        try:
            done = templates.begin(project, one.path.read_bytes(), one.name)
        except MofangError as error:
            show_error(error)
        else:
            finish(done)


def draw_own(project: Project) -> None:
    """Draw the steps from a file to a project."""
    st.markdown(f"#### {say(_('1. The file'))}")
    reason = roles.why_not(roles.UPLOAD)
    given = st.file_uploader(
        say(_("A table with one text a row: csv, tsv, xlsx, jsonl or parquet, up to 50 MB")),
        type=list(uploading.ENDINGS),
        key="start_file",
        disabled=reason is not None,
        help=None if reason is None else say(reason),
    )
    if given is None:
        st.caption(say(_("The first row names the columns; jsonl holds one object a line.")))
        return
    try:
        path, name, table = kept(project, given)
        mapped = draw_mapping(table)
        values = following.values(templates.OWN_FILE)
        lengths = value_at(values, "clean.quality.length")
        low, high = lengths["min_characters"], lengths["max_characters"]
        found = inspected(path, name, mapped, (low, high))
        draw_found(found)
        draw_begin(project, path, name, mapped, found)
    except MofangError as error:
        show_error(error)


def kept(project: Project, given: Any) -> tuple[Path, str, Table]:
    """Return an upload as it was kept, and its columns; each file is kept and read once."""
    known = st.session_state.get(UPLOAD)
    if known is not None and known[0] == given.file_id and known[1].exists():
        return known[1], known[2], known[3]
    path = uploading.keep(project, given.name, given.getvalue())
    with st.spinner(say(_("Reading the file …"))):
        table = uploading.look(path, given.name)
    st.session_state[UPLOAD] = (given.file_id, path, given.name, table)
    return path, given.name, table


@st.cache_data(max_entries=16, show_spinner=False)
def inspected(path: Path, name: str, mapped: Mapped, lengths: tuple[int, int]) -> Checked:
    """Return what the records would be; the same question is answered once."""
    return uploading.inspect(path, name, mapped, lengths)


def draw_mapping(table: Table) -> Mapped:
    """Draw which column is what, beginning with a guess, and the first rows."""
    st.markdown(f"#### {say(_('2. What the columns are'))}")
    guess = uploading.guessed(table)
    names = [one.name for one in table.columns]
    left, right = st.columns(2, gap="medium")
    with left:
        text = st.selectbox(
            say(_("Text")), names, index=names.index(guess.text), key="start_text",
            help=say(_("What the model reads.")),
        )  # fmt: skip
        group = column(_("Group"), names, guess.group, "start_group",
                       _("Rows of one group stay on one side of the split: one customer, one "
                         "document."))  # fmt: skip
    with right:
        label = column(
            _("Label"), names, guess.label, "start_label", _("What the model is to tell.")
        )
        created = column(_("Time"), names, guess.created_at, "start_time",
                         _("When the text came about, as ISO 8601."))  # fmt: skip
    used = {text, label, group, created}
    meta = st.multiselect(
        say(_("Kept beside")), [name for name in names if name not in used], key="start_meta",
        placeholder=plain(_("None")), help=say(_("Further columns to compare answers by.")),
    )  # fmt: skip
    mapped = replace(
        guess, text=text, label=label, group=group, created_at=created, meta=tuple(meta)
    )
    mapped = draw_task(mapped)
    draw_rows(table, mapped)
    return mapped


def column(
    title: Message, names: Sequence[str], guess: str | None, key: str, about: Message
) -> str | None:
    """Draw the choice of a column that a table need not have."""
    options: list[str | None] = [None, *names]
    none = plain(_("none"))
    return st.selectbox(
        say(title),
        options,
        index=options.index(guess),
        key=key,
        format_func=lambda one: none if one is None else one,
        help=say(about),
    )


def draw_task(mapped: Mapped) -> Mapped:
    """Draw which task it is."""
    titles = {name: plain(title) for name, title in TASKS.items()}
    task = st.segmented_control(
        say(_("Task")),
        list(TASKS),
        default=mapped.task,
        required=True,
        format_func=titles.__getitem__,
        key="start_task",
    )
    st.caption(say(ABOUT[task]))
    if task != "multi_label":
        return replace(mapped, task=task, separator="")
    separator = st.text_input(
        say(_("Separator")),
        mapped.separator or "|",
        max_chars=5,
        key="start_separator",
        help=say(_("What stands between the labels in a cell.")),
    )
    return replace(mapped, task=task, separator=separator or "|")


def draw_rows(table: Table, mapped: Mapped) -> None:
    """Draw the first rows, the columns that are used first."""
    import pandas

    used = [mapped.text, mapped.label, mapped.group, mapped.created_at, *mapped.meta]
    first = [name for name in used if name is not None]
    order = first + [one.name for one in table.columns if one.name not in first]
    rows = [
        {plain(_("Row")): row["row"], **{name: row["cells"].get(name, "") for name in order}}
        for row in table.first
    ]
    st.dataframe(
        pandas.DataFrame(rows), hide_index=True, height=248, width="stretch", key="start_rows"
    )
    count = number(table.rows)
    seen = _("The first rows of {count} or more.", count=count) if table.more else _(
        "The first rows of {count}.", count=count
    )  # fmt: skip
    st.caption(say(seen))


def draw_found(found: Checked) -> None:
    """Draw what the records would be, and the first rows with something odd."""
    st.markdown(f"#### {say(_('3. What would be read'))}")
    rows, records, labels = st.columns(3)
    rows.metric(plain(_("Rows")), number(found.rows))
    records.metric(plain(_("Records")), number(found.records))
    labels.metric(plain(_("Labels")), number(len(found.labels)))
    if found.labels:
        shown = [f"{label} ({number(count)})" for label, count in found.labels]
        more = ", …" if len(shown) > LABELS_SHOWN else ""
        names = ", ".join(shown[:LABELS_SHOWN]) + more
        st.markdown(say(_("Labels found: {labels}", labels=names)))
    if not found.odd:
        st.success(say(_("No problem was found.")), icon=":material/check_circle:")
    for one in sorted(found.odd, key=lambda odd: not odd.stops):
        where = ", ".join(map(number, one.rows))
        more = ", …" if one.count > len(one.rows) else ""
        text = say(one.what)
        if one.rows:
            told = _("Rows: {count}. The first: {rows}", count=number(one.count), rows=where)
            text += f"  \n{say(told)}{more}"
        if one.stops:
            st.error(text, icon=":material/block:")
        else:
            st.warning(text, icon=":material/warning:")


def draw_begin(project: Project, path: Path, name: str, mapped: Mapped, found: Checked) -> None:
    """Draw what has to be said about the data, and the button."""
    st.markdown(f"#### {say(_('4. Its terms'))}")
    left, right = st.columns(2, gap="medium")
    with left:
        title = st.text_input(
            say(_("Name of the source")), Path(name).stem[:30], max_chars=40, key="start_name"
        )
        personal = st.toggle(
            say(_("It speaks of people who can be recognized")), key="start_personal"
        )
    with right:
        licence = st.text_input(
            say(_("Licence")), max_chars=300, key="start_licence",
            placeholder=plain(_("own data, CC-BY-4.0, …")),
            help=say(_("Under which terms the data may be used; it stands in every report.")),
        )  # fmt: skip
        use = st.text_input(say(_("Permitted use")), "internal", max_chars=300, key="start_use")
    why = None
    if found.stops:
        why = _("Mend what is marked with a bar in the file first, and upload it again.")
    elif mapped.task != "regression" and not found.labels:
        why = _("Choose a column with labels: at least two have to be known.")
    elif not licence.strip() or not use.strip():
        why = _("Say under which terms the data may be used.")
    if why is not None:
        st.caption(say(why))
    if layout.button(
        _("Start the project"),
        roles.START_PROJECT,
        key="start_own",
        icon=":material/play_arrow:",
        kind="primary",
        why_not=why,
    ):
        stated = Stated(title, licence, use, personal)
        finish(beginning.begin(project, path, stated, mapped, found))
