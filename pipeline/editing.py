"""Change one value of ``params.yaml`` and leave every other byte as it was."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from pipeline.artifacts import PARAMS, write_bytes
from pipeline.errors import ParamsError
from pipeline.i18n import _
from pipeline.params import check, decode, find, parse, read_bytes


def save_value(where: str, value: Any, path: Path = PARAMS) -> None:
    """Change one value; every other byte of the file stays as it was.

    :param where: dotted, as in ``train.epochs`` or ``collect.sources.0.limit``.
    :raises ParamsError: if there is no such value or the file would not be allowed any more; the
        file is then untouched.
    """
    text = decode(read_bytes(path), path)
    _values, tree = parse(text, path)
    steps = tuple(int(step) if step.isdecimal() else step for step in where.split("."))
    node, above = find(tree, steps), find(tree, steps[:-1])
    if node is None or above is None or not steps:
        raise ParamsError.at(
            f"{path}, {where}",
            found=_("no such value"),
            allowed=_("a value that stands in the file"),
            fix=_("Check the spelling."),
        )
    try:
        start, end, gap = place(text, node, above)
        content = (text[:start] + gap + written(value) + text[end:]).encode()
    except (YAMLError, ValueError) as error:
        raise ParamsError.at(
            f"{path}, {where}",
            found=type(value).__name__,
            allowed=_("a value that YAML can hold ({reason})", reason=error),
            fix=_("Give text, a number, a switch or a list of them."),
        ) from None
    check(content, path)
    write_bytes(path, content)


def place(text: str, node: Node, above: Node) -> tuple[int, int, str]:
    """Return where the text of a value starts and ends, and what has to stand before a new one.

    :param above: the mapping or list that holds the value.
    """
    start, end = node.start_mark.index, end_of(text, node)
    if (
        not isinstance(node, CollectionNode) and start >= end
    ):  # nothing stands after the colon or the dash
        keys = [key for key, value in above.value if value is node] if is_mapping(above) else []
        mark = text.index(":", keys[0].end_mark.index) if keys else text.rindex("-", 0, start)
        return mark + 1, mark + 1, " "
    if is_mapping(above) and node.start_mark.column <= above.start_mark.column:
        return start, end, "  "  # a list that stood as far left as its name may not stay there
    return start, end, ""


def is_mapping(node: Node) -> bool:
    """Return whether a node holds names with values."""
    return isinstance(node, MappingNode)


def end_of(text: str, node: Node) -> int:
    """Return where the text of a node ends; a block's own end mark lies behind later comments."""
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        return start + len(text[start:end].rstrip())
    last = node.value[-1]
    return end_of(text, last[1] if isinstance(last, tuple) else last)


def written(value: Any) -> str:
    """Return a value as YAML on one line, so that it fits wherever another one stood."""
    if isinstance(value, str) and (needs_quotes(value) or not value.isprintable()):
        return f'"{"".join(map(escaped, value))}"'
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = True, 2**20, True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    target = io.StringIO()
    if isinstance(value, str):
        # As an entry of a list: between brackets a comma needs quotes, which elsewhere do no harm.
        yaml.dump([value], target)
        return target.getvalue().strip()[1:-1]
    yaml.dump(value, target)
    return re.sub(r"\n(\.\.\.\n?)?$", "", target.getvalue())


def escaped(character: str) -> str:
    """Return a character as it stands between double quotes in YAML."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


def needs_quotes(text: str) -> bool:
    """Return whether other readers of YAML would take this text for a switch."""
    return text.lower() in {"yes", "no", "on", "off", "y", "n"}
