"""What figures, columns and groups are called where people read, and what a figure means."""

from __future__ import annotations

import re

from pipeline.errors import Text
from pipeline.i18n import Message, _
from pipeline.steps.targets import JOINT, MULTI, REGRESSION

FIGURES: dict[str, Message] = {
    "accuracy": _("accuracy"),
    "balanced_accuracy": _("balanced accuracy"),
    "subset_accuracy": _("exact match"),
    "hamming_loss": _("share of wrong entries"),
    "macro_precision": _("precision, mean over labels"),
    "macro_recall": _("recall, mean over labels"),
    "macro_f1": _("macro-F1"),
    "micro_precision": _("precision, over all"),
    "micro_recall": _("recall, over all"),
    "micro_f1": _("micro-F1"),
    "weighted_precision": _("precision, labels weighted by records"),
    "weighted_recall": _("recall, labels weighted by records"),
    "weighted_f1": _("weighted F1"),
    "samples_precision": _("precision, mean over records"),
    "samples_recall": _("recall, mean over records"),
    "samples_f1": _("F1, mean over records"),
    "worst_class_recall": _("recall of the weakest label"),
    "worst_class_f1": _("F1 of the weakest label"),
    "matthews": _("Matthews correlation"),
    "roc_auc": _("area under the ROC curve"),
    "pr_auc": _("area under the precision-recall curve"),
    "brier": _("Brier score"),
    "ece": _("expected calibration error"),
    "loss": _("log loss"),
    "mae": _("mean absolute error"),
    "mse": _("mean squared error"),
    "rmse": _("root mean squared error"),
    "r2": _("R²"),
    "pearson": _("Pearson correlation"),
    "spearman": _("rank correlation (Spearman)"),
    "mean_error": _("mean error"),
    "precision": _("precision"),
    "recall": _("recall"),
    "f1": _("F1"),
    "records": _("records"),
}

BASELINES: dict[str, Message] = {
    "majority": _("the most frequent answer"),
    "logistic_regression": _("logistic regression on words"),
    "linear_svc": _("linear support vectors on words"),
    "frozen": _("frozen encoder, new head"),
}

EXPLAINED: dict[str, Message] = {
    "accuracy": _("How many of all answers are right."),
    "balanced_accuracy": _("The mean of the labels' recalls: a rare label counts as much as a "
                           "frequent one."),
    "subset_accuracy": _("How many records got exactly their labels, none missing, none too much."),
    "hamming_loss": _("Of all pairs of a record and a label, how many are wrong; less is better."),
    "precision": _("Of the texts that the model calls so, how many are."),
    "recall": _("Of the texts that are so, how many the model finds."),
    "f1": _("The harmonic mean of precision and recall: high only when both are."),
    "macro_f1": _("The mean of the labels' F1: each label counts the same, however rare."),
    "micro_f1": _("F1 counted over all entries together: frequent labels count more."),
    "matthews": _("From -1 to 1; 0 is guessing. It is high only when every label is answered "
                  "well."),
    "roc_auc": _("How often a text with the label scores above one without it; 0.5 is guessing."),
    "pr_auc": _("Precision averaged over all thresholds; telling where a label is rare."),
    "loss": _("How much probability the truth was denied; less is better."),
    "brier": _("Squared distance between probabilities and the truth; less is better."),
    "ece": _("How far confidence and the share of right answers lie apart; 0.02 means two points."),
    "mae": _("How far off an answer is on average; less is better."),
    "mse": _("The mean of the squared errors; large errors count more; less is better."),
    "rmse": _("The root of the mean squared error: large errors count more than in the mean "
              "absolute error; less is better."),
    "r2": _("Which share of the differences between the numbers the model explains; 0 is the mean "
            "alone."),
    "spearman": _("Whether the answers rank the texts as the truth does, from -1 to 1."),
}  # fmt: skip

COLUMNS: dict[str, Message] = {
    "label": _("label"),
    "difficulty": _("difficulty"),
    "length": _("length in characters"),
    "source": _("source"),
    "language": _("language"),
}

DISTURBANCES: dict[str, Message] = {
    "typing": _("typing errors"),
    "case": _("changed case"),
    "punctuation": _("changed punctuation"),
    "synonyms": _("synonyms"),
}

GROUPS: dict[str, Message] = {
    "(none)": _("(none)"),
    "(other)": _("(other)"),
    "all": _("all"),
    "easy": _("easy"),
    "medium": _("medium"),
    "hard": _("hard"),
}
OWN = ("difficulty",)  # columns whose groups Mofang names itself; in others only those in brackets
BAND = re.compile(r"(?:(below|from) (\S+)|(\S+) to (\S+)|all)")


def baseline(name: str) -> Text:
    """Return what a cheap model is called."""
    return BASELINES.get(name, name)


def figure(name: str) -> Text:
    """Return what a figure is called; one that is not known keeps its name."""
    return FIGURES.get(name, name)


def column(name: str) -> Text:
    """Return what a column is called; one of the user's keeps its name."""
    return COLUMNS.get(name, name)


def disturbance(name: str) -> Text:
    """Return what a disturbance of a text is called."""
    return DISTURBANCES.get(name, name)


def group(name: str, of: str, task: str) -> Text:
    """Return what a group of a column is called.

    :param of: the column; a user's own group ``easy`` stays what the user wrote.
    """
    if of == "label" and task == REGRESSION:
        return band(name)
    if of in OWN or (name.startswith("(") and name in GROUPS):
        return GROUPS.get(name, name)
    return name


def label(name: str, task: str) -> Text:
    """Return what a label of the task is called: itself, or the band of a number."""
    return band(name) if task == REGRESSION else name


def answer(text: str, task: str) -> Text:
    """Return an answer as people read it; no label at all is said so."""
    if task == MULTI:
        return text.replace(JOINT, ", ") if text else _("no label")
    return text


def band(name: str) -> Text:
    """Return a band of numbers (``metrics.bands``) in words."""
    match = BAND.fullmatch(name)
    if match is None:
        return name
    side, edge, low, high = match.groups()
    if side == "below":
        return _("below {number}", number=edge)
    if side == "from":
        return _("from {number}", number=edge)
    return _("{low} to {high}", low=low, high=high) if low else GROUPS["all"]


def share(value: float) -> str:
    """Return a share as so many of 100, never as all or none where it is not quite."""
    rounded = f"{100 * value:.0f}"
    return f"{100 * value:.1f}" if rounded in ("0", "100") and 0 < value < 1 else rounded


def number(value: float | None) -> str:
    """Return a figure with three digits behind the point, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def percent(value: float) -> str:
    """Return a share of one in percent, as short as it can be."""
    return f"{100 * value:g}%"
