"""What other stages reported, as far as the test report and the model card speak of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import artifacts

OF_SOURCES = ("name", "kind", "licence", "permitted_use", "personal_data", "records")
OF_MODEL = ("method", "architecture", "model_type", "parameters")
OF_TRAINING = ("seconds", "kwh", "co2_kg", "money")


def gather(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's origin, its data, what training took, and the gates it passed.

    What a stage did not report is left out: the test can run before it is reported again.

    :param definitions: ``label.definitions``: label → its definition.
    """
    collected, started, trained, judged, divided = (
        read(folder) for folder in (artifacts.COLLECT, artifacts.INIT, artifacts.TRAIN,
                                    artifacts.VALIDATE, artifacts.SPLIT)
    )  # fmt: skip
    actual = trained.get("actual", {})
    return {
        "definitions": {name: one.meaning for name, one in definitions.items()},
        "sources": [picked(one, OF_SOURCES) for one in collected.get("sources", [])],
        "parts": divided.get("parts", {}),
        "model": picked(started, OF_MODEL) | {"origin": origin(started.get("origin", {}))},
        "training": picked(actual, OF_TRAINING) | picked(trained, ("device",)),
        "gates": judged.get("gates", []),
        "tuned_on_validation": judged.get("tuned_on_this_part", []),
    }


def read(folder: Any) -> dict[str, Any]:
    """Return a stage's report, an empty one where there is none."""
    path = folder / artifacts.REPORT
    return artifacts.read_json(path) if path.is_file() else {}


def picked(content: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the named values that are there."""
    return {name: content[name] for name in names if content.get(name) is not None}


def origin(told: Mapping[str, Any]) -> dict[str, str]:
    """Return where the starting model comes from: kind, name, and a hash or commit."""
    named = next((told[key] for key in ("package", "name", "path") if told.get(key)), None)
    if named is None:
        return {}
    exact = told.get("sha256") or told.get("revision") or ""
    return {"kind": str(told.get("kind", "")), "name": str(named), "exact": str(exact)}
