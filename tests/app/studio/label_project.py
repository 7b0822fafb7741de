"""A project with cleaned records and a list of work, without any model: quick to make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.studio import label_lists, labelling, roles
from app.studio.label_lists import QUEUE, Table
from app.studio.labelling import Task
from app.studio.project_files import Project
from app.studio.roles import Role, User
from pipeline.records import trust
from tests.app.studio.data_project import queued
from tests.helpers import changed_text, record, write_records

LABELS = ["abbreviation", "description", "entity", "human", "location", "number"]
ADA, BOB = User("ada", Role.EDITOR), User("bob", Role.EDITOR)
COUNT = 20  # records, r0 to r19; the first ten are on the list


def laid_out(folder: Path) -> Iterator[Project]:
    """Yield a project with cleaned records and a list of work, where ada acts; for a fixture."""
    made = Project(folder)
    change(made, annotation__overlap=0.0, annotation__checked=1.0)
    write_records(made.stage("clean"), [record(at, f"Text {at}", None) for at in range(COUNT)])
    made.annotations.mkdir(parents=True)
    (made.annotations / "guideline.md").write_text("# Rules\n", encoding="utf-8")
    queued(made, [f"r{at}" for at in range(10)])
    with roles.acting_as(ADA):
        yield made


def change(here: Project, **changes: object) -> None:
    """Give parameters of label other values; two underscores stand for a point."""
    values = {f"label.{name.replace('__', '.')}": value for name, value in changes.items()}
    here.params.write_text(changed_text(values), encoding="utf-8")


def task(here: Project, which: str = QUEUE, who: str = "ada") -> Task | None:
    """Return what lies before somebody."""
    table = Table.of(here)
    return labelling.next_task(table, label_lists.work(table, which), who)


def before_me(here: Project, which: str = QUEUE, who: str = "ada") -> str | None:
    """Return the record that lies before somebody."""
    found = task(here, which, who)
    return None if found is None else found.item.record


def suspected(here: Project, rows: Sequence[dict[str, Any]], group: int = 65_536) -> None:
    """Write a list of suspects as the label stage does; the likeliest first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = here.stage("label")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / trust.SUSPECTS, row_group_size=group)


def suspect(at: int) -> dict[str, Any]:
    """Return a suspect: record r<at>, labelled human, a number by a simple model."""
    return {"id": f"r{at}", "text": f"Text {at}", "label": "human", "suggested": "number",
            "probability": min(0.9, 0.001 * at), "rank": at}  # fmt: skip
