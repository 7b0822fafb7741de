"""The exact change of ``params.yaml`` that a proposal asks for; every other byte stays as it is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml.nodes import Node, SequenceNode

from pipeline.artifacts import PARAMS, RAW
from pipeline.editing import end_of, save_value, written
from pipeline.errors import ParamsError
from pipeline.i18n import _
from pipeline.params import check, decode, find, parse

SOURCES = ("collect", "sources")
REQUESTS = RAW / "requests"  # where texts go that were chosen from the log


def changed(content: bytes, *, source: Mapping[str, Any] | None, released: str | None) -> bytes:
    """Return the bytes of ``params.yaml`` with one more source and the release that is followed.

    :raises ParamsError: if the outcome would not be allowed.
    """
    if source is not None:
        content = with_source(content, source)
    if released is not None:
        return with_value(content, "validate.released", released)
    check(content)
    return content


def with_source(content: bytes, source: Mapping[str, Any]) -> bytes:
    """Return the file with one more entry at the end of ``collect.sources``."""
    text = decode(content, PARAMS)
    values, tree = parse(text, PARAMS)
    sources = find(tree, SOURCES)
    if not isinstance(sources, SequenceNode) or not sources.value:
        raise ParamsError.at(
            f"{PARAMS}, {'.'.join(SOURCES)}",
            found=_("no list"),
            allowed=_("at least one source"),
            fix=_("Run git checkout params.yaml."),
        )
    if sources.flow_style:
        return with_value(content, ".".join(SOURCES), [*values["collect"]["sources"], dict(source)])
    column = dash_column(text, sources.value[0])
    end = text.find("\n", end_of(text, sources))
    head, tail = (text, "") if end < 0 else (text[:end], text[end:])
    return f"{head}\n{block(source, column)}{tail or chr(10)}".encode()


def dash_column(text: str, item: Node) -> int:
    """Return how far to the right the dashes of a list stand."""
    dash = text.rindex("-", 0, item.start_mark.index)
    return dash - (text.rfind("\n", 0, dash) + 1)


def block(entry: Mapping[str, Any], column: int) -> str:
    """Return a mapping as an item of a list, a line a value, without a line's end at the end."""
    lines = nested(entry, column + 2)
    return "\n".join([f"{' ' * column}- {lines[0].lstrip()}", *lines[1:]])


def nested(entry: Mapping[str, Any], column: int) -> list[str]:
    """Return a mapping a line a value; mappings in mappings in mappings stand on one line."""
    lines: list[str] = []
    for name, value in entry.items():
        if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
            lines += [f"{' ' * column}{name}:", *nested(value, column + 2)]
        else:
            lines.append(f"{' ' * column}{name}: {written(value)}")
    return lines


def with_value(content: bytes, where: str, value: Any) -> bytes:
    """Return the file with another value in one place.

    :raises ParamsError: if it would not be allowed.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder) / PARAMS
        copy.write_bytes(content)
        save_value(where, value, copy)
        return copy.read_bytes()


def diff(old: bytes, new: bytes) -> str:
    """Return the difference of two versions of ``params.yaml``, as ``git diff`` shows it."""
    return "".join(
        difflib.unified_diff(
            old.decode().splitlines(keepends=True),
            new.decode().splitlines(keepends=True),
            f"a/{PARAMS}",
            f"b/{PARAMS}",
        )
    )


def source_of(proposal: str, path: Path, personal_data: bool) -> dict[str, Any]:
    """Return the entry of ``collect.sources`` for requests that go to be labelled."""
    return {
        "name": f"requests-{proposal}"[:40],
        "kind": "file",
        "path": path.as_posix(),
        "licence": "requests to our own service",
        "permitted_use": "internal",
        "personal_data": personal_data,
        "required": True,
        "label": None,
        "limit": None,
        "sample": "first",
        "reader": {
            "format": "jsonl",
            "encoding": "utf-8",
            "pattern": None,
            "unmatched": "fail",
            "members": "*",
            "sheet": None,
            "columns": {
                "text": "text",
                "label": None,
                "group": None,
                "created_at": "at",
                "meta": ["why", "answer"],
            },
        },
    }
