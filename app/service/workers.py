"""The threads that read: texts into tokens, tokens into scores. All share the weights of a model.

On a CPU two threads that answer a batch each answer more than two that share one. The runtimes
compute without Python's lock, so that threads are enough.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.service.line import Job, Line, Text
from pipeline.predictor import MASK, SOME_TOKEN, BasePredictor, Predictor

NEGLIGIBLE = 1e-3  # of a logit: how far padding may move it; other kernels move it as well
PROBES = ("yes", "how late is it ?", "今天天气怎么样?", "the parcel that was late is here " * 5)
WARM = ((1, 8), (4, 16))  # texts and tokens that a new model is run with once

logger = logging.getLogger("mofang.service")

Scored = tuple[NDArray[np.float64], list[str]]  # scores, [texts, outputs], and what they decide
HandOver = Callable[[Sequence[Text], "Scored | None"], None]


def count(knob: int) -> int:
    """Return how many ``serve.workers`` means; 0 is one a core that this process may use."""
    return knob or len(os.sched_getaffinity(0))


def load(folder: Path, workers: int) -> list[Predictor]:
    """Load a model for workers: a predictor of one thread for each.

    :param workers: ``serve.workers``.
    :raises ModelError: if the folder is not whole.
    """
    return Predictor.team(folder, count(workers))


def warm(predictor: BasePredictor) -> None:
    """Run a model with a few shapes: kernels are compiled for each at first sight."""
    longest = predictor.card.max_tokens
    for texts, tokens in WARM:
        predictor.forward(np.full((texts, min(tokens, longest)), SOME_TOKEN, dtype=np.int64))


def logits_of(predictor: BasePredictor, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return the logits of texts in one run, [texts, outputs].

    :param tokens: of texts; where they differ in length the shorter ones are filled up, and the
        model is told not to look there.
    """
    lengths = np.array([len(one) for one in tokens])
    longest = int(lengths.max())
    ids = np.full((len(tokens), longest), SOME_TOKEN, dtype=np.int64)
    there = np.arange(longest) < lengths[:, None]
    ids[there] = np.concatenate(tokens)
    if there.all() or not isinstance(predictor, Predictor):
        return predictor.forward(ids)
    return predictor.forward(ids, there.astype(np.int64))


def padded_rightly(predictor: BasePredictor) -> bool:
    """Return whether texts of different length may share a batch of this model.

    Most models leave out what they are told to; some find the end of a text by its last token, and
    some scale by the whole batch. So it is tried: what a text scores beside longer ones must be
    what it scores alone.
    """
    if not isinstance(predictor, Predictor) or MASK not in predictor.engine.inputs:
        return False
    tokens = predictor.tokens(PROBES)
    try:
        together = logits_of(predictor, tokens)
        alone = np.concatenate([logits_of(predictor, [one]) for one in tokens])
    except Exception:  # each runtime has its own errors for shapes that a model cannot take
        logger.info("texts of different length do not share a batch of this model")
        return False
    return bool(np.abs(together - alone).max() <= NEGLIGIBLE)


class Worker(threading.Thread):
    """A thread with a model; it takes from the line until that is closed and empty.

    :param hand_over: takes a batch and its answers, or None where there are none.
    """

    def __init__(self, predictor: BasePredictor, line: Line, hand_over: HandOver) -> None:
        super().__init__(name="mofang-worker", daemon=True)
        self.predictor, self.line, self.hand_over = predictor, line, hand_over
        self.ready = threading.Event()

    def run(self) -> None:
        """Work."""
        try:
            warm(self.predictor)  # in this thread: runtimes keep what they prepare by thread
        except Exception:  # golden questions tell whether a model answers
            logger.exception("a model could not be run beforehand")
        self.ready.set()
        while True:
            jobs, batch = self.line.take()
            if jobs:
                self.read(jobs)
            elif batch:
                self.answer(batch)
            else:
                return

    def read(self, jobs: Sequence[Job]) -> None:
        """Turn the texts of requests into tokens."""
        for job in jobs:
            try:
                tokens = self.predictor.tokens(job.texts)
            except Exception:  # one request must not end the thread that answers all others
                logger.exception("a text could not be turned into tokens")
                self.hand_over([Text(job, 0, [])], None)
            else:
                self.line.add_texts([Text(job, at, one) for at, one in enumerate(tokens)])

    def answer(self, batch: Sequence[Text]) -> None:
        """Score a batch; when that fails each text by itself, so that one does not spoil others."""
        try:
            logits = logits_of(self.predictor, [one.tokens for one in batch])
            scores = self.predictor.scored(logits)
            card = self.predictor.card
            labels = self.predictor.task.decide(scores, card.thresholds)
        except Exception:  # whatever a runtime raises, the thread goes on
            logger.exception("a batch of %d texts could not be scored", len(batch))
            if len(batch) == 1:
                self.hand_over(batch, None)
            else:
                for one in batch:
                    self.answer([one])
        else:
            self.hand_over(batch, (scores, labels))
