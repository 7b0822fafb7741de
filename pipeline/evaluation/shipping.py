"""What ``optimize`` leaves: the model that ships, why it is this one, the table and the plot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.errors import GateError
from pipeline.evaluation import pareto, parity
from pipeline.evaluation.comparison import ORIGINAL, TEST, VALIDATION
from pipeline.evaluation.plain import finite
from pipeline.evaluation.robustness import NEAR
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import mobile
from pipeline.modeling.variants.base import FALLBACK, Unavailable
from pipeline.predictor import Predictor
from pipeline.steps.spreadsheet import guard
from pipeline.steps.targets import REGRESSION

if TYPE_CHECKING:
    from pipeline.evaluation.comparison import Comparison, Line, Setting
    from pipeline.modeling.variants.base import Context
    from pipeline.tasks.base import Task

VARIANTS, DISAGREEMENTS, PLOTS = "variants.csv", "disagreements.csv", "plots"
PLAIN = ("size_mb", "memory_mb", "peak_memory_mb", "cold_start_s", "latency_ms_p50",
         "latency_ms_p95", "texts_per_second", "wh_per_1000_texts", "agreement", "points_lost",
         "points_lost_low", "points_lost_high")  # fmt: skip


def shipped(found: Comparison, chosen: str | None) -> str:
    """Return what ships: what was chosen, or else the original as OpenVINO runs it.

    :raises GateError: if even that does not answer as the original.
    """
    name = chosen or FALLBACK
    checked = found.lines[name].parity
    if checked is not None and not checked["holds"]:
        raise no_parity(name, checked["refused"])
    return name


def no_parity(name: str, refused: Sequence[str]) -> GateError:
    """Return the error for what would ship and answers otherwise than what was tested."""
    return GateError.at(
        "optimize, parity",
        found=_("{variant}, refused for: {reasons}", variant=name, reasons=", ".join(refused)),
        allowed=_("a copy that answers as the model that was tested"),
        fix=_("Nothing ships. Raise optimize.parity in params.yaml if the copy is good enough; "
              "models/train holds the model."),
    )  # fmt: skip


def why(chosen: str | None, rule: str, kept: int, tried: int) -> Message:
    """Return why this variant ships.

    :param kept: how many of ``tried`` variants keep parity and all gates.
    """
    counts = {"kept": kept, "tried": tried}
    if chosen is None:
        return _("No variant keeps parity and all gates ({kept} of {tried} do), so the original "
                 "ships, as OpenVINO runs it in fp32.", **counts)  # fmt: skip
    if rule == "smallest":
        return _("{variant} ships: the smallest variant that keeps parity and all gates ({kept} "
                 "of {tried} do).", variant=chosen, **counts)  # fmt: skip
    return _("{variant} ships: the fastest variant that keeps parity and all gates ({kept} of "
             "{tried} do).", variant=chosen, **counts)  # fmt: skip


def bundle(folder: Path, context: Context, setting: Setting) -> dict[str, Any]:
    """Write the bundle for phones, in int8 or, where that answers otherwise, in fp32.

    :returns: bytes, precision and parity; why there is none for a family that ONNX cannot hold.
    :raises GateError: if not even fp32 answers as the original.
    """
    original, texts = TorchPredictor.load(setting.source), setting.texts(VALIDATION)
    for quantized in (True, False):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            told = mobile.write(setting.source, folder, context, quantized=quantized)
        except Unavailable as reason:
            shutil.rmtree(folder, ignore_errors=True)
            return {"unavailable": in_all_languages(reason.message)}
        checked = parity.check(original, Predictor.load(folder), texts, setting.knobs.parity)
        if checked["holds"]:
            break
    else:
        raise no_parity("mobile", checked["refused"])
    return told | {"parity": checked | {"disagreements": len(checked["disagreements"])}}


def write(
    folder: Path,
    found: Comparison,
    told: dict[str, Any],
    records: Sequence[dict[str, Any]],
) -> None:
    """Write metrics, report, tables and the plot into the folder of the stage.

    :param told: ``chosen``, ``shipped``, ``rule``, ``wanted`` and what else the report tells.
    :param records: of the validation part, which positions of disagreements are about.
    """
    table, task = as_json(found), found.task
    wanted = [name for name in told["wanted"] if name in found.lines]
    kept = sum(found.lines[name].keeps and found.lines[name].served for name in wanted)
    reason = why(told["chosen"], told["rule"], kept, len(told["wanted"]))
    report = told | {
        "original": ORIGINAL,
        "why": in_all_languages(reason),
        "main": task.main,
        "meaning": meaning(task),
        "measured": found.how,
        "table": table,
    }
    artifacts.write_json(folder / artifacts.METRICS, metrics(found))
    artifacts.write_json(folder / artifacts.REPORT, finite(report))
    artifacts.write_csv(folder / VARIANTS, *variants(table, told["shipped"]))
    artifacts.write_csv(folder / DISAGREEMENTS, *disagreements(found, records))
    (folder / PLOTS).mkdir()
    pareto.write(folder / PLOTS, table, report)


def meaning(task: Task) -> dict[str, str]:
    """Return what the two figures beside the original's are about, for the report."""
    same = "the same labels as the original's"
    near = f"a number within {NEAR} standard deviations of the original's answers"
    return {
        "points_lost": f"100 × {task.main}, on the validation part",
        "agreement": near if task.name == REGRESSION else same,
    }


def as_json(found: Comparison) -> dict[str, dict[str, Any]]:
    """Return the table as plain values, those that could not be built last, with the reason."""
    return {name: plain(line) for name, line in found.lines.items()} | {
        name: {"unavailable": in_all_languages(reason), "keeps": False}
        for name, reason in found.unavailable.items()
    }


def in_all_languages(message: Message) -> dict[str, str]:
    """Return language → the message in it."""
    return {language: message.render(language) for language in LANGUAGES}


def plain(line: Line) -> dict[str, Any]:
    """Return a line as plain values; disagreements stand in a file of their own."""
    whole = asdict(line)
    speed, checked = whole.pop("speed"), whole.pop("parity")
    if checked is not None:
        checked["disagreements"] = len(checked["disagreements"])
    return {
        "unavailable": None,
        "keeps": line.keeps,
        "refused_for": refused_for(line),
        "size_mb": line.bytes / 1e6,
        **speed,
        **whole,
        "parity": checked,
    }


def refused_for(line: Line) -> list[str]:
    """Return what a variant does not keep: of parity, and of the gates."""
    held = line.parity is None or line.parity["holds"]
    parts = (
        [] if held or line.parity is None else [f"parity: {one}" for one in line.parity["refused"]]
    )
    return parts + [f"{one.name} {one.sign} {one.bound:g}" for one in line.gates if not one.passed]


def metrics(found: Comparison) -> dict[str, dict[str, Any]]:
    """Return the numbers of each variant, for ``dvc metrics`` and Git."""
    result = {}
    for name, line in found.lines.items():
        values = plain(line)
        result[name] = finite(
            {"bytes": line.bytes, "keeps": line.keeps}
            | {key: values[key] for key in PLAIN}
            | {"latency_ms": line.speed.latency_ms, VALIDATION: line.validation, TEST: line.test}
        )
    return result


def variants(
    table: Mapping[str, dict[str, Any]], ships: str
) -> tuple[list[str], list[list[object]]]:
    """Return the table for spreadsheets: a line a variant, every figure with its ends."""
    known = [line for line in table.values() if line["unavailable"] is None]
    cells = [(cell, at) for cell in known[0]["latency_ms"] for at in ("p50", "p95")]
    figures = [(part, name) for part in (VALIDATION, TEST) for name in known[0][part]]
    header = ["variant", "status", "why", *PLAIN, *(f"ms_{cell}_{at}" for cell, at in cells)]
    for part, name in figures:
        header += [f"{part}_{name}"]
        if name in known[0]["intervals"][part]:
            header += [f"{part}_{name}_low", f"{part}_{name}_high"]
    rows = []
    for name, line in table.items():
        row: list[object] = [name, status(name, line, ships)]
        if line["unavailable"] is not None:
            rows.append([*row, guard(" / ".join(line["unavailable"].values()))])
            continue
        row += [guard("; ".join(line["refused_for"])), *(line[key] for key in PLAIN)]
        row += [line["latency_ms"][cell][at] for cell, at in cells]
        for part, figure in figures:
            row += [line[part].get(figure), *line["intervals"][part].get(figure, ())]
        rows.append(row)
    return header, rows


def status(name: str, line: Mapping[str, Any], ships: str) -> str:
    """Return what became of a variant, in one word."""
    if line["unavailable"] is not None:
        return "unavailable"
    if name == ORIGINAL:
        return "original"
    if name == ships:
        return "ships"
    return "kept" if line["keeps"] else "refused"


def disagreements(
    found: Comparison, records: Sequence[dict[str, Any]]
) -> tuple[list[str], Iterator[list[object]]]:
    """Return every record that a copy answers otherwise than the model it was made from.

    ``counts`` is 1 where the original was sure enough for it to be refused.
    """

    def rows() -> Iterator[list[object]]:
        for name, line in found.lines.items():
            for one in (line.parity or {}).get("disagreements", []):
                record = records[one["at"]]
                texts = (name, record["id"], record["text"], one["original"], one["copy"])
                margin = "" if one["margin"] is None else one["margin"]
                yield [
                    *(guard(str(text)) for text in texts),
                    margin,
                    "" if one["difference"] is None else one["difference"],
                    int(one["counts"]),
                ]

    header = ["variant", "id", "text", "original", "copy", "margin", "difference", "counts"]
    return header, rows()
