"""What a search leaves: a table of its trials, two figures, and a proposal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.i18n import _
from pipeline.modeling import tuning
from pipeline.modeling.tuning import Tuning, Values
from pipeline.params import shown

TABLE, PROPOSAL = "trials.csv", "proposal.json"
PARALLEL, IMPORTANCE = "parallel.html", "importance.html"


def write_results(found: Tuning, present: Values, folder: Path) -> None:
    """Write the table, the proposal and the figures."""
    header, rows = found.table()
    artifacts.write_csv(folder / TABLE, header, rows)
    artifacts.write_json(folder / PROPOSAL, proposal(found, present))
    draw(found, folder)


def proposal(found: Tuning, present: Values) -> dict[str, Any]:
    """Return what was best beside what ``params.yaml`` holds, and how sure that is."""
    done, states = found.done(), [row[1] for row in found.table()[1]]
    best = dict(done[0].user_attrs[tuning.VALUES]) if done else present
    now = found.value_of(present)
    then = done[0].value if done else None
    gain = None if now is None or then is None else found.sign * (now - then)
    return {
        "metric": found.metric,
        "greater_is_better": found.greater_is_better,
        "present": now,
        "best": then,
        "gain": gain,
        "trial": done[0].number if done else None,
        "trials": {name: states.count(name) for name in sorted(set(states))},
        "seconds": round(found.seconds(), 1),
        "changes": {
            field: {"old": present[field], "new": value}
            for field, value in best.items()
            if gain != 0 and value != present[field]
        },
    }


def draw(found: Tuning, folder: Path) -> None:
    """Draw what the trials say, in files that need nothing else, if they say anything yet."""
    from optuna import importance, visualization

    done = found.done()
    figures = {}
    if done:
        figures[PARALLEL] = visualization.plot_parallel_coordinate(
            found.study, target_name=found.metric
        )
    if len(done) > 1 and len({trial.value for trial in done}) > 1:
        figures[IMPORTANCE] = visualization.plot_param_importances(
            found.study,
            evaluator=importance.FanovaImportanceEvaluator(seed=found.knobs.seed),
            target_name=found.metric,
        )
    for name in (PARALLEL, IMPORTANCE):
        (folder / name).unlink(missing_ok=True)
        if name in figures:
            page = figures[name].to_html(include_plotlyjs=True, include_mathjax=False)
            artifacts.write_bytes(folder / name, page.encode())


def told(proposed: Mapping[str, Any], folder: Path) -> Iterator[object]:
    """Yield what is proposed, line by line."""
    counts = ", ".join(f"{count} {name}" for name, count in proposed["trials"].items())
    yield _("Trials: {counts}; see {folder}.", counts=counts or 0, folder=folder)
    if proposed["best"] is None:
        yield _("No trial came to its end, so nothing is proposed.")
        return
    if not proposed["changes"]:
        yield _("Nothing was better than the values of params.yaml.")
        return
    yield _(
        "Proposed for {path}, {metric} on the validation part {old} → {new}:",
        path=artifacts.PARAMS,
        metric=proposed["metric"],
        old="?" if proposed["present"] is None else f"{proposed['present']:.4f}",
        new=f"{proposed['best']:.4f}",
    )
    width = max(len(field) for field in proposed["changes"])
    for field, one in proposed["changes"].items():
        yield f"  {field:<{width}}  {shown(one['old'])} → {shown(one['new'])}"
    yield _("The best of many is partly luck: trust what test says of it, not this gain.")
    yield _("Write it with: python -m pipeline.search --apply")


def line_of(found: Tuning, number: int) -> str:
    """Return one trial on one line."""
    header, rows = found.table()
    row = dict(zip(header, rows[number], strict=True))
    figure = row[found.metric]
    values = "  ".join(f"{one.field} {shown(row[one.field])}" for one in found.ranges)
    ended = f"{found.metric} {figure:.4f}" if figure is not None else ""
    parts = (f"trial {number}", row["state"], ended, values, row["reason"],
             f"{row['seconds']} s")  # fmt: skip
    return "  ".join(part for part in parts if part)


def lines(found: Tuning) -> Iterator[str]:
    """Yield all trials as a table for people."""
    header, rows = found.table()
    cells = [header, *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    for row in cells:
        yield "  ".join(f"{one:<{width}}" for one, width in zip(row, widths, strict=True)).rstrip()


def cell(value: object) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
