"""Whether people find answers right often enough, told from verdicts that come in one by one.

An ordinary test that is asked again with each verdict finds a difference sooner or later where
there is none. This one may be asked as often as one likes: the product of likelihood ratios of a
worse model against one that is exactly good enough, averaged over all worse models,

    E = B(k + 1, n - k + 1) * I_p(k + 1, n - k + 1) / (p * p^k * (1 - p)^(n - k)),

is a martingale for a model that is exactly good enough and falls for a better one, and so ever
passes ``1 / false_alarms`` in at most ``false_alarms`` of cases (Ville 1939; Robbins 1970). It
begins anew every ``monitor.quality.days``, so that a model which was good for long is not believed
for as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.i18n import Message, _
from pipeline.schema.watching import Quality as Knobs

if TYPE_CHECKING:
    from sqlalchemy import Engine

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Verdict:
    """What people said about a release since ``since``."""

    version: str
    since: datetime
    verdicts: int
    right: int
    bound: float  # share of right answers that is good enough
    evidence: float  # E, see above; infinite when a release that had to be perfect was not
    bad: bool

    def told(self) -> Mapping[str, Any]:
        """Return it as JSON can hold it."""
        evidence = self.evidence if math.isfinite(self.evidence) else None
        return {"version": self.version, "verdicts": self.verdicts, "right": self.right,
                "bound": self.bound, "evidence": evidence, "bad": self.bad}  # fmt: skip

    def sentence(self) -> Message:
        """Return it as a person reads it."""
        return _(
            "People found {right} of {verdicts} answers of release {version} right "
            "({share} %), wanted are {bound} %",
            right=self.right,
            verdicts=self.verdicts,
            version=self.version,
            share=f"{100 * self.right / max(1, self.verdicts):.1f}",
            bound=f"{100 * self.bound:.1f}",
        )


def judge(engine: Engine, version: str, knobs: Knobs, now: datetime) -> Verdict:
    """Return what people said about a release in the days that count, and whether it is too bad.

    :raises StorageError: if the database cannot be read.
    """
    from pipeline.traffic.reading import feedback_accuracy

    length = DAY * knobs.days
    since = datetime.fromtimestamp(now.timestamp() // length * length, UTC)
    said = feedback_accuracy(engine, since, now).get(version)
    verdicts, right = (said.judged, said.right) if said is not None else (0, 0)
    found = evidence(right, verdicts, knobs.min_accuracy)
    bad = verdicts >= knobs.min_verdicts and found >= 1 / knobs.false_alarms
    return Verdict(version, since, verdicts, right, knobs.min_accuracy, found, bad)


def evidence(right: int, verdicts: int, bound: float) -> float:
    """Return how much speaks for a model worse than ``bound``: 1 is nothing.

    :param bound: share of right answers, 0 to 1.
    """
    from scipy.special import betainc, betaln

    k, n = right, verdicts
    if not n or bound <= 0.0:
        return 1.0
    if bound >= 1.0:
        return math.inf if k < n else 1.0
    below = float(betainc(k + 1, n - k + 1, bound))
    if below <= 0.0:  # far better than asked for
        return 0.0
    exactly = (k + 1) * math.log(bound) + (n - k) * math.log1p(-bound)
    return math.exp(min(700.0, float(betaln(k + 1, n - k + 1)) + math.log(below) - exactly))
