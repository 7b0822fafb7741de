"""The params of a project around an uploaded table: a bundled project with another source."""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.studio import roles
from app.studio.forms import present, templates
from app.studio.forms.rewriting import rewritten
from app.studio.forms.templates import Started
from app.studio.forms.uploading import FEWEST, Checked, Mapped
from app.studio.project_files import Project
from pipeline.artifacts import RAW, write_bytes
from pipeline.errors import ParamsError
from pipeline.i18n import _
from pipeline.params import check


@dataclass(frozen=True)
class Stated:
    """What the person says about the data."""

    name: str
    licence: str
    permitted_use: str
    personal_data: bool


def begin(
    project: Project, upload: Path, stated: Stated, mapped: Mapped, found: Checked
) -> Started:
    """Copy the upload to ``data/raw`` and write the params of a new project around it.

    Needs the role for ``roles.START_PROJECT``. What stood in ``params.yaml`` is kept beside it.

    :raises ParamsError: if the params would not be allowed; nothing is written then.
    """
    user = roles.require(roles.START_PROJECT, stated.name)
    target = RAW / f"{slug(stated.name)}-{secrets.token_hex(4)}{upload.suffix}"
    content = params_for(stated, mapped, found, target)
    project.raw.mkdir(parents=True, exist_ok=True)
    place = project.root / target
    write_bytes(place, upload.read_bytes())
    try:
        started = templates.write(project, content, user)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    upload.unlink(missing_ok=True)
    return started


def slug(name: str) -> str:
    """Return a name as sources are named: small Latin letters, digits and dashes."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:30].strip("-") or "upload"


def base_for(mapped: Mapped) -> Path:
    """Return the bundled project of the same task."""
    names = {"regression": "film-ratings", "multi_label": "question-topics"}
    return templates.bundled(names.get(mapped.task, templates.OWN)).path


def params_for(stated: Stated, mapped: Mapped, found: Checked, target: Path) -> bytes:
    """Return the ``params.yaml`` of a project around an uploaded table.

    It is the bundled project of the same task, with this source and these labels. Chinese texts
    take the small model that learns everything from them, as the bundled ones read English only.

    :raises ParamsError: if it would not be allowed.
    """
    base = base_for(mapped)
    text = base.read_text(encoding="utf-8")
    classes = mapped.task != "regression"
    changes: dict[str, Any] = {
        "collect.sources": [source(stated, mapped, target)],
        "collect.group_by": ["source", "label"] if mapped.task == "single_label" else ["source"],
        "clean.duplicates.contradictions": mapped.task == "single_label",
        "label.task": mapped.task,
        "label.labels": sorted(label for label, _count in found.labels) if classes else [],
        "label.definitions": {},
        "label.mapping": {},
        "label.rules": [],
        "label.numbers": {"low": None, "high": None},
        "validate.gates": [],
    }
    if mapped.separator:
        changes["label.separator"] = mapped.separator
    if any(count < FEWEST for _label, count in found.labels):
        changes["split.min_per_label"] = 1
    if found.chinese:
        changes |= chinese(mapped)
    content = rewritten(text, changes, base).encode()
    check(content)
    return content


def chinese(mapped: Mapped) -> dict[str, Any]:
    """Return the sections of the bundled Chinese project that say how a model is made."""
    values = present.of(templates.bundled("zh-reviews").path.read_bytes()).values
    train = values["train"]
    if mapped.task != "single_label":
        own = present.of(base_for(mapped).read_bytes()).values["train"]
        kept = ("metric", "loss", "baselines")
        train = train | {name: own[name] for name in kept}
        train = train | {"baselines": own["baselines"] | {"analyzer": "char_wb"}}
    return {"init": values["init"], "train": train}


def source(stated: Stated, mapped: Mapped, target: Path) -> dict[str, Any]:
    """Return the entry of ``collect.sources`` for an uploaded table."""
    if not stated.licence.strip():
        raise ParamsError.at(
            _("Licence"),
            found=_("nothing"),
            allowed=_("a sentence or a name of a licence"),
            fix=_("Say under which terms the data may be used."),
        )
    return {
        "name": slug(stated.name),
        "kind": "file",
        "path": target.as_posix(),
        "licence": stated.licence.strip(),
        "permitted_use": stated.permitted_use.strip(),
        "personal_data": stated.personal_data,
        "required": True,
        "label": None,
        "limit": None,
        "sample": "first",
        "reader": {
            "format": "auto",
            "encoding": "auto",
            "pattern": None,
            "unmatched": "fail",
            "members": "*",
            "sheet": None,
            "columns": {
                "text": mapped.text,
                "label": mapped.label,
                "group": mapped.group,
                "created_at": mapped.created_at,
                "meta": list(mapped.meta),
            },
        },
    }
