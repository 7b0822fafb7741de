"""What training, measuring and predicting need to know of a task, and nothing else of it.

Its kinds stand in ``single_label``, ``multi_label`` and ``regression``; ``task.of`` returns one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, Text
from pipeline.i18n import _

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Figures = dict[str, float]
Target = int | float | list[float]
Quick = Callable[["NDArray[Any]", "NDArray[Any]"], Any]

LOSS = "loss"
SMALLER_IS_BETTER = frozenset({LOSS, "hamming_loss", "mae", "mse", "rmse", "brier", "ece"})


class Task:
    """A task: targets from label texts, answers from logits, figures and loss from both."""

    name: str
    problem_type: str  # transformers' config.problem_type
    main: str  # the figure by which models are compared
    answer_figures: tuple[str, ...]  # all that figures() gives, and the loss
    score_figures_named: tuple[str, ...]  # all that score_figures() gives where it can
    # Of coded truth and coded answers, fast enough for a bootstrap: a number for [n] records, an
    # array [samples] for [samples, n].
    quick: dict[str, Quick]

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.positions = {label: at for at, label in enumerate(self.labels)}

    @property
    def outputs(self) -> list[str]:
        """The names of the logits: the labels, or ``value`` for a number."""
        return self.labels

    @property
    def figures_named(self) -> tuple[str, ...]:
        """The names of all figures, of answers first; each once."""
        return tuple(dict.fromkeys((*self.answer_figures, *self.score_figures_named)))

    def greater_is_better(self, figure: str) -> bool:
        """Return whether a model with more of ``figure`` is the better one."""
        return figure not in SMALLER_IS_BETTER

    def target(self, text: str) -> Target:
        """Return what the loss takes for one label text.

        :raises DataError: if the text is no label of the task.
        """
        raise NotImplementedError

    def targets(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return the targets of many: int64 [n], float32 [n, labels] or float32 [n].

        :raises DataError: if a text is no label of the task.
        """
        raise NotImplementedError

    def activate(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Return scores from logits, both [n, outputs]."""
        raise NotImplementedError

    def decide(
        self, scores: NDArray[np.float64], thresholds: Mapping[str, float] | None = None
    ) -> list[str]:
        """Return the label text of each row of scores, [n, outputs].

        :param thresholds: label → probability from which it is given; one half where it is not
            named.
        """
        raise NotImplementedError

    def figures(self, truth: Sequence[str], predicted: Sequence[str]) -> Figures:
        """Return all figures about answers; those about scores are ``score_figures``."""
        raise NotImplementedError

    def score_figures(self, truth: Sequence[str], scores: NDArray[np.float64]) -> Figures:
        """Return all figures about scores, [n, outputs]; what cannot be said is left out."""
        raise NotImplementedError

    def confidences(
        self, truth: Sequence[str], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return what scores promise and whether it came true, two arrays of one shape.

        One label: the highest probability of each record, [n]. Several: each probability by
        itself, [n, labels]. A number promises nothing: two empty arrays.
        """
        raise NotImplementedError

    def log_loss(self, truth: Sequence[str], scores: NDArray[np.float64]) -> float:
        """Return the mean loss of scores, [n, outputs], without weights or smoothing."""
        raise NotImplementedError

    def coded(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return label texts as numbers, as ``quick`` takes them."""
        raise NotImplementedError

    def loss(self, logits: Any, targets: Any, *, knobs: Any, weights: Any = None) -> Any:
        """Return what training makes small, a torch scalar in fp32.

        :param logits: torch, [n, outputs].
        :param targets: torch, as ``targets`` gives them; for a number standardized by ``scaling``.
        :param knobs: section ``train.loss``.
        :param weights: torch, [labels], from ``class_weights``; None for none.
        """
        raise NotImplementedError

    def class_weights(self, targets: NDArray[Any], how: str) -> list[float] | None:
        """Return how much each label counts in the loss: ``none``, ``balanced`` or ``sqrt``.

        A label without a record weighs 1.
        """
        return None

    def scaling(self, targets: NDArray[Any]) -> tuple[float, float]:
        """Return mean and standard deviation by which training standardizes the targets."""
        return 0.0, 1.0


def no_label(text: str, allowed: Text) -> DataError:
    """Return the error for a label text that the task does not have."""
    return DataError.at(
        "label",
        found=repr(text),
        allowed=allowed,
        fix=_("Run dvc repro, so that records and model are of the same task."),
    )
