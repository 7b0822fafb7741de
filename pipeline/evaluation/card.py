"""The model card: what the model is, how good, for whom, from which data, at what cost.

Its front matter is the Hub's (https://huggingface.co/docs/hub/model-cards); the text is the same
in English and 中文. Nothing in it depends on where or when it is written.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.errors import Text, words
from pipeline.evaluation import naming, verdict
from pipeline.evaluation.intervals import MODEL
from pipeline.evaluation.plots import CAPTIONS
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.steps.targets import REGRESSION

Report = Mapping[str, Any]
Rows = Iterable[Sequence[Text]]

LONGEST = 300  # characters of a value that the card shows
GRAMS, HOUR = 1_000, 3_600  # in a kilogram; seconds
# The Hub's names for licences, as far as they are likely here.
LICENCES = {
    "apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-4.0", "odc-by", "odbl", "pddl", "gpl-3.0", "unlicense",
}  # fmt: skip
# Our figures → the Hub's names for metrics.
METRICS = {
    "accuracy": "accuracy", "subset_accuracy": "accuracy", "macro_f1": "f1",
    "macro_precision": "precision", "macro_recall": "recall", "roc_auc": "roc_auc",
    "matthews": "matthews_correlation", "brier": "brier_score", "mae": "mae", "mse": "mse",
    "r2": "r_squared", "pearson": "pearsonr", "spearman": "spearmanr",
}  # fmt: skip
TASKS: dict[str, Message] = {
    "single_label": _("It gives each text exactly one of {count} labels."),
    "multi_label": _("It gives each text any number of {count} labels, none included."),
    "regression": _("It gives each text a number."),
}
ISO = re.compile(r"[a-z]{2,3}")


def render(report: Report, pictures: Sequence[str], languages: Sequence[str]) -> str:
    """Return the card as Markdown.

    :param report: of the stage test, with what ``background`` adds.
    :param pictures: names of the plots beside it, as PNG.
    :param languages: of the training records, as far as they are known.
    """
    parts = [section(report, pictures, language) for language in LANGUAGES]
    return f"---\n{front_matter(report, languages)}\n---\n\n" + "\n".join(parts)


def front_matter(report: Report, languages: Sequence[str]) -> str:
    """Return the YAML that the Hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    name = f"mofang-{report['task'].replace('_', '-')}"
    results = [
        EvalResult(
            task_type="text-classification", dataset_type="test", dataset_name="test part",
            dataset_split="test", metric_type=METRICS[figure], metric_name=figure,
            metric_value=round(value, 4),
        )
        for figure, value in report["figures"].items() if figure in METRICS
    ]  # fmt: skip
    origin, kind = report["model"]["origin"], report["task"].replace("_", "-")
    data = ModelCardData(
        language=[one for one in sorted(set(languages)) if ISO.fullmatch(one)] or None,
        license=licence(report["sources"]),
        base_model=base(origin) if origin.get("kind") != "folder" else None,
        datasets=[one["name"] for one in report["sources"]] or None,
        metrics=list(dict.fromkeys(one.metric_type for one in results)),
        tags=["mofang", "text-classification", kind],
        pipeline_tag="text-classification",
        library_name="transformers",
        model_name=name,
        eval_results=results,
        co2_eq_emissions=emissions(report),
    )
    return str(data.to_yaml(line_break="\n"))


def licence(sources: Sequence[Mapping[str, Any]]) -> str:
    """Return the Hub's name of the licence that all data came under, ``other`` where it has none.

    What was learnt from data is not freer than the data.
    """
    named = {str(one["licence"]).strip().lower() for one in sources}
    found = named.pop() if len(named) == 1 else "other"
    return found if found in LICENCES else "other"


def base(origin: Mapping[str, str]) -> str | None:
    """Return the name of the starting model, without its version; None from scratch."""
    return origin["name"].partition("==")[0] if origin else None


def emissions(report: Report) -> dict[str, Any] | None:
    """Return what the Hub shows about emissions, in grams; None where nothing was measured."""
    told = report["training"]
    if told.get("co2_kg") is None:
        return None
    found = {
        "emissions": round(told["co2_kg"] * GRAMS, 3),
        "source": "codecarbon",  # what train measures with
        "training_type": "fine-tuning" if report["model"]["origin"] else "pre-training",
    }
    return found | ({"hardware_used": told["device"]} if "device" in told else {})


def section(report: Report, pictures: Sequence[str], language: str) -> str:
    """Return the whole card in one language."""
    blocks: list[Text] = [_("# Model card"), *summary(report, language), *labels(report, language),
                          *training(report, language), *limits(report), *quality(report, language),
                          *footprint(report), *use()]  # fmt: skip
    if pictures:
        blocks.append(_("## Plots"))
    blocks += [f"![{CAPTIONS[name].render(language)}](plots/{name}.png)" for name in pictures]
    return "\n\n".join(words(block, language) for block in blocks) + "\n"


def summary(report: Report, language: str) -> list[Text]:
    """Return what the model does, and what the test came to."""
    said = "\n".join(f"- {plain(one, language)}" for one in verdict.verdict(report))
    task = TASKS[report["task"]]
    return [Message(task.text, {"count": len(report["labels"])}), _("## Verdict"), said]


def labels(report: Report, language: str) -> list[Text]:
    """Return the labels by number, with what they mean and how well they are answered."""
    if report["task"] == REGRESSION:
        return []
    header = (_("No."), _("Label"), _("Meaning"), naming.figure("precision"),
              naming.figure("recall"), naming.figure("f1"), _("Records"))  # fmt: skip
    rows = []
    for at, label in enumerate(report["labels"], 1):
        line = report["per_label"][label]
        figures = [naming.number(line[key]) for key in ("precision", "recall", "f1")]
        rows.append([str(at), label, report["definitions"].get(label, "–"), *figures,
                     str(int(line["records"]))])  # fmt: skip
    return [_("## Labels"), table(header, rows, language)]


def training(report: Report, language: str) -> list[Text]:
    """Return the data and the model that it was made from."""
    found: list[Text] = [_("## Training")]
    origin = report["model"]["origin"]
    if origin:
        found.append(_("It starts from {name} ({kind}, {exact}).", name=plain(origin["name"], ""),
                       kind=origin["kind"], exact=origin["exact"][:12] or "–"))  # fmt: skip
    elif report["model"].get("method") == "scratch":
        found.append(_("It was trained from scratch."))
    parts = report["parts"]
    if parts:
        found.append(_("{train} records to learn from, {validation} to choose by, {test} to judge "
                       "by.", **{name: f"{parts[name]:,}" for name in parts}))  # fmt: skip
    if report["sources"]:
        header = (_("Source"), _("Licence"), _("Permitted use"), _("Personal data"), _("Records"))
        rows = [
            [one["name"], str(one.get("licence", "–")), str(one.get("permitted_use", "–")),
             _("yes") if one.get("personal_data") else _("no"), str(one.get("records", "–"))]
            for one in report["sources"]
        ]  # fmt: skip
        found.append(table(header, rows, language))
    return found


def limits(report: Report) -> list[Text]:
    """Return what the model is not for, and what nobody knows about it."""
    said: list[Text] = [
        _("## Limits"),
        _("Its figures hold for texts like those of the test part. For other subjects, times or "
          "languages nothing was measured."),
        _("It answers every text, those that belong to none of its labels too; ask a person where "
          "an error does harm."),
    ]  # fmt: skip
    if any(one.get("personal_data") for one in report["sources"]):
        said.append(_("It was trained on texts with personal data; what it gives away about them "
                      "was not measured."))  # fmt: skip
    uses = {one["permitted_use"] for one in report["sources"] if one.get("permitted_use")}
    if uses:
        named = ", ".join(plain(one, "") for one in sorted(uses))
        said.append(_("Its data may be used for: {uses}. What was learnt from it is bound by that "
                      "too.", uses=named))  # fmt: skip
    if not report["declared"]:
        said.append(_("No column was declared by which answers were compared, so nothing is known "
                      "about fairness."))  # fmt: skip
    return said


def quality(report: Report, language: str) -> list[Text]:
    """Return the figures with intervals, and those of the baseline to beat."""
    sure, cheap = report["intervals"], report["strongest"]
    rows: list[Sequence[Text]] = []
    for name, value in report["figures"].items():
        ends = sure[MODEL].get(name)
        known = report["baselines"][cheap].get(name)
        rows.append([naming.figure(name), naming.number(value),
                     f"[{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "–",
                     naming.number(known)])  # fmt: skip
    header = (_("Figure"), _("Value"),
              _("{confidence} interval", confidence=naming.percent(report["confidence"])),
              _("Best cheap model"))  # fmt: skip
    said = _("On {records} records of the test part. The whole report, with groups, errors and "
             "confusions, is report.html.", records=f"{report['records']:,}")  # fmt: skip
    return [_("## Figures"), said, table(header, rows, language)]


def footprint(report: Report) -> list[Text]:
    """Return what training took."""
    told = report["training"]
    if told.get("seconds") is None:
        return []
    found: list[Text] = [_("## Cost of training")]
    hours = f"{told['seconds'] / HOUR:.2f}"
    if told.get("co2_kg") is None or told.get("kwh") is None:
        found.append(_("{hours} hours on {device}; its energy could not be measured.",
                       hours=hours, device=told.get("device", "–")))  # fmt: skip
    else:
        found.append(_("{hours} hours on {device}, {kwh} kWh, {grams} g of CO₂ (codecarbon).",
                       hours=hours, device=told.get("device", "–"), kwh=f"{told['kwh']:.4f}",
                       grams=f"{told['co2_kg'] * GRAMS:.2f}"))  # fmt: skip
    return found


def use() -> list[Text]:
    """Return how the model is asked."""
    code = ('```python\nfrom pipeline.predictor import Predictor\n\nmodel = Predictor.load('
            '"models/optimize/model")\nmodel.predict(["..."], top_k=3)\n```')  # fmt: skip
    return [_("## Use"), code]


def table(header: Sequence[Text], rows: Rows, language: str) -> str:
    """Return a table of Markdown; what stands in its cells cannot leave them."""
    lines = [[plain(one, language) for one in header], ["---"] * len(header)]
    lines += [[plain(one, language) for one in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain(text: Text, language: str) -> str:
    """Return a text for Markdown: no HTML, no link, no picture, no further cell, no new line."""
    said = words(text, language)
    said = said if len(said) <= LONGEST or isinstance(text, Message) else f"{said[: LONGEST - 1]}…"
    said = "".join(letter if letter.isprintable() else " " for letter in said)
    said = re.sub(r"([\\`*_\[\]|~!#$])", r"\\\1", said)
    return html.escape(said, quote=False).replace("://", ":&#47;&#47;")
