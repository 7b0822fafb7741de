"""Plan: which model suits task, data and this machine, and what training it will take.

``python -m pipeline.plan`` prints a table, reasons, and the values to set in ``params.yaml``;
``--json`` prints all of it for other programs. Nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline import artifacts, planning
from pipeline.errors import DataError, MofangError, Text, words
from pipeline.i18n import _, current_language
from pipeline.modeling import machine as machines
from pipeline.modeling.counting import Rates
from pipeline.params import Params, load
from pipeline.planning import Candidate, Choice, Data, Plan
from pipeline.quiet import be_quiet
from pipeline.steps import language as languages
from pipeline.steps.targets import JOINT

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
TOKENS_PER_WORD = 1.3  # of subword tokenizers in English text
SPECIAL_TOKENS = 2  # around each text
TEXTS_IDENTIFIED = 300
LANGUAGE_SHARE = 0.2  # rarer ones are taken for mistakes of identification
EXPLAINED = 3
GIB = 2**30


def catalogue(path: Path = CATALOGUE) -> list[Candidate]:
    """Read the catalogue of models."""
    from ruamel.yaml import YAML

    entries = YAML(typ="safe", pure=True).load(artifacts.read_text(path))
    return [planning.candidate_of(entry) for entry in entries]


def tokens(text: str) -> int:
    """Return about how many tokens a text has: one a Chinese character, 1.3 a word."""
    han = sum("\u4e00" <= letter <= "\u9fff" for letter in text)
    rest = "".join(" " if "\u4e00" <= letter <= "\u9fff" else letter for letter in text)
    return round(han + TOKENS_PER_WORD * len(rest.split())) + SPECIAL_TOKENS


def spoken(texts: Sequence[str]) -> list[str]:
    """Return the languages of texts, the most frequent first; from a sample."""
    every = max(1, len(texts) // TEXTS_IDENTIFIED)
    sample = texts[::every]
    found = Counter(languages.identify(text)[0] for text in sample)
    kept = [name for name, count in found.most_common() if count >= LANGUAGE_SHARE * len(sample)]
    return kept or [name for name, _count in found.most_common(1)]


def read_data(params: Params) -> Data:
    """Return what there is to learn from: the split, or the labelled records before it.

    :raises DataError: if there is neither.
    """
    parts = [artifacts.part(name) for name in ("train", "validation")]
    if all(path.exists() for path in parts):
        train, validation = (artifacts.read_records(path).to_pylist() for path in parts)
    elif (artifacts.LABEL / artifacts.RECORDS).exists():
        every = artifacts.read_records(artifacts.LABEL / artifacts.RECORDS).to_pylist()
        known = [one for one in every if one["label"] is not None]
        at = max(1, round(len(known) * params.split.shares.validation))
        train, validation = known[at:], known[:at]
    else:
        train, validation = [], []
    train = [one for one in train if one["label"] is not None]
    if not train or not validation:
        raise DataError.at(
            artifacts.SPLIT,
            found=_("no labelled records"),
            allowed=_("records of data/split or data/label"),
            fix=_("Run dvc repro split first; the plan depends on the data."),
        )
    counts: Counter[str] = Counter()
    if params.label.task != "regression":
        for one in train:
            counts.update(one["label"].split(JOINT) if one["label"] else [])
    texts = [one["text"] for one in train]
    return Data(
        lengths=[tokens(text) for text in texts],
        validation=[tokens(one["text"]) for one in validation],
        languages=spoken(texts),
        labels=dict(counts),
    )


def make(params: Params, data: Data, machine: machines.Machine) -> tuple[Plan, Rates]:
    """Return the plan, with the speed of this machine measured in a second."""
    from pipeline.modeling import estimates, training

    knobs = params.train
    device = training.device(knobs.device)
    precision = training.precision(knobs.precision, cpu=device == "cpu")
    rates = estimates.rates(knobs, device, precision)
    plan = planning.recommend(
        params.label.task, data, machine, catalogue(), rates,
        epochs=knobs.epochs, batch_size=knobs.batch_size, precision=precision,
    )  # fmt: skip
    return plan, rates


def duration(seconds: float) -> Text:
    """Return seconds as people read them."""
    if seconds < 100:
        return _("{number} s", number=f"{seconds:.0f}")
    if seconds < 6_000:
        return _("{number} min", number=f"{seconds / 60:.0f}")
    return _("{number} h", number=f"{seconds / 3_600:,.1f}")


def row(place: int, choice: Choice) -> tuple[Text, ...]:
    """Return one line of the table."""
    estimate = choice.estimate
    co2 = "–" if estimate.co2_kg is None else f"{estimate.co2_kg * 1_000:,.2f} g"
    return (
        "–" if choice.excluded else str(place),
        choice.candidate.name,
        choice.candidate.family,
        choice.candidate.size,
        f"{choice.candidate.parameters / 1e6:,.0f} M",
        _("contrastive, then {method}", method=choice.method)
        if choice.contrastive
        else choice.method,
        duration(estimate.seconds),
        f"{estimate.peak_memory_bytes / GIB:.1f} GB" + ("" if choice.fits else " !"),
        co2,
        f"{estimate.money:,.2f} {estimate.currency}",
    )


def show(plan: Plan, data: Data, machine: machines.Machine, rates: Rates) -> None:
    """Print the plan."""
    console = Console(
        width=None if sys.stdout.isatty() else 140, highlight=False, markup=False, emoji=False
    )
    language = current_language()

    def say(text: Text) -> None:
        console.print(words(text, language))

    say(_("Machine: {cores} cores, {memory} GB of memory ({free} free), {speed} GFLOP/s, "
          "bf16 {bf16}, VNNI {vnni}, GPUs: {gpus}",
          cores=f"{machine.cores:g}", memory=f"{machine.memory_bytes / GIB:.0f}",
          free=f"{machine.available_bytes / GIB:.0f}",
          speed=f"{rates.operations_per_second / 1e9:,.0f}",
          bf16=answer(machine.bf16), vnni=answer(machine.vnni),
          gpus=", ".join(f"{one.name} ({one.memory_bytes / GIB:.0f} GB)" for one in machine.gpus)
          or "0"))  # fmt: skip
    say(_("Data: {records} training records, {labels} labels (rarest: {fewest} records), "
          "up to {long} tokens, languages: {languages}",
          records=f"{data.records:,}", labels=len(data.labels),
          fewest="–" if data.fewest is None else f"{data.fewest:,}", long=data.long,
          languages=", ".join(data.languages)))  # fmt: skip
    say(_("Family: {family}", family=plan.family))
    for why in plan.why:
        console.print("  " + words(why, language))
    table = Table(title=words(_("Candidates, the best first"), language), title_justify="left")
    header: tuple[Text, ...] = (
        "", _("model"), _("family"), _("size"), _("weights"), _("method"), _("time"), _("memory"),
        "CO2", _("money"),
    )  # fmt: skip
    for at, column in enumerate(header):
        table.add_column(words(column, language), justify="left" if 0 < at < 4 else "right")
    for place, choice in enumerate(plan.choices, 1):
        table.add_row(*(words(cell, language) for cell in row(place, choice)))
    console.print(table)
    for place, choice in enumerate(plan.choices[:EXPLAINED], 1):
        explain(console, place, choice)
    if not plan.choices[0].excluded:
        say(_("To take the first, set in params.yaml:"))
        for name, value in planning.values(plan.choices[0], data).items():
            console.print(f"  {name}: {plain(value)}")


def answer(value: bool) -> Text:
    """Return yes or no."""
    return _("yes") if value else _("no")


def explain(console: Console, place: int, choice: Choice) -> None:
    """Print why a candidate stands where it does."""
    language, candidate = current_language(), choice.candidate
    console.print(f"{place}. {candidate.name} ({candidate.licence or '?'})")
    for reason in choice.reasons:
        console.print(f"   {words(reason, language)}")
    console.print("   + " + "; ".join(candidate.strengths[language]))
    console.print("   − " + "; ".join(candidate.weaknesses[language]))


def plain(value: Any) -> str:
    """Return a value as it stands in ``params.yaml``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {plain(one)}" for name, one in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_json(plan: Plan, data: Data, machine: machines.Machine) -> str:
    """Return everything as JSON."""
    language = current_language()
    content = {
        "machine": machine.as_dict(),
        "data": {
            "records": data.records, "labels": data.labels, "long": data.long,
            "languages": data.languages,
        },
        "family": plan.family,
        "why": [words(one, language) for one in plan.why],
        "candidates": [
            {
                "name": one.candidate.name,
                "family": one.candidate.family,
                "method": one.method,
                "contrastive": one.contrastive,
                "excluded": one.excluded,
                "points": None if one.excluded else one.points,
                "fits": one.fits,
                "reasons": [words(why, language) for why in one.reasons],
                "strengths": one.candidate.strengths[language],
                "weaknesses": one.candidate.weaknesses[language],
                "estimate": one.estimate.as_dict(),
                "params": planning.values(one, data),
            }
            for one in plan.choices
        ],
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, indent=2, default=str, allow_nan=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the plan for this project on this machine."""
    reader = argparse.ArgumentParser(prog="python -m pipeline.plan", description=__doc__)
    reader.add_argument("--json", action="store_true", help="for other programs")
    given = reader.parse_args(arguments)
    be_quiet()
    params = load()
    data, machine = read_data(params), machines.look()
    plan, rates = make(params, data, machine)
    if given.json:
        print(as_json(plan, data, machine))
    else:
        show(plan, data, machine, rates)


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
