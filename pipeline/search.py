"""Search for better knobs: ``python -m pipeline.search [--show | --apply | --fresh]``.

Trains with other values of the fields that ``params.yaml`` names in section ``search``, judges on
the validation part only, and proposes what was best. ``params.yaml`` is changed by ``--apply``
alone. A search that was stopped or killed goes on where it was.

::

    work/search/<fingerprint>/
    ├── study.db            every trial (optuna, SQLite)
    ├── trials.csv          the same as a table
    ├── proposal.json       what was best, beside what params.yaml holds
    ├── parallel.html       which values came to which figure
    └── importance.html     how much each field decides
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import artifacts, editing
from pipeline.errors import DataError, MofangError, ParamsError, Problem
from pipeline.i18n import _
from pipeline.modeling import checkpoints, proposing, ranges, tuning
from pipeline.params import Params, check, load, shown
from pipeline.progress import Progress
from pipeline.quiet import be_quiet
from pipeline.stage import note
from pipeline.tasks import task as tasks
from pipeline.tasks.base import LOSS

FOLDER = artifacts.WORK / "search"
HELD, WORKING = "held", "trial"  # inputs of the running search, and what its trial writes
LEARNT_FROM = ("train", "validation")  # the test part stays unseen
WITHOUT_EFFECT = ("baselines", "costs")  # of section train, on what is learnt
LIBRARIES = ("torch", "transformers", "optuna")
STOPPED = 130  # exit status after Ctrl-C, as shells give it


def search(params: Params, *, fresh: bool = False) -> None:
    """Make trials until the budget is spent, then say what is proposed.

    :param fresh: forget earlier trials of the same search first.
    """
    wanted = ranges.asked(params.search.fields, Params)
    refuse_figure(params)
    with checkpoints.only_one(FOLDER), held(sources(params)) as inputs:
        folder = FOLDER / fingerprint(params, wanted, inputs)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        found = opened(params, wanted, folder)
        found.clear()
        make_trials(found, params, inputs)
        proposing.write_results(found, present_values(params, found), folder)
    for line in proposing.told(artifacts.read_json(folder / proposing.PROPOSAL), folder):
        print(line)


def make_trials(found: tuning.Tuning, params: Params, inputs: Mapping[str, Path]) -> None:
    """Make one trial after the other while there are trials and minutes left."""
    knobs, done = params.search, len(found.concluded())
    present = present_values(params, found)

    def attempt(values: tuning.Values, watch: tuning.Watch) -> float:
        return train(with_values(params, values), inputs, watch)

    with Progress("search", knobs.trials, step=min(done, knobs.trials)) as progress:
        while done < knobs.trials and found.seconds() < 60 * knobs.minutes:
            trial = found.ask(present)
            if trial is None:
                break
            found.run(trial, attempt)
            done = len(found.concluded())
            best = found.done()
            shown_beside = {found.metric: tuning.number_of(best[0].value)} if best else {}
            progress.advance(1, **shown_beside)
            print(proposing.line_of(found, trial.number), flush=True)


def train(params: Params, inputs: Mapping[str, Path], watch: tuning.Watch) -> float:
    """Train with ``params`` and return the figure of the best epoch; nothing of it is kept."""
    from pipeline.modeling import fitting

    work = FOLDER / WORKING
    shutil.rmtree(work, ignore_errors=True)
    try:
        files = {name: inputs[artifacts.part(name).name] for name in LEARNT_FROM}
        start = work / "start"
        if builds_start(params):
            start.mkdir(parents=True)
            write_start(params, files["train"], start)
        else:
            start = inputs["model/config.json"].parent
        _model, outcome = fitting.fit(start, files, params.train, work / "train", watch)
        return outcome.best_value
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_start(params: Params, records: Path, folder: Path) -> None:
    """Write the model that training starts from, as stage init does."""
    from pipeline import init
    from pipeline.predictor import CARD, Card

    task = tasks.of(params.label.task, params.label.labels)
    texts = artifacts.read_records(records)["text"].to_pylist()
    model, tokenizer = init.build(params, task, texts)
    model.config.dtype = "float32"
    card = Card(
        task=task.name,
        labels=task.labels,
        max_tokens=params.init.max_tokens,
        normalize=params.clean.normalize.model_dump(),
        mask=init.masked(params),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    artifacts.write_json(folder / CARD, asdict(card))


def sources(params: Params) -> dict[str, Path]:
    """Return the files that trials read, by the name under which they are held.

    :raises DataError: if there are no records.
    """
    found = {artifacts.part(name).name: artifacts.part(name) for name in LEARNT_FROM}
    for path in found.values():
        if not path.exists():
            raise DataError.at(
                path,
                found=_("no such file"),
                allowed=_("records that split wrote"),
                fix=_("Run dvc repro init first."),
            )
    if not builds_start(params):
        artifacts.verify_manifest(artifacts.INIT)
        found |= {f"model/{one.name}": one for one in (artifacts.INIT / "model").iterdir()}
    return found


@contextmanager
def held(files: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Hold on to what the search reads, whatever a ``dvc repro`` beside it puts in its place."""
    inputs = FOLDER / HELD
    for leftover in (inputs, FOLDER / WORKING):
        shutil.rmtree(leftover, ignore_errors=True)
    inputs.mkdir(parents=True)
    try:
        for name, path in files.items():
            link(path, inputs / name)
        yield {name: inputs / name for name in files}
    finally:
        shutil.rmtree(inputs, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; stages replace files and never write into one."""
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(source, target)


def builds_start(params: Params) -> bool:
    """Return whether trials differ in what training starts from."""
    return any(field.startswith("init.") for field in params.search.fields)


def fingerprint(params: Params, wanted: Sequence[ranges.Range], inputs: Mapping[str, Path]) -> str:
    """Return the name of a search: comparable trials, and no others, are under the same.

    Its budget is left out, and so are the values of the fields that are tried.
    """
    values: dict[str, Any] = {
        "ranges": [one.told() for one in wanted],
        "search": params.search.model_dump(exclude={"fields", "trials", "minutes"}),
        "label": [params.label.task, params.label.labels],
        "libraries": [version(name) for name in LIBRARIES],
        "train": params.train.model_dump(exclude=set(WITHOUT_EFFECT)),
        "init": params.init.model_dump(mode="json"),
    }
    if params.search.sampler != "grid":
        del values["search"]["grid_points"]
    for one in wanted:
        *steps, last = one.field.split(".")
        place = values
        for step in steps:
            place = place[step]
        place[last] = None
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name, path in sorted(inputs.items()):
        digest.update(f"{name} {artifacts.sha256(path)}".encode())
    return digest.hexdigest()[:16]


def opened(params: Params, wanted: Sequence[ranges.Range], folder: Path) -> tuning.Tuning:
    """Return the search below ``folder``."""
    task = tasks.of(params.label.task, params.label.labels)
    metric = params.train.metric
    return tuning.Tuning(
        folder,
        wanted,
        params.search,
        metric=metric,
        greater_is_better=task.greater_is_better(metric),
    )


def refuse_figure(params: Params) -> None:
    """Refuse a figure that the task does not have, or by which trials cannot be compared.

    :raises ParamsError: naming those that will do.
    """
    task = tasks.of(params.label.task, params.label.labels)
    if params.train.metric == LOSS and any(
        field.startswith("train.loss.") for field in params.search.fields
    ):
        raise ParamsError.at(
            "params.yaml, train.metric",
            found=_("loss, while the search changes what loss means"),
            allowed=", ".join(one for one in task.answer_figures if one != LOSS),
            fix=_("Take another figure, or leave fields of train.loss out of search.fields."),
        )
    if params.train.metric not in task.answer_figures:
        raise ParamsError.at(
            "params.yaml, train.metric",
            found=repr(params.train.metric),
            allowed=", ".join(task.answer_figures),
            fix=_("Take a figure of the task."),
        )


def value_at(params: Params, field: str) -> Any:
    """Return the value of a field by its dotted name."""
    place: Any = params
    for step in field.split("."):
        place = getattr(place, step)
    return place


def present_values(params: Params, found: tuning.Tuning) -> tuning.Values:
    """Return what ``params.yaml`` holds in the fields that are tried."""
    return {one.field: value_at(params, one.field) for one in found.ranges}


def with_values(params: Params, values: Mapping[str, Any]) -> Params:
    """Return params with other values in some fields.

    :raises ParamsError: if they contradict each other.
    """
    content = params.model_dump(mode="json", by_alias=True)
    for field, value in values.items():
        *steps, last = field.split(".")
        place = content
        for step in steps:
            place = place[step]
        place[last] = value
    try:
        return Params.model_validate(content)
    except ValidationError:  # as a file, which takes longer, it is explained in house style
        return check(json.dumps(content, ensure_ascii=False).encode(), Path(WORKING))


def there(params: Params) -> Path:
    """Return the folder of the search that these params describe.

    :raises DataError: if there was none.
    """
    wanted = ranges.asked(params.search.fields, Params)
    folder = FOLDER / fingerprint(params, wanted, sources(params))
    if not (folder / tuning.DATABASE).exists():
        raise DataError.at(
            folder,
            found=_("no search over these fields with these data"),
            allowed=_("one that was begun"),
            fix=_("Run python -m pipeline.search first."),
        )
    return folder


def show(params: Params) -> None:
    """Print all trials as a table, and what is proposed."""
    folder = there(params)
    found = opened(params, ranges.asked(params.search.fields, Params), folder)
    for line in proposing.lines(found):
        print(line)
    proposed = proposing.proposal(found, present_values(params, found))
    for told in proposing.told(proposed, folder):
        print(told)


def apply(params: Params) -> None:
    """Write the proposed values into ``params.yaml``, all of them or none.

    :raises ParamsError: if a value there is not the one that the proposal was made for.
    """
    folder = there(params)
    changes = artifacts.read_json(folder / proposing.PROPOSAL)["changes"]
    found = {field: value_at(params, field) for field in changes}
    if all(found[field] == one["new"] for field, one in changes.items()):
        print(_("{path} holds the proposed values already.", path=artifacts.PARAMS))
        return
    problems = [
        Problem(
            f"{artifacts.PARAMS}, {field}",
            shown(found[field]),
            _("{value}, as it was when the search ended", value=shown(one["old"])),
            _("Run python -m pipeline.search again, which compares with the new value."),
        )
        for field, one in changes.items()
        if found[field] != one["old"]
    ]
    if problems:
        raise ParamsError(*problems)
    write_values({field: one["new"] for field, one in changes.items()}, folder)
    for field, one in changes.items():
        print(f"{field}: {shown(one['old'])} → {shown(one['new'])}")


def write_values(values: Mapping[str, Any], folder: Path) -> None:
    """Change several values of ``params.yaml`` at once, and leave every other byte as it was.

    :param folder: for a copy, which becomes the file when all of them are in it.
    """
    copy = folder / artifacts.PARAMS
    copy.write_bytes(artifacts.PARAMS.read_bytes())
    try:
        waiting = list(values)
        while waiting:
            refused: list[ParamsError] = []
            for field in list(waiting):
                try:  # a value may fit only after another one was changed
                    editing.save_value(field, values[field], copy)
                    waiting.remove(field)
                except ParamsError as error:
                    refused.append(error)
            if len(refused) and len(refused) == len(waiting):
                raise refused[0]
        artifacts.write_bytes(artifacts.PARAMS, copy.read_bytes())
    finally:
        copy.unlink(missing_ok=True)


def arguments() -> argparse.ArgumentParser:
    """Return what the command line may hold."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.search",
        description=str(_("Search for better knobs, within section search of params.yaml.")),
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--show", action="store_true", help=str(_("print all trials as a table")))
    one.add_argument(
        "--apply", action="store_true", help=str(_("write the proposed values into params.yaml"))
    )
    one.add_argument("--fresh", action="store_true", help=str(_("forget earlier trials first")))
    return parser


def main() -> None:
    """Do what the command line asks for."""
    be_quiet()
    wanted = arguments().parse_args()
    params = load()
    if wanted.show:
        show(params)
    elif wanted.apply:
        apply(params)
    else:
        search(params, fresh=wanted.fresh)


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        note(error)
        sys.exit(str(error))
    except KeyboardInterrupt:
        print(_("Stopped. Start it again to go on."), file=sys.stderr)
        sys.exit(STOPPED)
