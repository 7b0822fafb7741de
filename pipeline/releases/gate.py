"""Whether what lies in ``models/`` may become a release: whole, past every gate, of one run.

Three things tie ``models/validate``, ``models/test`` and ``models/optimize`` to one model. Each has
a manifest of its own. ``dvc.lock``, where there is one, says which trained model and which split
each of them read, and what it wrote. And ``optimize`` asked the trained model once more: what it
found must be what ``validate`` and ``test`` had found.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.artifacts import MANIFEST, METRICS, OPTIMIZE, REPORT, TEST, VALIDATE
from pipeline.errors import GateError, ModelError, MofangError, Problem
from pipeline.evaluation.gates import Verdict, explain
from pipeline.i18n import _

LOCK = Path("dvc.lock")
JUDGED = {"validate": VALIDATE, "test": TEST, "optimize": OPTIMIZE}
ORIGINAL_CLOSE = 1e-3  # figures of one model on one part, from two stages: rounding only
RUN_AGAIN = _("Run dvc repro, then make the release.")


@dataclass(frozen=True)
class Run:
    """What a release is made from, read once."""

    variant: str  # that ships
    chosen: bool  # whether it kept every gate of optimize; if not, the original ships in fp32
    main: str  # the task's main figure
    files: Mapping[Path, Mapping[str, str]]  # stage's folder → name of a file → sha256
    metrics: Mapping[str, Any]  # of the variant that ships
    tested: Mapping[str, Any]  # metrics of models/test
    report: Mapping[str, Any]  # of models/test
    lock: str | None  # sha256 of dvc.lock


def examine() -> Run:
    """Return the run that lies in ``models/``.

    :raises ModelError: if something is missing or damaged.
    :raises GateError: if a gate did not hold, or if it is not all of one run.
    """
    require_whole()
    found = {name: artifacts.read_json(folder / REPORT) for name, folder in JUDGED.items()}
    metrics = {name: artifacts.read_json(folder / METRICS) for name, folder in JUDGED.items()}
    try:
        require_passed(found["validate"], found["optimize"], metrics["validate"])
        require_one_run(found["optimize"], metrics)
        ships = found["optimize"]["shipped"]
        return Run(
            variant=ships,
            chosen=found["optimize"]["chosen"] == ships,
            main=found["optimize"]["main"],
            files={folder: digests(folder) for folder in JUDGED.values()},
            metrics=metrics["optimize"][ships],
            tested=metrics["test"],
            report=found["test"],
            lock=artifacts.sha256(LOCK) if LOCK.is_file() else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError.at(
            "models",
            found=f"{type(error).__name__}: {error}",
            allowed=_("reports as this version of Mofang writes them"),
            fix=RUN_AGAIN,
        ) from error


def require_whole() -> None:
    """Compare the three folders with their manifests.

    :raises ModelError: naming every file that is missing or differs.
    """
    problems: list[Problem] = []
    for folder in JUDGED.values():
        try:
            artifacts.verify_manifest(folder)
        except ModelError as error:
            problems += error.problems
    if problems:
        raise ModelError(*problems)


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file that a folder's manifest names."""
    return {
        name: str(entry["sha256"])
        for name, entry in artifacts.read_json(folder / MANIFEST).items()
    }  # fmt: skip


def require_passed(
    validate: Mapping[str, Any], optimize: Mapping[str, Any], figures: Mapping[str, Any]
) -> None:
    """Refuse a model that did not pass.

    :raises GateError: with every gate of validate that did not hold, and for a copy without parity.
    """
    verdicts = [Verdict(**one) for one in validate["gates"]]
    problems = [explain(one, figures) for one in verdicts if not one.passed]
    ships = optimize["table"][optimize["shipped"]]
    if ships["unavailable"] is not None or not ships["parity"]["holds"]:
        problems.append(
            Problem(
                "optimize, parity",
                str(ships["refused_for"]),
                _("a copy that answers as the model that was tested"),
                RUN_AGAIN,
            )
        )
    if problems:
        raise GateError(*problems)


def require_one_run(optimize: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what was put together from several runs.

    :raises GateError: naming each sign of it.
    """
    problems = list(differing_figures(optimize, metrics))
    if LOCK.is_file():
        problems += differing_files(read_lock())
    if problems:
        raise GateError(*problems)


def differing_figures(
    optimize: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Yield each figure of the trained model that optimize found otherwise than a stage before."""
    original = optimize["table"][optimize["original"]]
    pairs = (
        (VALIDATE, metrics["validate"], original["validation"]),
        (TEST, metrics["test"]["model"], original["test"]),
    )
    for folder, before, now in pairs:
        for name in sorted(before.keys() & now.keys()):
            if not near(before[name], now[name]):
                yield Problem(
                    f"{folder / METRICS}, {name}",
                    str(before[name]),
                    _("{value}, as in {file}", value=now[name], file=OPTIMIZE / REPORT),
                    RUN_AGAIN,
                )


def near(before: float | None, now: float | None) -> bool:
    """Return whether two stages found the same; JSON has null for what is no number."""
    known = [one for one in (before, now) if one is not None and math.isfinite(one)]
    if len(known) < 2:
        return not known
    return math.isclose(*known, rel_tol=ORIGINAL_CLOSE, abs_tol=ORIGINAL_CLOSE)


def differing_files(stages: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield each file of data or models that is not the one which ``dvc.lock`` names.

    A folder is named by its manifest, which stands there as a file of its own.
    """
    for stage in ("train", *JUDGED):
        if stage not in stages:
            yield Problem(str(LOCK), _("no stage {stage}", stage=stage), _("all stages"), RUN_AGAIN)
    recorded: dict[str, dict[str, str]] = {}
    for stage in JUDGED:
        entry = stages.get(stage, {})
        for one in [*entry.get("deps", []), *entry.get("outs", [])]:
            named = one["path"].startswith(("data/", "models/"))
            if named and one.get("hash") == "md5" and not one["md5"].endswith(".dir"):
                recorded.setdefault(one["path"], {})[stage] = one["md5"]
    for path, known in sorted(recorded.items()):
        now = {md5(Path(path))} if Path(path).is_file() else set()
        if len(now | set(known.values())) > 1:
            yield Problem(
                path,
                _("another file than {stages} recorded", stages=", ".join(known)),
                _("one and the same file in a whole run"),
                RUN_AGAIN,
            )


def read_lock() -> Mapping[str, Any]:
    """Return the stages of ``dvc.lock``.

    :raises ModelError: if it is damaged.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = artifacts.read_text(LOCK)
        stages: Mapping[str, Any] = YAML(typ="safe", pure=True).load(text)["stages"]
    except (OSError, YAMLError, TypeError, KeyError, MofangError) as error:
        raise ModelError.at(
            LOCK,
            found=str(error).splitlines()[0],
            allowed=_("the file that dvc repro writes"),
            fix=_("Run dvc repro, which writes it again."),
        ) from error
    return stages


def md5(path: Path) -> str:
    """Return the md5 of a file as DVC writes it; it proves identity and guards nothing."""
    with path.open("rb") as source:
        return hashlib.file_digest(
            source, lambda: hashlib.md5(usedforsecurity=False)
        ).hexdigest()  # fmt: skip
