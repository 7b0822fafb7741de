"""A page by Evidently about a window beside what the model learnt from, and the same as JSON.

Evidently draws and lays out; the verdicts are those of ``drift``, which Evidently takes as tests of
its own, so that page and alert never contradict each other. (Its own test of texts splits at
spaces and leaves out English stop words: Chinese that changes its subject looks the same to it.)

Evidently puts values into its page as they are. Here none is a text; names of labels and languages
are masked, cut and escaped first, and the page may load nothing and send nothing.
"""

from __future__ import annotations

import html
import json
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.evaluation.plain import finite
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.quiet import be_quiet
from pipeline.steps import personal
from pipeline.watching import drift
from pipeline.watching.drift import TEXT, Finding
from pipeline.watching.reference import LABELS, Reference
from pipeline.watching.windows import (
    CONFIDENCE,
    LABEL,
    LANGUAGE,
    LENGTH,
    TRUTH,
    Window,
)

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.schema.watching import Drift as Knobs

PAGE, DATA = "drift.html", "drift.json"
TITLES: dict[str, Message] = {
    TEXT: _("Texts: how unlike the training texts"),
    LENGTH: _("Length of texts, in characters"),
    LANGUAGE: _("Languages"),
    LABEL: _("Answers of the model"),
    CONFIDENCE: _("Confidence of answers"),
    TRUTH: _("Right labels, as people gave them"),
}
METHODS: dict[str, Message] = {
    TEXT: _("distance of the means of character pairs (Mahalanobis)"),
    LENGTH: _("Jensen-Shannon distance"),
}
LONGEST_NAME = 60  # characters
REGION = "CN"  # where phone numbers without a country code belong, in names of labels
TEST = "mofang_"  # and the kind: how Evidently knows our verdicts
# The page's own script and style, its pictures, and nothing from anywhere else.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; form-action 'none'; base-uri 'none'\">"
)
HEAD = "<head>"
ONE_AT_A_TIME = threading.Lock()  # Evidently keeps tests by name, for the whole process


def write(folder: Path, reference: Reference, window: Window, knobs: Knobs) -> drift.Drift:
    """Write ``drift.html`` and ``drift.json`` into a folder, and return what was found.

    At most ``max_texts`` rows a side, drawn by the seed. Where a window is too small for a
    verdict, the JSON says so and there is no page.
    """
    found = drift.check(reference, window, knobs)
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"verdict": found.told()}
    if found.findings:
        seen = window.sampled(knobs.max_texts, knobs.seed)
        before = reference.sample.sampled(knobs.max_texts, knobs.seed)
        page, content["evidently"] = compared(reference, before, seen, found.findings)
        artifacts.write_bytes(folder / PAGE, page.encode())
    artifacts.write_json(folder / DATA, content)
    return found


def compared(
    reference: Reference, before: Window, now: Window, findings: Sequence[Finding]
) -> tuple[str, Any]:
    """Return Evidently's page about two windows, and the same as data."""
    be_quiet()  # before the import: it would report each use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about itself and pandas; nothing a reader could mend
        from evidently import Dataset, Report

        sides = [
            Dataset.from_pandas(table(reference, side, findings), columns(reference, findings))
            for side in (now, before)
        ]
        with ONE_AT_A_TIME, registered(findings):
            report = Report([preset(findings)], include_tests=True)
            snapshot = report.run(sides[0], sides[1])
            page = snapshot.get_html_str(as_iframe=False)
            told = json.loads(snapshot.json())
    return page.replace(HEAD, HEAD + POLICY, 1), finite(told)


def preset(findings: Sequence[Finding]) -> Any:
    """Return what Evidently is asked: whether any column drifted, and each column."""
    from evidently.presets import DataDriftPreset

    return DataDriftPreset(
        columns=[title(one.kind) for one in findings],
        per_column_method={title(one.kind): TEST + one.kind for one in findings},
        per_column_threshold={title(one.kind): one.threshold for one in findings},
        drift_share=1 / len(findings),
    )


def columns(reference: Reference, findings: Sequence[Finding]) -> Any:
    """Return which columns are numbers and which are names."""
    from evidently import DataDefinition

    kinds = [one.kind for one in findings]
    numbers = [one for one in kinds if one == TEXT or reference.bins[one].numeric]
    return DataDefinition(
        numerical_columns=[title(one) for one in numbers],
        categorical_columns=[title(one) for one in kinds if one not in numbers],
    )


def table(reference: Reference, window: Window, findings: Sequence[Finding]) -> pd.DataFrame:
    """Return a window as Evidently reads it: numbers, and names that may stand in a page."""
    import pandas as pd

    return pd.DataFrame(
        {title(one.kind): pd.Series(cells(reference, window, one.kind)) for one in findings}
    )


def cells(reference: Reference, window: Window, kind: str) -> list[Any]:
    """Return the known values of a column as they may stand in a page.

    Of texts it is how unusual each one is: 1 for a usual one.
    """
    if kind == TEXT:
        unlike: list[float] = reference.texts.unlikeness(window.counts()).tolist()
        return unlike
    values = window.known(kind)
    if reference.bins[kind].numeric:
        numbers = reference.values(kind, values) if kind in LABELS else values
        return [float(one) for one in numbers]
    titles = reference.bins[kind].titles()  # a name that the reference has not is none of ours
    shown = [shown_name(one) for one in titles]
    return [shown[at] for at in reference.bins[kind].places(values).tolist()]


def shown_name(name: str) -> str:
    """Return a name without personal data, cut, with nothing that a page could run."""
    masked = personal.mask(name, kinds=list(personal.MASKS), region=REGION)
    plain = "".join(one if one.isprintable() else " " for one in masked)
    cut = plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"
    return html.escape(cut) or "–"


def title(kind: str) -> str:
    """Return what a column is called, in every language."""
    return " · ".join(dict.fromkeys(TITLES[kind].render(one) for one in LANGUAGES))


def method(kind: str) -> str:
    """Return how a column is judged, in every language."""
    message = METHODS.get(kind, METHODS[LENGTH])
    return " · ".join(dict.fromkeys(message.render(one) for one in LANGUAGES))


@contextmanager
def registered(findings: Sequence[Finding]) -> Iterator[None]:
    """Make our verdicts tests of Evidently for as long as the block lasts."""
    from evidently.legacy.calculations.stattests import registry

    made = []
    for one in findings:
        test = registry.StatTest(
            TEST + one.kind,
            method(one.kind),
            [registry.ColumnType.Numerical, registry.ColumnType.Categorical],
            one.threshold,
        )
        told = verdict(one)
        registry.register_stattest(test, told)
        made.append((test, told))
    try:
        yield
    finally:
        for test, told in made:
            registry._registered_stat_tests.pop(test.name, None)
            registry._registered_stat_test_funcs.pop(told, None)
            registry._impls.pop(test, None)


def verdict(found: Finding) -> Callable[..., tuple[float, bool]]:
    """Return a test that has come to its verdict already."""

    def told(_before: Any, _now: Any, _kind: Any, _threshold: float) -> tuple[float, bool]:
        return found.score, found.drifted

    return told
