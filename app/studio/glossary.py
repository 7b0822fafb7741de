"""The field's words, each in a sentence: those of the pipeline, and of the figures it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import Text
from pipeline.evaluation.naming import EXPLAINED, FIGURES
from pipeline.i18n import Message, _


@dataclass(frozen=True)
class Term:
    """A word and what it means."""

    word: Message
    meaning: Message


PIPELINE: Sequence[Term] = (
    Term(_("record"), _("One text with what belongs to it: its label, its source, its time.")),
    Term(_("label"), _("The answer that a record should get, such as a topic.")),
    Term(_("annotator"), _("Somebody who gives labels.")),
    Term(_("agreement"), _("How far annotators give the same label to the same record, beyond "
                           "chance.")),
    Term(_("adjudication"), _("Settling a record about which annotators disagree.")),
    Term(_("suspect"), _("A record whose label looks wrong to a model that was trained on the "
                         "others.")),
    Term(_("training part"), _("The records that the model learns from.")),
    Term(_("validation part"), _("Records that the model does not learn from, by which settings "
                                 "are chosen and gates are judged.")),
    Term(_("test part"), _("Records that nobody looks at before the end: they tell how good the "
                           "model is with texts it has never seen.")),
    Term(_("leak"), _("A record of the test that the training knows already, so that the result "
                      "looks better than it is.")),
    Term(_("augmentation"), _("Making more training records by changing existing ones a little.")),
    Term(_("tokens"), _("The pieces of words that a model reads.")),
    Term(_("epoch"), _("One pass of the training over all its records.")),
    Term(_("batch"), _("The records that are learnt from at once; larger is faster and needs more "
                       "memory.")),
    Term(_("learning rate"), _("How far one step of the training changes the model. Too large does "
                               "not settle, too small takes long.")),
    Term(_("loss"), _("What the training makes small: how surprised the model is by the right "
                      "answers.")),
    Term(_("overfitting"), _("Learning the training records by heart, and getting worse with new "
                             "ones.")),
    Term(_("baseline"), _("A cheap model that the real one has to beat, or it is not worth its "
                          "price.")),
    Term(_("gate"), _("A figure that the model must reach; if it does not, the run stops.")),
    Term(_("interval"), _("Between which values a figure most likely lies, given how few records "
                          "it was measured on.")),
    Term(_("confidence"), _("How sure the model says it is of an answer.")),
    Term(_("calibration"), _("Making confidences mean what they say: of 100 answers with 90 %, "
                             "about 90 are right.")),
    Term(_("slice"), _("A group of records, such as long texts, that is judged by itself.")),
    Term(_("fairness"), _("That no group of people gets clearly worse answers than the others.")),
    Term(_("quantization"), _("Storing the model's numbers with fewer bits: smaller and faster, at "
                              "a small loss.")),
    Term(_("release"), _("A copy of a model that can be served and is never changed.")),
    Term(_("canary"), _("A release that answers a small share of the requests, to see how it "
                        "does.")),
    Term(_("blue-green"), _("Switching all requests from one release to another at once, with the "
                            "earlier one ready to come back.")),
    Term(_("drift"), _("That what people send moves away from what the model was trained on.")),
    Term(_("stage"), _("One step of a run, from collecting data to making the model small.")),
    Term(_("run"), _("Bringing all stages up to date; only what a change touches works again.")),
    Term(_("commit"), _("A saved state in Git, with who made it and why.")),
)  # fmt: skip


def terms() -> list[Term]:
    """Return all words: the pipeline's in the order of a run, then the figures."""
    figures = [Term(FIGURES[name], EXPLAINED[name]) for name in EXPLAINED if name in FIGURES]
    return [*PIPELINE, *figures]


def found(wanted: str, plain: Callable[[Text], str]) -> list[Term]:
    """Return the words that hold what somebody looks for, in word or meaning.

    :param plain: puts a text into the reader's language.
    """
    looked = wanted.strip().casefold()
    return [
        term
        for term in terms()
        if looked in plain(term.word).casefold() or looked in plain(term.meaning).casefold()
    ]
