"""Why a run failed, in the reader's words, and what to do about it.

A stage says why it failed as data (``error.json``), which each reader gets in their own language;
what was killed, or had no room to write it, is told by its exit code and the end of the log. The
next smaller setting after a lack of memory is the one that changes least: the batch first, with the
same number of texts a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.studio import roles
from app.studio.roles import User
from app.studio.runs import finishing, following, logbook, records
from app.studio.runs.records import FAULT, Run
from pipeline.errors import DataError, MofangError, Problem, Text, unpacked
from pipeline.i18n import LANGUAGES, Message, _, translate

KILLED = re.compile(r"exited with (-9|137)\b")
NOISE = re.compile(r"> python|ERROR: failed|Running stage|Traceback|\s|$")
TRAIN, INIT = "train", "init.max_tokens"
SHORTEST = 16  # tokens, below which a text says nothing any more
MEMORY = (
    "MemoryError", "out of memory", "not enough memory", "DefaultCPUAllocator", "bad_alloc",
    "Cannot allocate memory", "Unable to allocate", "ArrowMemoryError",
)  # fmt: skip
TOO_LITTLE = (
    _("too little memory for {size} texts at once"),
    _("a worker that was ended, probably for want of memory"),
    _("SIGKILL mostly means that memory ran out: lower train.batch_size or start fewer "
      "processes. The last good checkpoint is kept."),
)  # fmt: skip
FULL = (_("no space left on the disk"), _("{free} MB free"))
KINDS = {
    "GateError": "gate", "ParamsError": "params", "StorageError": "disk", "DataError": "data",
    "SourceError": "data", "BusyError": "busy", "ModelError": "model",
}  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """What happened."""

    kind: str  # memory, gate, params, disk, data, model, busy, killed, aside, stopped or unknown
    stage: str | None
    cause: Text
    hint: Text
    smaller: Mapping[str, Any] | None = None  # memory only: the next smaller setting, by path
    problems: tuple[Problem, ...] = ()  # what the stage itself said, in any language


HINTS: Mapping[str, Message] = {
    "gate": _("The model is not good enough for the gates that stand in params.yaml. Look at the "
              "reports for what it gets wrong, add data or change the training; lower a gate only "
              "if the requirement allows it."),
    "params": _("Change the named parameter, then start again. What was done before stays done."),
    "disk": _("Free some space, then start again: training goes on from its last checkpoint."),
    "data": _("Mend the named file or source, then start again. What was done before stays done."),
    "model": _("Follow the advice beside the error, then start again."),
    "busy": _("Wait until the other program is done, then start again."),
    "killed": _("Start again: training goes on from its last checkpoint. If it happens again, ask "
                "who looks after this machine."),
    "aside": _("What it made is kept. Take it over, which also brings back the parameters of this "
               "run; or start again: the new run begins from what is there now."),
    "stopped": _("Start again whenever you like: what was done stays done, and training goes on "
                 "from its last checkpoint."),
    "unknown": _("Read the last lines of the log below. Starting again does no harm: what was done "
                 "stays done."),
}  # fmt: skip


def explain(run: Run) -> Diagnosis | None:
    """Return why a run failed or was stopped; None for one that works or is done."""
    if run.state in ("running", "done"):
        return None
    stage = failed_stage(run)
    if run.state == "stopped":
        by = run.stopped_by or run.by
        return Diagnosis("stopped", stage, _("{by} stopped the run.", by=by), HINTS["stopped"])
    said, error = of_stage(run, stage), fault(run)
    problems = tuple(error.problems) if error is not None else ()
    kind = kind_of(run, said, error)
    if kind == "memory":
        smaller = next_smaller(run, stage, problems)
        short = short_of_memory(stage)
        return Diagnosis(kind, stage, short, advice(smaller), smaller, problems)
    cause = reason(run, kind, stage, said, problems)
    return Diagnosis(kind, stage, cause, HINTS[kind], None, problems)


def failed_stage(run: Run) -> str | None:
    """Return the stage at which a run ended."""
    found = [
        name for name, state in following.stages(run).items() if state in ("failed", "stopped")
    ]
    return found[-1] if found else None


def of_stage(run: Run, stage: str | None) -> list[str]:
    """Return the lines that the failed stage, or the command, printed."""
    lines = [line for line in logbook.tail(run.log, 400) if line.strip()]
    if stage is not None:
        starts = [place for place, line in enumerate(lines) if f"Running stage '{stage}'" in line]
        lines = lines[starts[-1] :] if starts else lines
    return lines


def fault(run: Run) -> MofangError | None:
    """Return what the stage itself said, where it wrote that down as data."""
    content = records.read_json(run.folder / FAULT)
    if content is None:
        return None
    try:
        return unpacked(content)
    except (KeyError, TypeError, ValueError):
        return None


def kind_of(run: Run, said: Sequence[str], error: MofangError | None) -> str:
    """Return what kind of failure it was."""
    text = "\n".join(said)
    if finishing.OVERTAKEN in run.notes:
        return "aside"
    if error is not None:
        short = mentions(error.problems, TOO_LITTLE)
        short = short or any(one in error.render("en") for one in MEMORY)
        return "memory" if short else KINDS.get(type(error).__name__, "unknown")
    if any(one in text for one in MEMORY) or KILLED.search(text):
        return "memory"
    if run.code is None or run.code < 0:
        return "killed"
    if "is busy, it is being blocked by" in text or "Unable to acquire lock" in text:
        return "busy"
    full = says(text, FULL) or "No space left on device" in text
    return "disk" if full else "unknown"


def mentions(problems: Sequence[Problem], messages: Sequence[Message]) -> bool:
    """Return whether a problem holds one of these messages."""
    known = {one.text for one in messages}
    return any(
        isinstance(one, Message) and one.text in known
        for problem in problems
        for one in (problem.found, problem.fix)
    )


def says(text: str, messages: Sequence[Message]) -> bool:
    """Return whether a text holds one of these messages, in whichever language it was written."""
    return any(pattern.search(text) for pattern in patterns(messages))


def patterns(messages: Sequence[Message]) -> Iterator[re.Pattern[str]]:
    """Yield a pattern for each message in each language; a place for a value takes any."""
    for message in messages:
        for language in LANGUAGES:
            parts = re.split(r"\{[^}]*\}", translate(message.text, language))
            yield re.compile(r"[^\n]*?".join(map(re.escape, parts)))


def short_of_memory(stage: str | None) -> Message:
    """Return the cause for a stage that had too little memory."""
    if stage is None:
        return _("There was too little memory.")
    return _("There was too little memory for the stage {stage}.", stage=stage)


def advice(smaller: Mapping[str, Any] | None) -> Message:
    """Return what to do about too little memory."""
    if smaller is None:
        return _("Close other programs, give the machine more memory, or take a smaller model or "
                 "fewer records; then start again.")  # fmt: skip
    return _("Continue with the next smaller setting: what was done before stays done, and the "
             "stage begins again with less.")  # fmt: skip


def reason(
    run: Run, kind: str, stage: str | None, said: Sequence[str], problems: Sequence[Problem]
) -> Text:
    """Return why a run failed, as exactly as anything tells."""
    if run.notes and (run.code == 0 or not said):
        return run.notes[0]
    if kind == "killed":
        return _("Something ended the run from outside, such as a restart of the machine.")
    if problems and stage is not None:
        return _("The stage {stage} could not go on.", stage=stage)
    own = [line for line in said if not NOISE.match(line)]
    return own[-1].strip() if own else _("The run ended with exit code {code}.", code=run.code)


def next_smaller(run: Run, stage: str | None, problems: Sequence[Problem]) -> dict[str, Any] | None:
    """Return the setting that needs less memory and changes least, by path; None where none does.

    :param problems: what the failed stage said; training that fails with a single text at once has
        halved its batch itself already.
    """
    values = following.values(run.snapshot) or {}
    if stage == TRAIN:
        return smaller_training(values, single=mentions(problems, TOO_LITTLE[:1]))
    if stage in ("validate", "test"):
        size = values[stage]["batch_size"]
        return {f"{stage}.batch_size": size // 2} if size > 1 else None
    if stage == "optimize":
        batches = values[stage]["measuring"]["batches"]
        least = sorted(batches)[:-1]
        return {"optimize.measuring.batches": least} if least else None
    return None


def smaller_training(values: Mapping[str, Any], *, single: bool) -> dict[str, Any] | None:
    """Return the next smaller setting of training."""
    knobs = values[TRAIN]
    size, processes = knobs["batch_size"], knobs["launcher"]["processes"]
    whole = size * knobs["accumulation"]
    fitting = [one for one in range(1, size // 2 + 1) if whole % one == 0 and one % processes == 0]
    if fitting and not single and whole // fitting[-1] <= 1_024:
        half = {"train.batch_size": fitting[-1], "train.accumulation": whole // fitting[-1]}
        pairs = knobs["contrastive"]
        if pairs["enabled"] and pairs["batch_size"] > 8:
            half["train.contrastive.batch_size"] = pairs["batch_size"] // 2
        return half
    if not knobs["gradient_checkpointing"] and knobs["method"] != "frozen":
        return {"train.gradient_checkpointing": True}
    if knobs["method"] == "full":
        return {"train.method": "lora"}
    tokens = values["init"]["max_tokens"]
    return {INIT: max(SHORTEST, tokens // 2)} if tokens > SHORTEST else None


def continue_smaller(run: Run, by: User | None = None) -> Run:
    """Save the next smaller setting of a run that had too little memory, and go on with it.

    Needs the roles for ``roles.EDIT_PARAMS`` and ``roles.START_RUN``.

    :raises DataError: if there is no smaller setting.
    """
    from app.studio.forms import present, saving
    from app.studio.runs import starting

    found = explain(run)
    if found is None or not found.smaller:
        raise DataError.at(
            run.id,
            found=_("no smaller setting"),
            allowed=_("a run that had too little memory"),
            fix=_("Change a parameter yourself, then start again."),
        )
    starting.permitted(roles.START_RUN, run.id, by)
    seen = present.read(run.project).sha256
    saving.save(found.smaller, seen, run.project, by)
    return starting.start(run.project, following.targets(run), run.device, by)
