"""Model and start: which model suits the data and this machine, and where training starts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import layout, model_plan, reading, roles
from app.studio import model_drawing as drawing
from app.studio.dotted import value_at
from app.studio.forms import present, saving
from app.studio.model_drawing import Column
from app.studio.model_plan import Asked
from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.speech import ago, duration, language, money, number, say, size
from pipeline.errors import Text
from pipeline.i18n import LANGUAGES, _
from pipeline.params import shown

STAGE = "init"
FAMILIES: dict[str, Text] = {
    "encoder": _("encoder"),
    "decoder": _("decoder"),
    "encoder_decoder": _("encoder-decoder"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head("model", _("Which model suits your data and this machine, and how it starts."))
    drawing.standing(project, STAGE)
    drawing.panels(
        [
            (_("Recommendation"), partial(recommendation, project)),
            (_("Where training starts"), partial(start, project)),
            drawing.settings(STAGE, project),
        ],
        key="model_tabs",
    )


def recommendation(project: Project) -> None:
    """Draw what the plan recommends, and the button that asks for it."""
    asked = model_plan.kept(project, language())
    button(project, asked)
    if asked is None:
        text = _("The recommendation looks at the labelled records and at this machine, and says "
                 "for each known model what training would take. It changes nothing.")  # fmt: skip
        st.info(say(text), icon=":material/lightbulb:")
        return
    if asked.data != model_plan.data_of(project):
        text = _("The data are newer than this recommendation. Ask again.")
        st.warning(say(text), icon=":material/update:")
    family = str(asked.content["family"])
    with st.container(border=True):
        st.markdown(f"**{say(_('Family'))}: {say(FAMILIES.get(family, family))}**")
        for reason in asked.content["why"]:
            st.markdown(f"- {say(str(reason))}")
        st.caption(say(machine(asked.content)))
    at = drawing.table(
        [candidate(place, one) for place, one in enumerate(asked.candidates, 1)],
        CANDIDATES,
        key="model_candidates",
        title=_("Candidates, the best first"),
        selects=True,
    )
    chosen = asked.candidates[at or 0]
    if at is None:
        st.caption(say(_("Choose a row to see why it stands there. This is the first one:")))
    explained(project, chosen)


def button(project: Project, asked: Asked | None) -> None:
    """Draw the button that asks for a recommendation."""
    why_not = None
    if not model_plan.can_ask(project):
        why_not = _("There are no labelled records yet. Run the pipeline as far as split first.")
    elif following.current(project) is not None:
        why_not = _("A run works, which would make the estimates wrong. Wait until it ends.")
    label = _("Ask again") if asked else _("Recommend a model")
    pressed = layout.button(label, roles.START_RUN, key="model_ask", icon=":material/lightbulb:",
                            kind="secondary" if asked else "primary", why_not=why_not)  # fmt: skip
    if asked is not None:
        st.caption(say(_("asked {ago}", ago=ago(asked.made))))
    elif why_not is not None:
        st.caption(say(why_not))
    if pressed:
        with st.spinner(say(_("Looking at data and machine: about half a minute …"))):
            done = drawing.acted(partial(model_plan.ask, project, in_order(language())))
        if done:
            st.rerun()


def in_order(first: str) -> list[str]:
    """Return all languages, the reader's first."""
    return sorted(LANGUAGES, key=lambda one: one != first)


def machine(content: Mapping[str, Any]) -> Text:
    """Return in a sentence what the plan looked at."""
    found, data = content["machine"], content["data"]
    gpus = ", ".join(str(one["name"]) for one in found.get("gpus", []))
    return _("Looked at {records} training records, {labels} labels, up to {long} tokens, "
             "languages: {languages}; and at {cores} processor cores, {memory} of memory, "
             "GPU: {gpus}.",
             records=number(data["records"], 0), labels=len(data["labels"]), long=data["long"],
             languages=", ".join(data["languages"]), cores=number(found["cores"], 0),
             memory=size(found["memory_bytes"]), gpus=gpus or _("none"))  # fmt: skip


CANDIDATES = (
    Column("place", "#", "text", width="small"),
    Column("name", _("model"), width="medium"),
    Column("family", _("family")),
    Column("method", _("method")),
    Column("time", _("time")),
    Column("memory", _("memory")),
    Column("co2", _("CO₂")),
    Column("money", _("money")),
    Column("fits", _("fits here")),
)


def candidate(place: int, one: Mapping[str, Any]) -> dict[str, Any]:
    """Return one candidate as a row."""
    estimate = one["estimate"]
    co2 = estimate.get("co2_kg")
    method: Text = one["method"]
    if one["contrastive"]:
        method = _("contrastive, then {method}", method=one["method"])
    fits: Text = _("✓ yes") if one["fits"] else _("✗ no")
    return {
        "place": "–" if one["excluded"] else str(place),
        "name": one["name"],
        "family": FAMILIES.get(one["family"], one["family"]),
        "method": method,
        "time": duration(estimate["seconds"]),
        "memory": size(estimate["peak_memory_bytes"]),
        "co2": "–" if co2 is None else f"{number(1_000 * co2, 1)} g",
        "money": money(estimate["money"], estimate["currency"]),
        "fits": _("✗ excluded") if one["excluded"] else fits,
    }


def explained(project: Project, one: Mapping[str, Any]) -> None:
    """Draw why a candidate stands where it does, and the values to set for it."""
    with st.container(border=True):
        st.markdown(f"**{say(one['name'])}**")
        left, right = st.columns(2, gap="large")
        with left:
            for reason in one["reasons"]:
                st.markdown(f"- {say(str(reason))}")
            for sign, key in (("＋", "strengths"), ("－", "weaknesses")):
                for text in one[key]:
                    st.markdown(f"{sign} {say(str(text))}")
        with right:
            values(project, one)


def values(project: Project, one: Mapping[str, Any]) -> None:
    """Draw what would change in ``params.yaml``, and the button that saves it."""
    if one["excluded"]:
        st.info(say(_("It cannot be trained here, for the reasons beside.")),
                icon=":material/block:")  # fmt: skip
        return
    wanted = dict(one["params"])
    if model_plan.needs_revision(wanted):
        revision = st.text_input(
            say(_("Commit of the model on the Hugging Face hub")),
            key="model_revision",
            max_chars=40,
            help=say(_("Forty letters and digits, from the model's page, under Files. A fixed "
                       "commit makes sure that nobody changes the model later.")),
        )  # fmt: skip
        wanted = model_plan.with_revision(wanted, revision)
    now = present.read(project)
    changes = model_plan.differing(wanted, now.values)
    if not changes:
        st.success(say(_("params.yaml holds these values already.")), icon=":material/check:")
        return
    rows = [
        {"field": path, "old": shown(value_at(now.values, path)), "new": shown(value)}
        for path, value in changes.items()
    ]
    columns = (Column("field", _("Field")), Column("old", _("now")), Column("new", _("proposed")))
    drawing.table(rows, columns, key="model_values", title=_("What would change in params.yaml"))
    if layout.button(_("Use these values"), roles.EDIT_PARAMS, key="model_use",
                     icon=":material/save:", kind="primary"):  # fmt: skip
        used = partial(saving.save, changes, now.sha256, project)
        if drawing.acted(used, _("Saved in params.yaml.")):
            st.rerun()


def start(project: Project) -> None:
    """Draw the model that training starts from, as stage init built it."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    facts: tuple[tuple[Text, Text], ...] = (
        (_("architecture"), str(report["model_type"])),
        (_("layers × width"), f"{report['layers']} × {report['hidden']}"),
        (_("weights"), _("{count} million", count=number(report["parameters"] / 1e6, 1))),
        (_("on disk"), size(report["weight_bytes"])),
        (_("memory to train"), size(report["training_memory_bytes"])),
        (_("vocabulary"), number(report["vocabulary"], 0)),
    )
    places = [*st.columns(3), *st.columns(3)]
    for place, (name, value) in zip(places, facts, strict=True):
        place.metric(say(name), say(value), border=True)
    text = _("{architecture}, from {origin}", architecture=report["architecture"],
             origin=origin(report))  # fmt: skip
    st.caption(say(text))
    first = report.get("start")
    if first:
        check(first)


def origin(report: Mapping[str, Any]) -> Text:
    """Return where the model comes from."""
    found = report.get("origin") or {}
    named = found.get("package") or found.get("repository") or found.get("path")
    if report["method"] == "scratch" or not named:
        return _("nothing: its weights are drawn, its tokens learnt from your texts")
    return str(named)


def check(first: Mapping[str, Any]) -> None:
    """Draw whether the model is sound before the first step: loss, gradients, states."""
    st.subheader(say(_("Sound before the first step")), anchor=False)
    warnings = first.get("warnings") or []
    for one in warnings:
        st.warning(say(str(one)), icon=":material/warning:")
    if not warnings:
        text = _("The first loss is {loss}, and guessing would have {expected}: as it should be.",
                 loss=number(first["loss"]), expected=number(first["expected_loss"]))  # fmt: skip
        st.success(say(text), icon=":material/check_circle:")
    columns = (
        Column("part", _("part")),
        Column("weights", _("weights"), "count"),
        Column("mean", _("mean"), "small"),
        Column("deviation", _("deviation"), "number"),
        Column("smallest", _("smallest"), "number"),
        Column("largest", _("largest"), "number"),
        Column("gradient_norm", _("gradient"), "number"),
        Column("state_deviation", _("deviation of states"), "number"),
    )
    title = _("Weights and gradients of each part")
    table = partial(drawing.table, first.get("parts", []), columns, key="model_parts", title=title)
    drawing.folded(title, table, key="model_parts_fold", icon="layers")
