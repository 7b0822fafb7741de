"""``params.yaml`` as it lies there, read once for each state of the file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.nodes import Node

from app.studio.forms.describing import same
from app.studio.project_files import Project
from app.studio.stamps import Stamp, stamp_of
from pipeline.artifacts import PARAMS
from pipeline.errors import ParamsError, Problem
from pipeline.i18n import _
from pipeline.params import Params, decode, explain, parse, read_bytes, without_tags

KEPT = 8  # states of files


@dataclass(frozen=True)
class Present:
    """One state of the file."""

    sha256: str
    values: Mapping[str, Any]
    tree: Node = field(repr=False, compare=False)

    @functools.cached_property
    def problems(self) -> Mapping[str, list[Problem]]:
        """What is not allowed in the file as it is, by path."""
        return problems(self.values, self.tree)


def read(project: Project) -> Present:
    """Return the file as it is now.

    :raises ParamsError: if it is no readable YAML of names and values.
    """
    found = stamp_of(project.params)
    return of(read_bytes(project.params)) if found is None else state(found)


@functools.lru_cache(maxsize=KEPT)
def state(stamp: Stamp) -> Present:
    """Return the state of a file that has this stamp."""
    return of(read_bytes(Path(stamp.path)))


@functools.lru_cache(maxsize=KEPT)
def of(content: bytes) -> Present:
    """Return what these bytes say; reading YAML takes a quarter of a second.

    :raises ParamsError: if they are no YAML of names and values.
    """
    values, tree = parse(decode(content, PARAMS), PARAMS)
    if not isinstance(values, dict):
        raise ParamsError.at(
            PARAMS,
            found=_("no names with values"),
            allowed=_("the sections of params.yaml"),
            fix=_("Take an earlier version of the file, or start the project anew."),
        )
    return Present(hashlib.sha256(content).hexdigest(), values, tree)


def problems(values: Mapping[str, Any], tree: Node) -> dict[str, list[Problem]]:
    """Return what is not allowed, by the path of the field; ``""`` stands for the whole.

    :param values: of the whole file; they need not be those of ``tree``.
    :param tree: of the file as it is, for the numbers of its lines.
    """
    try:
        Params.model_validate(values)
    except ValidationError as error:
        found: dict[str, list[Problem]] = {}
        for detail in error.errors():
            steps = without_tags(detail["loc"])
            if detail["type"].startswith("union_tag"):
                steps = (*steps, "kind")
            place = ".".join(map(str, steps))
            found.setdefault(place, []).append(explain(detail, tree, PARAMS))
        return found
    return {}


def differences(old: Any, new: Any, path: str = "") -> dict[str, Any]:
    """Return the values of ``new`` that differ, by path: the smallest changes that lead there.

    A list of another length and a group of another kind are given whole.
    """
    if same(old, new):
        return {}
    names = isinstance(old, Mapping) and isinstance(new, Mapping) and set(old) == set(new)
    if names and all(map(plain_name, old)):
        return merged({name: (old[name], new[name]) for name in old}, path)
    items = isinstance(old, list) and isinstance(new, list) and len(old) == len(new)
    if items and any(isinstance(one, Mapping) for one in old):
        pairs = zip(old, new, strict=True)
        return merged({str(at): pair for at, pair in enumerate(pairs)}, path)
    return {path: new}


def plain_name(name: object) -> bool:
    """Return whether a name can be a step of a path; a label may hold dots."""
    return isinstance(name, str) and name != "" and "." not in name


def merged(pairs: Mapping[str, tuple[Any, Any]], path: str) -> dict[str, Any]:
    """Return the differences of all pairs below a path."""
    found: dict[str, Any] = {}
    for name, (old, new) in pairs.items():
        found |= differences(old, new, f"{path}.{name}" if path else name)
    return found
