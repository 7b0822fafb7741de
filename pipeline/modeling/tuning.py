"""A search over knobs: which values come next, what became of each trial, which are the best.

All is kept in one SQLite file (optuna's), so a search that was killed goes on where it was. Each
draw has a seed of its own, made of the search's seed and of how many draws were concluded before
it: what a resumed search tries is what an uninterrupted one would have tried.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BusyError, MofangError, StorageError
from pipeline.modeling.ranges import Range, Value

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

Values = dict[str, Value]
Watch = Callable[[float, Mapping[str, float]], None]
Attempt = Callable[[Values, Watch], float]

DATABASE = "study.db"
NAME = "mofang"
VALUES, REASON, DREW, STOPPED = "values", "reason", "drew", "stopped"  # noted with each trial
DEATHS = 3  # of the process with the same values: they are to blame, and not tried again
UNPRUNED = 5  # trials whose median is needed before one is stopped early
REASON_LENGTH = 300
DONE, PRUNED, FAILED, INTERRUPTED = "done", "pruned", "failed", "interrupted"


class Tuning:
    """A search that may have begun in an earlier process."""

    def __init__(
        self,
        folder: Path,
        ranges: Sequence[Range],
        knobs: Any,
        *,
        metric: str,
        greater_is_better: bool,
    ) -> None:
        """Open the search below ``folder``, or begin it.

        :param knobs: section ``search``.
        :param metric: the figure that is compared.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        self.ranges, self.knobs, self.metric = list(ranges), knobs, metric
        self.greater_is_better = greater_is_better
        self.study: Study = optuna.create_study(
            storage=f"sqlite:///{folder / DATABASE}",
            study_name=NAME,
            load_if_exists=True,
            direction="maximize" if greater_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
            if knobs.prune
            else optuna.pruners.NopPruner(),
        )

    def clear(self) -> None:
        """Mark what was running when a process died as failed; nobody else holds the lock."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def concluded(self) -> list[FrozenTrial]:
        """Return the trials that are not to be tried again, oldest first."""
        deaths: dict[str, int] = {}
        found = []
        for trial in self.study.get_trials(deepcopy=False):
            state = state_of(trial)
            if (
                state == INTERRUPTED
                and DREW in trial.user_attrs
                and STOPPED not in trial.user_attrs
            ):
                key = repr(sorted(trial.user_attrs[VALUES].items()))
                deaths[key] = deaths.get(key, 0) + 1
                if deaths[key] == DEATHS:
                    found.append(trial)
            elif state in (DONE, PRUNED, FAILED):
                found.append(trial)
        return found

    def seconds(self) -> float:
        """Return how long all concluded trials took together."""
        return sum(seconds_of(trial) for trial in self.concluded())

    def ask(self, present: Values) -> Trial | None:
        """Return the next trial; None where a grid is exhausted.

        :param present: what ``params.yaml`` holds now: tried first, to know what is gained.
        """
        from optuna.trial import TrialState

        concluded = self.concluded()
        tried = [trial.user_attrs[VALUES] for trial in concluded]
        drawn = sum(bool(trial.user_attrs[DREW]) for trial in concluded)
        fits = all(one.holds(present[one.field]) for one in self.ranges)
        first = fits and present not in tried
        if first or self.knobs.sampler == "grid":
            wanted = (
                present if first else next((one for one in self.grid() if one not in tried), None)
            )
            if wanted is None:
                return None
            if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                self.study.enqueue_trial(wanted)
        self.study.sampler = self.sampler(drawn)
        trial = self.study.ask({one.field: one.distribution() for one in self.ranges})
        values = {one.field: one.value(trial.params[one.field]) for one in self.ranges}
        trial.set_user_attr(VALUES, present if first else values)
        trial.set_user_attr(DREW, not first)
        return trial

    def sampler(self, drawn: int) -> Any:
        """Return the sampler of one draw.

        :param drawn: how many draws were concluded before.
        """
        from optuna.samplers import RandomSampler, TPESampler

        digest = hashlib.sha256(f"{self.knobs.seed}:{drawn}".encode()).digest()
        seed = int.from_bytes(digest[:4])
        return TPESampler(seed=seed) if self.knobs.sampler == "bayesian" else RandomSampler(seed)

    def grid(self) -> list[Values]:
        """Return every combination, shuffled by the seed: a part of them stands for the whole."""
        points = [one.points(self.knobs.grid_points) for one in self.ranges]
        names = [one.field for one in self.ranges]
        whole = [dict(zip(names, one, strict=True)) for one in itertools.product(*points)]
        random.Random(self.knobs.seed).shuffle(whole)
        return whole

    def run(self, trial: Trial, attempt: Attempt) -> None:
        """Make one trial and note what became of it.

        What goes wrong inside is noted with its reason, and the search goes on; only a full disk
        and somebody else at work end it.

        :param attempt: takes values by field and a watcher; returns the figure.
        """
        from optuna import TrialPruned
        from optuna.trial import TrialState

        def watch(epoch: float, figures: Mapping[str, float]) -> None:
            value = figures[self.metric]
            if math.isfinite(value):
                trial.report(value, round(epoch))
                if trial.should_prune():
                    raise TrialPruned

        try:
            value = attempt(dict(trial.user_attrs[VALUES]), watch)
        except TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except KeyboardInterrupt:
            trial.set_user_attr(STOPPED, True)
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        except (StorageError, BusyError):
            trial.set_user_attr(STOPPED, True)
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        except Exception as error:
            self.fail(trial, reason_of(error))
        else:
            if math.isfinite(value):
                self.study.tell(trial, value)
            else:
                self.fail(trial, f"{self.metric}: {value}")

    def fail(self, trial: Trial, reason: str) -> None:
        """Note a trial that came to nothing."""
        from optuna.trial import TrialState

        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def done(self) -> list[FrozenTrial]:
        """Return the trials that came to their end, best first; of equals the older first."""
        found = [trial for trial in self.concluded() if state_of(trial) == DONE]
        return sorted(found, key=lambda trial: self.sign * number_of(trial.value))

    @property
    def sign(self) -> int:
        """Return -1 where more is better, so that sorting puts the best first."""
        return -1 if self.greater_is_better else 1

    def best_values(self) -> Values | None:
        """Return the values of the best trial; None before the first came to its end."""
        found = self.done()
        return dict(found[0].user_attrs[VALUES]) if found else None

    def value_of(self, values: Values) -> float | None:
        """Return what the trial with these values came to; None where there is none."""
        found = (one.value for one in self.done() if one.user_attrs[VALUES] == values)
        return next(found, None)

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Return all trials as a table, in the order in which they were made."""
        header = ["trial", "state", self.metric, "epochs", "seconds",
                  *(one.field for one in self.ranges), "reason"]  # fmt: skip
        rows = []
        for trial in self.study.get_trials(deepcopy=False):
            state = state_of(trial)
            values = trial.user_attrs.get(VALUES, {})
            last = trial.last_step
            figure = trial.value if state == DONE else trial.intermediate_values.get(last or 0)
            rows.append([
                trial.number, state, figure, last, round(seconds_of(trial), 1),
                *(values.get(one.field) for one in self.ranges), trial.user_attrs.get(REASON),
            ])  # fmt: skip
        return header, rows


def state_of(trial: FrozenTrial) -> str:
    """Return what became of a trial; one that failed for no reason was interrupted."""
    from optuna.trial import TrialState

    if trial.state == TrialState.FAIL:
        return FAILED if trial.user_attrs.get(REASON) else INTERRUPTED
    names = {TrialState.COMPLETE: DONE, TrialState.PRUNED: PRUNED}
    return names.get(trial.state, trial.state.name.lower())


def seconds_of(trial: FrozenTrial) -> float:
    """Return how long a trial took; 0 before its end."""
    return trial.duration.total_seconds() if trial.duration else 0.0


def number_of(value: float | None) -> float:
    """Return the figure of a trial that came to its end."""
    assert value is not None
    return value


def reason_of(error: Exception) -> str:
    """Return why a trial failed, on one line."""
    kind = "" if isinstance(error, MofangError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())[:REASON_LENGTH] or type(error).__name__
