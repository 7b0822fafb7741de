"""What the test report comes to, in a few sentences that need no training to be understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.evaluation import fairness, naming
from pipeline.evaluation.intervals import MODEL
from pipeline.i18n import Message, _
from pipeline.steps.targets import MULTI, REGRESSION

TRUSTED, DOUBTED = 0.03, 0.10  # expected calibration error up to which confidences hold, or roughly
STEADY = 0.95  # share of answers that stay the same; less is worth a sentence of its own
NAMED = 5  # groups that one sentence names
MOST = 8  # sentences
MAIN_GAPS = ("accuracy_gap", "mae_gap")
OWN = ("label", "difficulty")  # weakest speaks of the first; the second is hard by its definition

Report = Mapping[str, Any]


def verdict(report: Report) -> list[Message]:
    """Return four to eight sentences: how good, how sure, better than cheap ones, and for whom.

    :param report: of the stage test, see ``judging``.
    """
    ways = (quality, worth, weakest, weakness, fair, claims, trust, steadiness, more_data)
    return [said for way in ways if (said := way(report)) is not None][:MOST]


def quality(report: Report) -> Message:
    """Return how good the model is, and how sure that is."""
    found, task = report["figures"], report["task"]
    certain = report["intervals"][MODEL]
    of = {"records": report["records"], "confidence": naming.percent(report["confidence"])}
    if task == REGRESSION:
        low, high = certain["mae"]
        return _("On {records} texts that it had never seen, the model is off by {mae} on average "
                 "({confidence} interval {low} to {high}); it explains {share}% of the "
                 "differences between the numbers.",
                 mae=naming.number(found["mae"]), low=naming.number(low),
                 high=naming.number(high), share=naming.share(max(0.0, found["r2"])), **of,
                 )  # fmt: skip
    figure = "subset_accuracy" if task == MULTI else "accuracy"
    low, high = certain[figure]
    values = {"right": naming.share(found[figure]), "low": naming.share(low),
              "high": naming.share(high), **of}  # fmt: skip
    if task == MULTI:
        return _("Of 100 texts that it has never seen, the model gives about {right} exactly their "
                 "labels ({confidence} interval {low} to {high}, from {records} records); its "
                 "macro-F1 is {f1}.", f1=naming.number(found["macro_f1"]), **values)  # fmt: skip
    return _("Of 100 texts that it has never seen, the model answers about {right} right "
             "({confidence} interval {low} to {high}, from {records} records).",
             **values)  # fmt: skip


def worth(report: Report) -> Message:
    """Return whether the model earns its price beside the best cheap model."""
    told = report["worth_it"]
    low, high = told["difference"]
    values = {"figure": naming.figure(told["figure"]),
              "baseline": naming.baseline(told["baseline"]),
              "low": f"{low:+.3f}", "high": f"{high:+.3f}"}  # fmt: skip
    if told["answer"] == "yes":
        return _("It is worth its price: it is ahead of the best cheap model, {baseline} "
                 "(difference in {figure}: {low} to {high}).", **values)  # fmt: skip
    if told["answer"] == "no":
        return _("It is not worth its price: {baseline}, which costs next to nothing, is as good "
                 "or better (difference in {figure}: {low} to {high}).", **values)  # fmt: skip
    return _("Whether it is worth its price is not certain: beside {baseline}, which costs next to "
             "nothing, the difference in {figure} lies between {low} and {high}.",
             **values)  # fmt: skip


def weakest(report: Report) -> Message | None:
    """Return the label, or the band of numbers, that is answered worst."""
    table = {name: line for name, line in report["per_label"].items() if line["records"]}
    if len(table) < 2:
        return None
    if report["task"] == REGRESSION:
        name = max(table, key=lambda one: table[one]["mae"])
        return _("It is furthest off where the number is {band}: by {mae} on average "
                 "({records} records).",
                 band=naming.band(name), records=int(table[name]["records"]),
                 mae=naming.number(table[name]["mae"]))  # fmt: skip
    name = min(table, key=lambda one: table[one]["f1"])
    line = table[name]
    values = {
        "label": name,
        "recall": naming.share(line["recall"]),
        "least": report["min_records"],
        "precision": naming.share(line["precision"]),
        "records": int(line["records"]),
    }
    if line["records"] < report["min_records"]:
        return _("Its weakest label is {label}: it finds {recall} of 100 such texts, and of 100 "
                 "that it calls so {precision} are; with only {records} records that is far from "
                 "certain.", **values)  # fmt: skip
    return _("Its weakest label is {label}: it finds {recall} of 100 such texts, and of 100 that "
             "it calls so {precision} are.", **values)  # fmt: skip


def weakness(report: Report) -> Message | None:
    """Return the group in which the model is certainly weaker than on the whole, if there is one.

    Certainly: the whole interval of the group lies on the worse side of the figure of all records.
    Groups by label are left to ``weakest``.
    """
    worse = [one for one in usable(report) if one["column"] not in OWN and one["behind"] > 0]
    if not worse and fair(report) is not None:  # which says the same of the groups that matter most
        return None
    if not worse:
        return _("No other group of texts that is large enough to tell is clearly weaker than the "
                 "whole.")  # fmt: skip
    found = max(worse, key=lambda one: one["distance"])
    return _("It is clearly weaker where {column} is {group}: {figure} {value} instead of {all} "
             "({records} records).",
             column=naming.column(found["column"]), figure=naming.figure(found["figure"]),
             group=naming.group(found["group"], found["column"], report["task"]),
             value=naming.number(found["value"]), all=naming.number(found["all"]),
             records=int(found["records"]))  # fmt: skip


def usable(report: Report) -> Iterator[dict[str, Any]]:
    """Yield each group that is large enough, with how far it is behind the whole.

    ``distance`` is that of the figures, ``behind`` that of the group's better end: above 0 only
    where the group is certainly worse.
    """
    for column, groups in report["slices"].items():
        for group, line in groups.items():
            figure = line["figure"]
            if line["small"] or figure not in report["figures"]:
                continue
            everyone = float(report["figures"][figure])
            greater = figure not in report["smaller_is_better"]
            better_end = line["high"] if greater else line["low"]
            sign = 1 if greater else -1
            yield {
                "column": column, "group": group, "figure": figure, "records": line["records"],
                "value": line[figure], "all": everyone,
                "distance": sign * (everyone - line[figure]),
                "behind": sign * (everyone - better_end),
            }  # fmt: skip


def steadiness(report: Report) -> Message | None:
    """Return whether the model answers the same when a text is written a little differently."""
    tried = {kind: line for kind, line in report["robustness"].items() if "skipped" not in line}
    if not tried:
        return None
    kind = min(tried, key=lambda one: tried[one]["same_answer"])
    values = {"share": naming.share(tried[kind]["same_answer"]), "kind": naming.disturbance(kind)}
    if tried[kind]["same_answer"] < STEADY:
        return _("It is sensitive to how a text is written: with {kind}, only {share} of 100 "
                 "answers stay the same.", **values)  # fmt: skip
    return _("It is steady: even with {kind}, which disturb it most, {share} of 100 answers stay "
             "the same.", **values)  # fmt: skip


def trust(report: Report) -> Message | None:
    """Return whether a confidence means what it says."""
    error = report["figures"].get("ece")
    if error is None:
        return None
    points = f"{100 * error:.1f}"
    if error <= TRUSTED:
        return _("Its confidences can be taken at their word: they are {points} points off on "
                 "average.", points=points)  # fmt: skip
    if error <= DOUBTED:
        return _("Its confidences are roughly right: they are {points} points off on average.",
                 points=points)  # fmt: skip
    return _("Do not rely on its confidences: they are {points} points off on average.",
             points=points)  # fmt: skip


def more_data(report: Report) -> Message | None:
    """Return whether more training records would be worth their price."""
    curve = report["learning_curve"]
    if curve is None or not curve["points"]:
        return None
    if curve["worth"] == "unknown" or curve["doubled"] is None:
        return _("Whether more training records would help cannot be told from these.")
    gain = abs(curve["doubled"] - curve["points"][-1]["mean"])
    values = {"figure": naming.figure(report["main"]), "gain": naming.number(gain)}
    if curve["worth"] == "yes":
        return _("More training records are worth it: a cheap model would gain about {gain} in "
                 "{figure} from twice as many.", **values)  # fmt: skip
    return _("More training records of the same kind would bring little: a cheap model would gain "
             "about {gain} in {figure} from twice as many.", **values)  # fmt: skip


def fair(report: Report) -> Message | None:
    """Return the widest gap between groups of a declared column, where a claim can be made."""
    found = {
        column: next(entry["claim"][name]["value"] for name in MAIN_GAPS if name in entry["claim"])
        for column, entry in report["fairness"].items()
        if any(name in (entry["claim"] or {}) for name in MAIN_GAPS)
    }
    if not found:
        return None
    column = max(found, key=lambda one: found[one])
    return fairness.explained(column, report["fairness"][column])


def claims(report: Report) -> Message | None:
    """Return for whom nothing can be said: groups of fewer records than a claim needs."""
    small = [
        _("{column} {group}", column=naming.column(column),
          group=naming.group(group, column, report["task"]))
        for column, groups in report["slices"].items()
        for group, line in groups.items() if line["small"]
    ]  # fmt: skip
    if not small:
        return None
    values = {"least": report["min_records"], "groups": listed(small[:NAMED])}
    if len(small) > NAMED:
        return _("No claim is made for groups of fewer than {least} records: {groups} and {more} "
                 "more.", more=len(small) - NAMED, **values)  # fmt: skip
    return _("No claim is made for groups of fewer than {least} records: {groups}.", **values)


def listed(messages: Sequence[Message]) -> Message:
    """Return one to many phrases as one."""
    found = messages[0]
    for one in messages[1:]:
        found = _("{some}, {next}", some=found, next=one)
    return found
