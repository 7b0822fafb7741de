"""What the test report shows, section by section; how it looks stands in ``pages``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import Text
from pipeline.evaluation import blocks, evidence, fairness, gates, naming, robustness, wrong
from pipeline.evaluation.blocks import Block, Cell, Picture, Say, Section, Table
from pipeline.evaluation.intervals import MODEL
from pipeline.evaluation.plots import CAPTIONS
from pipeline.i18n import Message, _
from pipeline.steps.targets import MULTI, REGRESSION

Report = Mapping[str, Any]
MATRIX = 12  # labels of a matrix that is still read as a table
LEAST_P = 0.0001  # smaller ones are not told apart


def sections(report: Report, pictures: list[str]) -> list[Section]:
    """Return every section that has something to show.

    :param report: of the stage test.
    :param pictures: names of the plots that were drawn.
    """
    ways = (beside, by_label, confused, by_group, fair, steady, calibrated, curve, wrong.errors,
            judged, overall, glossary)  # fmt: skip
    made = [way(report) for way in ways]
    for section in made:
        section.blocks[:] = [
            one for one in section.blocks if not isinstance(one, Picture) or one.name in pictures
        ]
    return [one for one in made if one.blocks]


def picture(name: str) -> Picture:
    """Return a plot with its caption."""
    return Picture(name, CAPTIONS[name])


def overall(report: Report) -> Section:
    """Return all figures of the model, with intervals where they were drawn."""
    certain = report["intervals"][MODEL]
    rows = []
    for name, value in report["figures"].items():
        ends = certain.get(name)
        cell = blocks.number(value)
        if ends:
            cell = blocks.interval(value, *ends, drawn=name not in report["smaller_is_better"])
        better = _("less is better") if name in report["smaller_is_better"] else _("more is better")
        rows.append([Cell(naming.figure(name)), cell, Cell(better)])
    confidence = naming.percent(report["confidence"])
    said = _("Measured on {records} records of the test part, which nobody looked at while the "
             "model was made. In brackets stands the {confidence} interval.",
             records=f"{report['records']:,}", confidence=confidence)  # fmt: skip
    header = (_("Figure"), _("Value"), _("Direction"))
    return Section("figures", _("All figures"), [
        Say(said), Table(_("Figures of the model on the test part"), header, rows),
    ])  # fmt: skip


def beside(report: Report) -> Section:
    """Return the model beside each cheap model."""
    sure, quick = report["intervals"], list(report["intervals"][MODEL])
    models = {MODEL: report["figures"]} | report["baselines"]
    rows = []
    for kind, figures in models.items():
        shown: Text = _("the model") if kind == MODEL else kind
        cells = [
            blocks.interval(figures[key], *sure[kind][key],
                            drawn=key not in report["smaller_is_better"])
            for key in quick
        ]  # fmt: skip
        rows.append([Cell(shown), *cells])
    pairs = []
    for kind in report["baselines"]:
        low, high = sure[f"{MODEL} - {kind}"][report["main"]]
        difference = report["figures"][report["main"]] - report["baselines"][kind][report["main"]]
        test = report["significance"].get(kind)
        shown = _("{baseline}, the one to beat", baseline=kind)
        cells = [
            Cell(shown if kind == report["strongest"] else kind),
            Cell(f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]", numeric=True),
        ]
        if report["task"] != REGRESSION:
            cells += [Cell("–")] * 3 if test is None else [
                blocks.count(test["b"]), blocks.count(test["c"]), Cell(chance(test["p"]), True)
            ]  # fmt: skip
        pairs.append(cells)
    header: list[Text] = [_("Cheap model"), _("Difference in {figure}",
                          figure=naming.figure(report["main"]))]  # fmt: skip
    if report["task"] != REGRESSION:
        header += [_("only the model is right"), _("only the cheap one is right"), _("McNemar's p")]
    return Section("baselines", _("Beside cheap models"), [
        Say(_("A cheap model costs next to nothing. Only what the model adds to the best one is "
              "worth paying for.")),
        Table(_("Model and cheap models on the same records"),
              [_("Model"), *(naming.figure(key) for key in quick)], rows),
        Table(_("Differences on the same records: the model less the cheap one"), header, pairs),
    ])  # fmt: skip


def chance(p: float) -> str:
    """Return a p value."""
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.4f}"


def by_label(report: Report) -> Section:
    """Return the figures of each label, or of each band of numbers."""
    table, task = report["per_label"], report["task"]
    if task == REGRESSION:
        header = [_("Numbers"), naming.figure("mae"), naming.figure("mean_error"), _("Records")]
        rows = [
            [Cell(naming.band(name)), blocks.number(line["mae"]),
             blocks.number(line["mean_error"]), blocks.count(line["records"])]
            for name, line in table.items()
        ]  # fmt: skip
        said = _("Numbers are put into bands of about as many records. A mean error above 0 says "
                 "that answers are too high.")  # fmt: skip
        title, caption = _("By size of the number"), _("Errors by size of the number")
        return Section("labels", title, [picture("per_label"), Say(said),
                                         Table(caption, header, rows)])  # fmt: skip
    header = [_("Label"), *(naming.figure(key) for key in ("precision", "recall", "f1")),
              _("Records")]  # fmt: skip
    rows = [
        [Cell(name), *(blocks.share(line[key]) for key in ("precision", "recall", "f1")),
         blocks.count(line["records"])]
        for name, line in table.items()
    ]  # fmt: skip
    said = _("Precision: of the texts that the model calls so, how many are. Recall: of the texts "
             "that are so, how many it finds.")  # fmt: skip
    return Section("labels", _("By label"), [
        picture("per_label"), Say(said), Table(_("Figures of each label"), header, rows)
    ])  # fmt: skip


def confused(report: Report) -> Section:
    """Return what was taken for what."""
    found: list[Block] = [picture("confusion")]
    task, table = report["task"], report["confusion"]
    if task != MULTI and len(table["labels"]) <= MATRIX:
        names = [naming.label(one, task) for one in table["labels"]]
        rows = [
            [Cell(name), *(blocks.count(one) for one in counts)]
            for name, counts in zip(names, table["counts"], strict=True)
        ]
        caption = _("Rows: what it was; columns: what it was taken for")
        found.append(Table(caption, [_("was"), *names], rows))
    if report["confused"]:
        header = [_("Was"), _("Was taken for"), _("Records"), _("Share of such records")]
        rows = [
            [Cell(side(one["actual"], task)), Cell(side(one["predicted"], task)),
             blocks.count(one["records"]), blocks.share(one["share"])]
            for one in report["confused"]
        ]  # fmt: skip
        found.append(Table(_("The most frequent confusions"), header, rows))
    return Section("confusions", _("What is taken for what"), found)


def side(name: str | None, task: str) -> Text:
    """Return one side of a confusion; of several labels the other side is that it is not there."""
    return _("without it") if name is None else naming.label(name, task)


def by_group(report: Report) -> Section:
    """Return the figures of groups of records, column by column; labels have their own section."""
    found: list[Block] = []
    for column, groups in report["slices"].items():
        if column == "label" or len(groups) < 2:  # one group is all records once more
            continue
        figure = next(iter(groups.values()))["figure"]
        drawn = figure not in report["smaller_is_better"]
        noted = any(line["small"] for line in groups.values())
        rows = []
        for name, line in groups.items():
            mark: Text = _("too small for a claim") if line["small"] else ""
            rows.append([
                Cell(naming.group(name, column, report["task"])), blocks.count(line["records"]),
                blocks.interval(line[figure], line["low"], line["high"], drawn=drawn),
                *([Cell(mark)] if noted else []),
            ])  # fmt: skip
        header = [naming.column(column), _("Records"), naming.figure(figure)]
        header += [_("Note")] if noted else []
        caption = _("By {column}", column=naming.column(column))
        found.append(Table(caption, header, rows))
    if found:
        said = _("Groups of fewer than {least} records are shown and make no claim. Among many "
                 "groups one may look weak by chance alone: look at the interval.",
                 least=report["min_records"])  # fmt: skip
        found = [picture("slices"), Say(said), *found]
    return Section("groups", _("For which texts"), found)


def fair(report: Report) -> Section:
    """Return the gaps between groups of the columns that the user declared."""
    title = _("For whom: fairness")
    if not report["declared"]:
        said = _("No column is declared for which answers should be alike. Name columns in "
                 "params.yaml, validate.groups.columns, to compare them.")  # fmt: skip
        return Section("fairness", title, [Say(said)])
    found: list[Block] = []
    for column, entry in report["fairness"].items():
        found.append(Say(fairness.explained(column, entry)))
        header = [_("Gap"), _("Value"), _("Lowest group"), _("Highest group"), _("Label")]
        rows = [
            [Cell(GAPS.get(name, name)),
             blocks.interval(gap["value"], gap["low"], gap["high"], drawn=False),
             Cell(naming.group(gap["lowest"], column, report["task"])),
             Cell(naming.group(gap["highest"], column, report["task"])),
             Cell(gap.get("label", "–"))]
            for name, gap in (entry["claim"] or {}).items()
        ]  # fmt: skip
        if rows:
            caption = _("Gaps between groups by {column}", column=naming.column(column))
            found.append(Table(caption, header, rows))
        if entry["small"]:
            names = ", ".join(entry["small"])
            found.append(Say(_("Not compared, because they are too small: {groups}.",
                               groups=names)))  # fmt: skip
    return Section("fairness", title, found)


GAPS: dict[str, Message] = {
    "accuracy_gap": _("accuracy: highest less lowest"),
    "demographic_parity_gap": _("how often a label is given: highest less lowest"),
    "demographic_parity_ratio": _("how often a label is given: lowest by highest"),
    "equalized_odds_gap": _("rates of right and of wrong labels: highest less lowest"),
    "mean_prediction_gap": _("mean answer: highest less lowest"),
    "mae_gap": _("mean absolute error: highest less lowest"),
    "mean_error_gap": _("mean error: highest less lowest"),
}


def steady(report: Report) -> Section:
    """Return whether answers stay the same when texts are written differently."""
    found: list[Block] = []
    rows, examples = [], []
    for kind, line in report["robustness"].items():
        if "skipped" in line:
            found.append(Say(_("Left out, {kind}: {reason}.", kind=naming.disturbance(kind),
                               reason=robustness.REASONS[line["skipped"]])))  # fmt: skip
            continue
        figures = line["figures"]
        rows.append([
            Cell(naming.disturbance(kind)), blocks.count(line["records"]),
            blocks.interval(line["same_answer"], line["low"], line["high"], drawn=True),
            blocks.number(figures["before"]), blocks.number(figures["after"]),
        ])  # fmt: skip
        examples += [
            [Cell(naming.disturbance(kind)), Cell(one["text"]), Cell(one["changed"]),
             Cell(naming.answer(one["before"], report["task"])),
             Cell(naming.answer(one["after"], report["task"]))]
            for one in line["examples"]
        ]  # fmt: skip
    if rows:
        name = naming.figure(report["main"])
        header = [_("What was changed"), _("Records"), _("Same answer"),
                  _("{figure} before", figure=name), _("{figure} after", figure=name)]  # fmt: skip
        found = [picture("robustness"), Table(_("Answers after small changes of the text"),
                                              header, rows), *found]  # fmt: skip
    if examples:
        header = [_("What was changed"), _("Text"), _("Changed text"), _("Answer before"),
                  _("Answer after")]  # fmt: skip
        found.append(Table(_("Texts whose answer changed"), header, examples))
    return Section("robustness", _("Written a little differently"), found)


def calibrated(report: Report) -> Section:
    """Return whether confidences mean what they say."""
    told = report["calibration"]
    if not told["curve"]:
        return Section("calibration", _("Can confidences be trusted"))
    header = [_("Confidence"), _("Share of right answers"), _("Answers")]
    rows = [
        [blocks.share(one["confidence"]), blocks.share(one["accuracy"]),
         blocks.count(one["records"])]
        for one in told["curve"]
    ]  # fmt: skip
    found: list[Block] = [
        picture("reliability"),
        Say(_("A confidence of 0.8 should be right in 80 of 100 cases. Confidences are divided by "
              "a temperature of {temperature}, which was fitted on the validation part.",
              temperature=f"{told['temperature']:.3f}")),
        Table(_("Confidence and how often it was right"), header, rows),
    ]  # fmt: skip
    if told["thresholds"]:
        rows = [[Cell(name), blocks.number(at)] for name, at in told["thresholds"].items()]
        caption = _("From which probability a label is given")
        found.append(Table(caption, [_("Label"), _("Probability")], rows))
    return Section("calibration", _("Can confidences be trusted"), found)


def curve(report: Report) -> Section:
    """Return what more data would bring."""
    told = report["learning_curve"]
    if not told or not told["points"]:
        return Section("learning-curve", _("Is more data worth it"))
    header = [_("Training records"), naming.figure(report["main"]), _("Lowest draw"),
              _("Highest draw")]  # fmt: skip
    rows = [
        [blocks.count(one["records"]), *(blocks.number(one[key]) for key in ("mean", "low",
                                                                            "high"))]
        for one in told["points"]
    ]  # fmt: skip
    if told["doubled"] is not None:
        twice = f"{2 * int(told['points'][-1]['records']):,}"
        rows.append([Cell(_("{records}, expected", records=twice)),
                     blocks.number(told["doubled"]), Cell("–", True), Cell("–", True)])  # fmt: skip
    said = _("Told by the cheap model {model} on the validation part: the shape of the curve "
             "counts, not its height.", model=told["model"])  # fmt: skip
    return Section("learning-curve", _("Is more data worth it"), [
        picture("learning_curve"), Say(said),
        Table(_("Figures by number of training records"), header, rows),
    ])  # fmt: skip


def judged(report: Report) -> Section:
    """Return the gates that the model passed on the validation part, and what that part chose."""
    title = _("Gates, on the validation part")
    if not report["gates"]:
        return Section("gates", title)
    rows = []
    for one in report["gates"]:
        name = one["figure"] if one["group"] is None else f"{one['figure']}[{one['group']}]"
        result = _("passed") if one["passed"] else _("failed")
        if one["skipped"]:
            result = gates.SKIPPED[one["skipped"]]
        rows.append([Cell(f"{name} {one['sign']} {one['bound']:.4g}"),
                     blocks.number(one["found"], 4), Cell(result)])  # fmt: skip
    found: list[Block] = [
        Table(_("Every gate and what was found"), [_("Gate"), _("Found"), _("Result")], rows)
    ]
    known = {text.render("en"): text for text in evidence.TUNED.values()}
    for name in report["tuned_on_validation"]:
        found.append(Say(_("Chosen by these very records, which flatters their figures: {what}.",
                           what=known.get(name, name))))  # fmt: skip
    return Section("gates", title, found)


def glossary(report: Report) -> Section:
    """Return what the figures of this report mean."""
    always = () if report["task"] == REGRESSION else ("precision", "recall", "f1")
    shown = [one for one in naming.EXPLAINED if one in report["figures"] or one in always]
    rows = [[Cell(naming.figure(one)), Cell(naming.EXPLAINED[one])] for one in shown]
    return Section("glossary", _("What the figures mean"), [
        Table(_("Figures in plain words"), [_("Figure"), _("Meaning")], rows)
    ])  # fmt: skip
