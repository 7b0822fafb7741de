"""What a run came to, on one screen: ``python -m pipeline.summary`` after ``dvc repro``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pipeline import artifacts
from pipeline.console import say, table
from pipeline.errors import MofangError, Text
from pipeline.evaluation.intervals import verdict
from pipeline.i18n import _, current_language
from pipeline.steps.reasons import REASONS

Rows = list[tuple[Text, ...]]


def data_rows() -> Rows:
    """Return what became of the records, with a line for each reason to drop one."""
    collected = artifacts.read_json(artifacts.COLLECT / artifacts.REPORT)
    clean = artifacts.read_json(artifacts.CLEAN / artifacts.REPORT)
    label = artifacts.read_json(artifacts.LABEL / artifacts.REPORT)
    parts = artifacts.read_json(artifacts.SPLIT / artifacts.REPORT)["parts"]
    rows: Rows = [(_("collected"), f"{collected['records']:,}")]
    rows += [(_("missing source"), one["name"]) for one in collected["sources"] if "missing" in one]
    for reason, count in (clean["dropped"] | label["dropped"]).items():
        rows.append((_("dropped: {reason}", reason=REASONS[reason]), f"{count:,}"))
    rows.append((_("kept"), f"{label['kept']:,}"))
    return [
        *rows,
        (_("training / validation / test"), " / ".join(f"{parts[name]:,}" for name in parts)),
    ]


def quality_table() -> tuple[tuple[Text, ...], Rows]:
    """Return the quick figures of the baselines, of the model and of its gain, with intervals.

    The strongest baseline is marked; the difference is to that one.
    """
    figures = artifacts.read_json(artifacts.TEST / artifacts.METRICS)
    report = artifacts.read_json(artifacts.TEST / artifacts.REPORT)
    sure, strongest = report["intervals"], report["strongest"]
    keys = list(sure["model"])
    rows: Rows = []
    for kind, found in figures["baselines"].items():
        title = _("baseline {kind}", kind=f"{kind} ←" if kind == strongest else kind)
        rows.append((title, *(with_interval(found[key], sure[kind][key]) for key in keys)))
    model = figures["model"]
    rows.append((_("model"), *(with_interval(model[key], sure["model"][key]) for key in keys)))
    pair = sure[f"model - {strongest}"]
    gains = {key: model[key] - figures["baseline"][key] for key in keys}
    rows.append((_("difference"), *(with_interval(gains[key], pair[key]) for key in keys)))
    return ("", *keys), rows


def with_interval(value: float, ends: tuple[float, float]) -> str:
    """Return a figure with its interval."""
    return f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def gate_rows() -> Rows:
    """Return each gate with what was found, and whether there was anything to judge."""
    gates = artifacts.read_json(artifacts.VALIDATE / artifacts.REPORT)["gates"]
    return [
        (
            f"{named(gate)} {gate['sign']} {gate['bound']:.4g}",
            "–" if gate["found"] is None else f"{gate['found']:.4f}",
            outcome(gate),
        )
        for gate in gates
    ]


def named(gate: Mapping[str, Any]) -> str:
    """Return the figure of a gate, with its group of records."""
    return f"{gate['figure']}[{gate['group']}]" if gate["group"] else str(gate["figure"])


def outcome(gate: Mapping[str, Any]) -> Text:
    """Return what became of a gate, in a word."""
    if gate["skipped"]:
        return _("not judged")
    return _("passed") if gate["passed"] else _("failed")


def size_rows() -> Rows:
    """Return size, speed and loss of original and variants; the shipped one is marked."""
    report = artifacts.read_json(artifacts.OPTIMIZE / artifacts.REPORT)
    table, shipped, original = report["table"], report["shipped"], report["original"]
    rows: Rows = []
    for name, line in table.items():
        title = f"{name} ←" if name == shipped else name
        if line["unavailable"] is not None:
            rows.append((title, *["–"] * 6, _("unavailable")))
            continue
        one = line["latency_ms_p50"]
        faster = table[original]["latency_ms_p50"] / one
        rows.append(
            (
                title,
                f"{line['size_mb']:.1f} MB",
                f"{line['memory_mb']:.0f} MB",
                f"{one:.1f} ms ({faster:.1f}×)",
                f"{line['texts_per_second']:,.0f}",
                f"{line['test'][report['main']]:.3f}",
                f"{line['agreement']:.1%}",
                kept(name, line, report),
            )
        )
    return rows


def kept(name: str, line: Mapping[str, Any], report: Mapping[str, Any]) -> Text:
    """Return whether a variant may ship, or the first thing that it does not keep."""
    if name == report["original"]:
        return ""
    return _("keeps all") if line["keeps"] else _("not {what}", what=line["refused_for"][0])


def why_it_ships() -> str:
    """Return why the shipped variant is the one."""
    report = artifacts.read_json(artifacts.OPTIMIZE / artifacts.REPORT)
    return str(report["why"][current_language()])


def main() -> None:
    """Print the whole summary."""
    tested = artifacts.read_json(artifacts.TEST / artifacts.REPORT)
    table(_("Records"), ("", _("records")), data_rows(), numbers=True)
    table(
        _("Test part, with {confidence} intervals (← the baseline to beat)",
          confidence=f"{tested['confidence']:.0%}"),
        *quality_table(),
        numbers=True,
    )  # fmt: skip
    found = tested["worth_it"]
    said = verdict(found["answer"], found["figure"], found["baseline"], found["difference"])
    say(said)
    table(_("Gates, on the validation part"), ("", _("found"), ""), gate_rows(), numbers=True)
    table(
        _("Before and after optimization (← ships)"),
        (
            "",
            _("size"),
            _("memory"),
            _("one text"),
            _("texts a second"),
            _("{figure}, test", figure=tested["main"]),
            _("same answer"),
            _("gates"),
        ),
        size_rows(),
        numbers=True,
    )
    say(why_it_ships())
    for line in next_steps():
        say(line)


def next_steps() -> list[Any]:
    """Return where the reports are and what to try next."""
    return [
        _("Reports: data/*/report.json and models/*/report.json; dvc plots show draws the curves."),
        _('Try it:  python -m pipeline.predict "a text of yours"'),
        _("Next:    change a value in params.yaml (say train.epochs), then dvc repro."),
    ]


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
