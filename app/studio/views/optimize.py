"""Optimize: which variant of the model ships, why, and what the others would cost or save."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, model_plots, model_variants
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import language, number, say
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import _

STAGE = "optimize"
STATES: dict[str, Text] = {
    "ships": _("✓ ships"),
    "kept": _("○ keeps parity and all gates"),
    "refused": _("✗ refused"),
    "original": _("◆ the trained model"),
    "unavailable": _("– could not be built"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    sentence = _("The model made small and fast: what that costs, and what ships.")

    def parts(report: dict[str, Any]) -> list[drawing.Panel]:
        return [
            (_("What ships"), partial(choice, report)),
            (_("All variants"), partial(variants, report)),
            (_("Same answers"), partial(parity, report)),
        ]

    drawing.stage_page(project, STAGE, sentence, parts)


def choice(report: Mapping[str, Any]) -> None:
    """Draw why this variant ships, what it saves, and the front of those that none beats."""
    why = report.get("why", {}).get(language())
    if why:
        chosen = report.get("chosen") is not None
        box = st.success if chosen else st.warning
        box(say(str(why)), icon=":material/local_shipping:")
    saved(report)
    rows = model_variants.measured(report)
    main = naming.figure(report["main"])
    quality = _("{figure}, test part", figure=main)
    places = st.columns(2, gap="medium")
    ways = (("size_mb", _("size on disk, MB")), ("latency_ms_p50", _("one text, ms")))
    for place, (price, title) in zip(places, ways, strict=True):
        front = model_variants.front(rows, price)
        chart = model_plots.pareto(rows, front, price, (title, quality))
        with place:
            text = _("{quality} over {price}", quality=quality, price=title)
            charts.show(chart, text, key=f"optimize_{price}")
    names = "  ·  ".join(f"{row['number']} {row['name']}" for row in rows)
    st.caption(say(names))
    text = _("No variant is at once better and smaller, or better and faster, than one on the "
             "dashed line. Bars are the intervals of the figure.")  # fmt: skip
    st.caption(say(text))


def saved(report: Mapping[str, Any]) -> None:
    """Draw what ships beside the trained model: size, time, memory, quality."""
    rows = model_variants.saved(report)
    for place, row in zip(st.columns(len(rows) or 1), rows, strict=False):
        place.metric(
            say(row["figure"]),
            number(row["value"], row["digits"]),
            row["change"],
            delta_color=row["colour"],
            border=True,
        )
    if rows:
        st.caption(say(_("What ships; the change is from the trained model.")))


def variants(report: Mapping[str, Any]) -> None:
    """Draw the table of all variants, and why one was refused."""
    rows = [
        {**row, "shown": STATES[row["state"]]} for row in model_variants.rows(report, language())
    ]
    main = naming.figure(report["main"])
    lost = _("In hundredths of the main figure, on the validation part.")
    columns = (
        Column("number", "#", "count"),
        Column("name", _("Variant")),
        Column("shown", _("State")),
        Column("quality", _("{figure}, test part", figure=main), "number"),
        Column("size_mb", _("Size, MB"), "number"),
        Column("latency_ms_p50", _("One text, ms"), "number", _("Median.")),
        Column("points_lost", _("points lost"), "number", lost),
        Column("agreement", _("Same answers"), "percent"),
        Column("memory_mb", _("Memory, MB"), "number"),
        Column("latency_ms_p95", _("Slowest 5%, ms"), "number", _("95th percentile.")),
        Column("texts_per_second", _("Texts a second"), "number"),
        Column("wh_per_1000_texts", _("Wh for 1,000 texts"), "number"),
        Column("cold_start_s", _("Start, s"), "number"),
    )
    drawing.table(rows, columns, key="optimize_table", title=_("All variants side by side"))
    for row in rows:
        if row["why"]:
            st.markdown(f"- **{say(row['name'])}**: {say(row['why'])}")
    told = report.get("measured", {})
    if told:
        text = _("Measured on {processor}, {threads} threads, {texts} single texts.",
                 processor=told.get("processor", "?"), threads=number(told.get("threads"), 0),
                 texts=told.get("single_texts", "?"))  # fmt: skip
        st.caption(say(text))


def parity(report: Mapping[str, Any]) -> None:
    """Draw for a variant whether it answers as its original, and its gates."""
    names = model_variants.checked(report)
    if not names:
        st.info(say(_("No variant was checked.")), icon=":material/info:")
        return
    shipped = report.get("shipped")
    chosen = st.selectbox(
        say(_("Variant")),
        names,
        index=names.index(shipped) if shipped in names else 0,
        key="optimize_variant",
        width=420,
    )
    line = report["table"][chosen]
    checks = model_variants.parity_rows(line["parity"])
    rows = [{**row, "found": number(row["found"])} for row in checks]
    held = line["parity"]["holds"]
    box, icon = (st.success, "check_circle") if held else (st.error, "cancel")
    text = _("It answers as the model that it was made from.")
    if not held:
        text = _("It does not answer as the model that it was made from: {reasons}.",
                 reasons=", ".join(line["parity"]["refused"]))  # fmt: skip
    box(say(text), icon=f":material/{icon}:")
    columns = (
        Column("check", _("Check"), width="medium"),
        Column("found", _("Found"), width="small"),
        Column("meaning", _("Meaning"), width="large"),
    )
    drawing.table(rows, columns, key="optimize_parity", title=_("Whether it answers the same"))
    if line["gates"]:
        st.subheader(say(_("Gates of this variant")), anchor=False)
        drawing.gates(line["gates"], None, key="optimize_gates", variant=True)
