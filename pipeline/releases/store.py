"""Make and remove releases: what passed every gate is copied, asked, sealed, and never changed.

A release holds all that serving it takes and nothing of a DVC output, which a later run deletes. It
appears whole or not at all; what is refused leaves no trace.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.artifacts import MANIFEST, METRICS, OPTIMIZE, TEST
from pipeline.errors import BusyError, GateError, words
from pipeline.evaluation import card
from pipeline.i18n import LANGUAGES, _
from pipeline.locks import held
from pipeline.predictor import Predictor
from pipeline.quiet import be_quiet
from pipeline.releases import choosing, gate, golden, repository, state
from pipeline.releases.gate import Run
from pipeline.releases.ledger import State
from pipeline.releases.reading import (
    EXAMPLES,
    GOLDEN,
    MOBILE,
    MODEL,
    ORIGIN,
    README,
    RELEASES,
    SEMVER,
    Release,
    absent,
    folder_of,
    opened,
    order,
    read,
    versions,
)
from pipeline.releases.refusing import refuse_removal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.schema.releasing import Releasing
    from pipeline.schema.watching import Drift

__all__ = ["RELEASES", "Release", "create", "next_version", "read", "remove", "versions"]

LOCK = ".create.lock"
LEFTOVER = re.compile(rf"\.({SEMVER.pattern})\.(tmp|old)-[0-9]+")
FIRST = "0.1.0"
PLOTS = "plots"  # the card shows them
BATCH = 64
ROOM = 2  # times the model: the copy, and all that stands beside it


def create(
    version: str | None, knobs: Releasing, drift: Drift, *, by: str, root: Path = RELEASES
) -> Release:
    """Make a release of what ``models/`` holds; it serves only once it is promoted.

    :param version: as in ``1.2.0``; None takes the next minor one.
    :param drift: section ``monitor.drift``: what requests are compared with later.
    :param by: who wants it.
    :raises GateError: if a gate did not hold, if ``models/`` is not of one run, if the copy answers
        otherwise than what was measured, or if the version is taken.
    :raises ModelError: if something is missing or damaged.
    :raises BusyError: if another release is being made.
    :raises StorageError: if there is no room for it.
    """
    from pipeline.watching import reference  # whoever only reads releases needs none of it

    be_quiet()
    with only_maker(root):
        version = free(version, root)
        run = gate.examine()
        artifacts.require_space(root, ROOM * artifacts.folder_bytes(OPTIMIZE / MODEL))
        with artifacts.output_folder(folder_of(version, root)) as folder:
            copy(folder, run)
            model = Predictor.load(folder / MODEL)
            describe(folder, run, model, version, by)
            parts = {name: artifacts.read_records(artifacts.part(name)).to_pylist()
                     for name in artifacts.PARTS}  # fmt: skip
            question(folder, run, model, knobs, parts)
            unseen = [*parts["validation"], *parts["test"]]
            reference.build(folder, parts["train"], model, drift, unseen=unseen)
            golden.ask(opened(folder, version))  # loaded once more, as the service will
        state.record("create", version, by, root=root)
        return read(version, root)


def copy(folder: Path, run: Run) -> None:
    """Copy the model, its card and the bundle for phones, and compare the copy with the manifest.

    DVC deletes an output before it makes it again, so what was examined may be gone by now.

    :raises GateError: if ``models/`` changed meanwhile.
    """
    for source, named in ((OPTIMIZE, (MODEL, MOBILE)), (TEST, (README, PLOTS))):
        for name, digest in run.files[source].items():
            if name.split("/")[0] in named:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(source / name, path)
                except FileNotFoundError as error:
                    raise changed(source / name) from error
                if artifacts.sha256(path) != digest:
                    raise changed(source / name)
    for name in (MODEL, MOBILE):
        if (folder / name).is_dir():
            shutil.copyfile(OPTIMIZE / name / MANIFEST, folder / name / MANIFEST)
            artifacts.verify_manifest(folder / name)


def changed(path: Path) -> GateError:
    """Return the error for a file that changed while it was copied."""
    return GateError.at(
        path,
        found=_("another content than a moment before"),
        allowed=_("a run that has ended"),
        fix=_("Wait until dvc repro is done, then make the release."),
    )


def describe(folder: Path, run: Run, model: Predictor, version: str, by: str) -> None:
    """Write where the release comes from and what was measured."""
    commit = repository.commit()
    limits = card.limits(run.report)[1:]  # the first is the heading
    origin = {
        "version": version,
        "created": state.moment(),
        "by": by,
        "commit": commit,
        "dirty": None if commit is None else repository.is_dirty(),
        "dvc_lock": run.lock,
        "python": platform.python_version(),
        "task": model.card.task,
        "variant": run.variant,
        "kept_every_gate": run.chosen,
        "main": run.main,
        "limits": {language: [words(one, language) for one in limits] for language in LANGUAGES},
    }
    figures = {"variant": run.variant, "optimize": run.metrics, "test": run.tested}
    artifacts.write_json(folder / ORIGIN, origin)
    artifacts.write_json(folder / METRICS, figures)


def question(
    folder: Path,
    run: Run,
    model: Predictor,
    knobs: Releasing,
    parts: Mapping[str, list[dict[str, Any]]],
) -> None:
    """Ask the copy the whole validation part; write golden questions, and examples for the demo.

    :raises GateError: if its main figure is not the one that was measured.
    """
    records = parts["validation"]
    scores = model.scores([one["text"] for one in records], BATCH)
    questions = golden.choose(model, records, scores, knobs.golden, knobs.seed)
    require_figure(run, model, records, scores, knobs.figure_tolerance)
    artifacts.write_json(folder / GOLDEN, questions)
    region = model.card.mask["region"]
    chosen = choosing.examples(parts["test"], model.card.task, knobs.examples, region)
    artifacts.write_json(folder / EXAMPLES, chosen)


def require_figure(
    run: Run,
    model: Predictor,
    records: list[dict[str, Any]],
    scores: NDArray[np.float64],
    tolerance: float,
) -> None:
    """Refuse a copy that is not as good as the model which was measured.

    :param scores: of the validation part, [records, outputs].
    :raises GateError: naming both figures.
    """
    answers = model.task.decide(scores, model.card.thresholds)
    now = model.task.figures([one["label"] for one in records], answers)[run.main]
    before = run.metrics["validation"][run.main]
    if before is None or not math.isclose(now, before, rel_tol=0.0, abs_tol=tolerance):
        raise GateError.at(
            f"release, {run.main}",
            found=f"{now:.4f}",
            allowed=f"{before} ± {tolerance:g}",
            fix=_("The model in models/optimize is not the one that was measured there, or this "
                  "machine computes otherwise. Run dvc repro here."),
        )  # fmt: skip


def next_version(root: Path = RELEASES) -> str:
    """Return the next minor version after all that there ever were."""
    known = taken(root)
    if not known:
        return FIRST
    major, minor, _patch = max(map(order, known))
    return f"{major}.{minor + 1}.0"


def free(version: str | None, root: Path) -> str:
    """Return a version that no release has or had.

    :raises GateError: if it is taken: a number means one model, for good.
    :raises ModelError: if it is no version.
    """
    if version is None:
        return next_version(root)
    order(version)
    if version in taken(root):
        raise GateError.at(
            f"release {version}",
            found=_("a release of this version, there or removed"),
            allowed=_("{version} or another one that is free", version=next_version(root)),
            fix=_("Take the next one; a version means one model, for good."),
        )
    return version


def taken(root: Path) -> set[str]:
    """Return the versions of all releases that are there, whole or not, or were there once."""
    there = {path.name for path in root.glob("*") if SEMVER.fullmatch(path.name)}
    return there | {one.version for one in State.read(root).events}


def remove(version: str, by: str, force: bool = False, *, root: Path = RELEASES) -> None:
    """Remove a release, damaged or not; never one that serves.

    :param force: also the one that a rollback would bring back.
    :raises GateError: if it is needed.
    :raises ModelError: if it is not there.
    """
    folder = folder_of(version, root)
    if not folder.is_dir():
        raise absent(folder, root)
    with state.changing(root) as now:
        refuse_removal(now, version, now.earlier(versions(root)), force)
        # Written first, so that a crash between the two cannot free the number for another model.
        state.write(now, root, state.happened("remove", version, by, None))
        aside = folder.with_name(f".{version}.old-{os.getpid()}")
        folder.rename(aside)
        artifacts.sync(root)
    shutil.rmtree(aside)


def sweep(root: Path) -> None:
    """Remove what killed runs left of releases; another living process keeps its own."""
    for path in root.glob(".*"):
        match = LEFTOVER.fullmatch(path.name)
        if match:
            artifacts.sweep(root / match[1])


@contextlib.contextmanager
def only_maker(root: Path) -> Iterator[None]:
    """Hold the right to make a release, and remove what a killed maker left.

    :raises BusyError: if somebody else holds it.
    """
    busy = BusyError.at(
        root / LOCK,
        found=_("another release being made"),
        allowed=_("one at a time"),
        fix=_("Wait until the other program is done, then try again."),
    )
    root.mkdir(parents=True, exist_ok=True)
    with held(root / LOCK, busy):
        sweep(root)
        yield
