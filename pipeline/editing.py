"""Change one value of ``params.yaml`` and leave every other byte as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from pipeline.artifacts import PARAMS, write_bytes
from pipeline.errors import ParamsError
from pipeline.i18n import _
from pipeline.params import check, decode, find, parse, read_bytes

SMALL = 1e-3  # smaller numbers are written with an exponent
PLAIN = re.compile(
    r"[A-Za-z_\u4e00-\u9fff]([\w\u4e00-\u9fff ./+()=<>%*-]*[\w\u4e00-\u9fff./+()%*])?"
    r"|\d+\.\d+\.\d+"  # a version
)
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # which YAML takes for others


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
        raise no_place(path, where)
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


def no_place(path: Path, where: str) -> ParamsError:
    """Return the error for a path that leads nowhere."""
    return ParamsError.at(
        f"{path}, {where}",
        found=_("no such value"),
        allowed=_("a value that stands in the file"),
        fix=_("Check the spelling."),
    )


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
    """Return a value as YAML on one line, so that it fits wherever another one stood.

    It fits between brackets too, and readers of YAML 1.1 see the same texts.

    :raises ValueError: for what YAML cannot hold.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)  # Python refuses numbers of thousands of digits with a ValueError
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{quoted(str(name))}: {written(one)}" for name, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    raise ValueError(type(value).__name__)


def number(value: float) -> str:
    """Return a number as people write it: 1e-5, neither 1e-05 nor 0.00001; 0.7; 5.0.

    :raises ValueError: for what is no finite number.
    """
    text = repr(float(value))
    if text.lstrip("-") in ("nan", "inf"):
        raise ValueError(text)
    if "e" not in text and not 0 < abs(value) < SMALL:
        return text
    return f"{Decimal(text).normalize():e}".replace("e+", "e")


def quoted(text: str) -> str:
    """Return a text as it can stand anywhere, plain where no reader takes it for something else."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return f'"{"".join(map(escaped, text))}"'


def escaped(character: str) -> str:
    """Return a character as it stands between double quotes in YAML."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"
