"""Split and augment: what is learnt from, what is judged on, and that neither knows the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, data_drawing, reading
from app.studio import model_drawing as drawing
from app.studio.data_drawing import Filter, Listing, written
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import DASH, date, number, percent, plain, say
from app.studio.text_changes import marked
from pipeline import artifacts
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import _
from pipeline.steps import difficulty
from pipeline.steps.reasons import REASONS

STAGE = "split"
PARTS: dict[str, Text] = {
    "train": _("training"),
    "validation": _("validation"),
    "test": _("test"),
}
BANDS: dict[str, Text] = {name: naming.GROUPS[name] for name in difficulty.BANDS}
UNKNOWN = "unknown"  # how the report counts records without a band
COUNTED: dict[str, Text] = BANDS | {UNKNOWN: _("unknown")}
STRATEGIES: dict[str, Text] = {
    "stratified": _("by chance, each label with the same share in every part"),
    "random": _("by chance"),
    "grouped": _("by chance, each group in one part"),
    "time": _("by time: the latest records are the test"),
    "column": _("as a column of the data says"),
}
METHODS: dict[str, Text] = {
    "insert": _("a word more"),
    "delete": _("a word less"),
    "swap": _("words in another order"),
    "synonym": _("a word of the same meaning"),
}
ORIGINS: dict[str, Text] = {
    "source": _("the source"),
    "annotation": _("annotators"),
    "adjudication": _("an adjudicator"),
    "rule": _("a rule"),
    "augmented": _("its original"),
}
AUGMENTED = "augmented"
EXAMPLES = 5
FEW = 30  # records of a label in a part: its figures are hardly more than chance


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head(
        STAGE, _("What is learnt from, what is judged on, and whether one knows the other.")
    )
    drawing.standing(project, STAGE)
    drawing.panels(
        [
            (_("Balance"), partial(balance, project)),
            (_("Leaks"), partial(leaks, project)),
            (_("Augmentation"), partial(augmentation, project)),
            (_("Records"), partial(records, project)),
            drawing.settings(STAGE, project),
        ],
        key="split_tabs",
    )


def balance(project: Project) -> None:
    """Draw how large the parts are, and how labels and difficulty are spread over them."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    total = sum(report["parts"].values())
    for place, (name, count) in zip(st.columns(3), report["parts"].items(), strict=True):
        share = percent(count / total if total else None)
        place.metric(f"{plain(PARTS[name])} · {share}", number(count))
    text = _("Divided {how}.", how=STRATEGIES.get(report["strategy"], report["strategy"]))
    st.caption(say(text))
    if report["time"]:
        times(report["time"])
    if report["dropped"]:
        lost = [f"{plain(REASONS.get(name, name))} {number(count)}"
                for name, count in report["dropped"].items()]  # fmt: skip
        st.caption(say(_("Dropped here: {counts}", counts=" · ".join(lost))))
    if report["numbers"]:
        numbers(report["numbers"])
    else:
        labels(report["labels"])
    bands(report["difficulty"])


def times(borders: Mapping[str, Any]) -> None:
    """Draw the moments that divide the parts."""
    said = [f"{name}: {date(value) if isinstance(value, str) else value}"
            for name, value in borders.items() if isinstance(value, str | int | float)]  # fmt: skip
    if said:
        st.caption(say(_("Borders: {borders}", borders=" · ".join(said))))


def labels(found: Mapping[str, Mapping[str, int]]) -> None:
    """Draw how many records of each label each part has, and warn of those with few."""
    st.subheader(say(_("Labels")), anchor=False)
    names = sorted(found["train"], key=lambda one: -found["train"][one])
    rows = [(name, plain(PARTS[part]), found[part][name]) for name in names for part in PARTS]
    charts.show(
        charts.stacked(
            [(part, name, count) for name, part, count in rows],
            _("share of the records of the part"),
            parts=names,
            shares=True,
        ),
        _("Bars: the share of each label in each part. Equal bars mean an even division."),
        key="split_shares",
    )
    table = [{"label": name, **{part: found[part][name] for part in PARTS}} for name in names]
    columns = [Column("label", _("Label"))]
    columns += [Column(part, title, "count") for part, title in PARTS.items()]
    drawing.table(table, columns, key="split_labels", title=_("Records of each label by part"))
    few = [name for name in names if min(found["validation"][name], found["test"][name]) < FEW]
    if few:
        text = _(
            "Fewer than {count} records of {labels} are in validation or test: what is said about "
            "these labels is uncertain. More labelled records help most.",
            count=FEW,
            labels=", ".join(few),
        )
        st.warning(say(text), icon=":material/scale:")


def numbers(found: Mapping[str, Mapping[str, float]]) -> None:
    """Draw how the numbers of each part are spread."""
    st.subheader(say(_("Numbers")), anchor=False)
    quantiles = list(found["train"])
    rows = [{"part": PARTS[part], **found[part]} for part in PARTS]
    columns = [Column("part", _("Part")), *(Column(one, one, "number") for one in quantiles)]
    drawing.table(rows, columns, key="split_numbers", title=_("Numbers of each part"))


def bands(found: Mapping[str, Any]) -> None:
    """Draw how hard the records of each part are."""
    parts = found["parts"]
    st.subheader(
        say(_("Difficulty")),
        anchor=False,
        help=say(_("By how wrong a simple model is about a record that it has not seen. The "
                   "training part is divided into thirds; their bounds hold for all parts.")),
    )  # fmt: skip
    used = [band for band in COUNTED if any(parts[part].get(band) for part in PARTS)]
    if used in ([], [UNKNOWN]):
        text = _("Nothing is known: label.suspects.enabled is off, or too little is labelled.")
        st.caption(say(text))
        return
    charts.show(
        charts.stacked(
            [(plain(PARTS[part]), plain(COUNTED[band]), parts[part].get(band, 0))
             for part in PARTS for band in used],
            _("share of the records of the part"),
            parts=[plain(COUNTED[band]) for band in used],
            shares=True,
        ),
        _("Bars: the share of easy, medium and hard records in each part."),
        key="split_bands",
    )  # fmt: skip


def leaks(project: Project) -> None:
    """Draw whether validation and test are known to the training part."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    text = _(
        "No text, no group and no cluster of near-duplicates stands in two parts: the stage "
        "compares what it is about to write, and would have stopped."
    )
    st.success(say(text), icon=":material/verified:")
    places = st.columns(3)
    places[0].metric(
        say(_("Families")),
        number(report["families"]),
        help=say(_("Records that belong together, by group or by likeness, go to one part.")),
    )
    found = report["alike"]["parts"]
    for place, name in zip(places[1:], ("validation", "test"), strict=True):
        one = found.get(name, {"checked": 0, "found": 0})
        label = _("{part}: almost a training text", part=PARTS[name])
        of = _("of {count} that were compared", count=number(one["checked"]))
        place.metric(say(label), number(one["found"]))
        place.caption(say(of))
    examples = report["alike"]["examples"]
    if not examples:
        st.caption(say(_("None of them is almost a training text.")))
        return
    st.subheader(say(_("Texts that are almost the same")), anchor=False)
    text = _("They are no duplicates by the rules of clean, so they stay. Keep them in mind.")
    st.caption(say(text))
    pairs(project, examples)


def pairs(project: Project, examples: list[Mapping[str, str]]) -> None:
    """Draw texts of validation and test beside the training texts that they are like."""
    known = reading.lookup(
        project.root / artifacts.part("train"), [one["train"] for one in examples], ["text"]
    )
    for one in examples:
        own = reading.lookup(project.root / artifacts.part(one["part"]), [one["id"]], ["text"])
        left, right = st.columns(2)
        for place, title, row in (
            (left, PARTS[one["part"]], own.get(one["id"])),
            (right, PARTS["train"], known.get(one["train"])),
        ):
            with place.container(border=True):
                st.caption(say(title))
                st.markdown(DASH if row is None else written(row["text"]))


def augmentation(project: Project) -> None:
    """Draw the varied copies of the training part."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    found = report["augmented"]
    if not found["wanted"]:
        text = _(
            "No copies are made: split.augment.enabled is off. Varied copies of training records "
            "help where a label has few; validation and test always stay as they are."
        )
        st.info(say(text), icon=":material/info:")
        return
    places = st.columns(2)
    places[0].metric(say(_("Copies wanted")), number(found["wanted"]))
    places[1].metric(say(_("Copies made")), number(found["made"]))
    if found["made"] < found["wanted"]:
        text = _("Some texts cannot be varied without becoming another known text.")
        st.caption(say(text))
    charts.show(
        charts.bars(
            {plain(METHODS.get(name, name)): count for name, count in found["methods"].items()},
            _("copies"),
        ),
        _("Bars: how many copies each method made."),
        key="split_methods",
    )
    copies(project, report["parts"]["train"])


def copies(project: Project, originals: int) -> None:
    """Draw some copies beside their originals.

    :param originals: how many there are; the copies stand behind them.
    """
    path = project.root / artifacts.part("train")
    some = reading.find(
        path,
        equals={"label_origin": AUGMENTED},
        start=originals,
        limit=EXAMPLES,
        columns=("text", "augmented_from"),
    ).frame
    if not len(some):
        return
    st.subheader(say(_("Examples")), anchor=False)
    known = reading.lookup(path, [str(one) for one in some["augmented_from"]], ["text"])
    for text, origin in zip(some["text"], some["augmented_from"], strict=True):
        before = known.get(str(origin), {}).get("text")
        if before is not None:
            st.markdown(marked(str(before), str(text)))


def records(project: Project) -> None:
    """Draw the records of a part."""
    part = st.segmented_control(
        say(_("Part")),
        tuple(PARTS),
        format_func=lambda name: plain(PARTS[name]),
        default="train",
        required=True,
        key="split_part",
    )
    report = reading.report(project, STAGE)
    counts = {} if report is None else report["labels"].get(part, {})
    listing = Listing(
        path=project.root / artifacts.part(str(part)),
        columns=(
            Column("text", _("Text"), width="large"),
            Column("label", _("Label"), width="small"),
            Column("band", _("Difficulty"), width="small"),
            Column("origin", _("Label by"), width="small"),
        ),
        more=(Column("source", _("Source")), Column("group", _("Group")),
              Column("augmented_from", _("Copy of")), Column("meta", _("Origin")),
              Column("id", _("Record"))),
        key=f"split_{part}",
        title=_("Records of the part"),
        filters=(
            *data_drawing.label_filter(project, counts),
            Filter("difficulty", _("Difficulty"), BANDS),
        ),
        words={"band": ("difficulty", BANDS), "origin": ("label_origin", ORIGINS)},
    )  # fmt: skip
    data_drawing.leaf(listing)
