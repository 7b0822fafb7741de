"""One screen after a run: what stands in the rows about gates."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pipeline import artifacts, summary
from pipeline.errors import words
from pipeline.evaluation import gates


def test_a_gate_is_shown_with_its_group_and_with_what_became_of_it(project: Path) -> None:
    asked = ["macro_f1 >= 0.85", "recall[label=human] >= 0.7", "difference_to_released >= -0.01",
             "no_such_figure <= 3"]  # fmt: skip
    groups = {"label": {"human": {"records": 40, "small": False, "recall": 0.65}}}
    verdicts = gates.judge(asked, {"macro_f1": 0.9}, groups)
    artifacts.VALIDATE.mkdir(parents=True)
    told = {"gates": [asdict(one) for one in verdicts]}
    artifacts.write_json(artifacts.VALIDATE / artifacts.REPORT, told)
    assert [[words(cell, "en") for cell in row] for row in summary.gate_rows()] == [
        ["macro_f1 >= 0.85", "0.9000", "passed"],
        ["recall[label=human] >= 0.7", "0.6500", "failed"],
        ["difference_to_released >= -0.01", "–", "not judged"],
        ["no_such_figure <= 3", "–", "failed"],
    ]
