"""Write values into the text of ``params.yaml`` so that comments and all other bytes stay.

``pipeline.editing`` changes one value of a file; this changes several at once, and within lists
and mappings only the entries that differ. The result is read again and compared with what was
wanted, so that no way of writing a value can change another one.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

from app.studio.forms.describing import same
from app.studio.forms.mattering import value_at
from app.studio.forms.present import of
from pipeline.artifacts import PARAMS
from pipeline.editing import end_of, no_place, place, quoted, written
from pipeline.errors import ParamsError
from pipeline.i18n import _
from pipeline.params import children

WIDE = 100  # characters; longer lists go over several lines where they can


@dataclass(frozen=True)
class Edit:
    """A piece of the text and what stands there afterwards."""

    start: int
    end: int
    text: str


class NotInPlaceError(Exception):
    """The entries of a list or mapping cannot be changed one by one; it has to be written anew."""


def rewritten(text: str, changes: Mapping[str, Any], path: Path = PARAMS) -> str:
    """Return the text with other values at some paths.

    :param changes: dotted path → value; a name that the file does not have yet is added.
    :param path: named in errors.
    :raises ParamsError: for a path that leads nowhere, or a value that YAML cannot hold.
    """
    now = of(text.encode("utf-8", "surrogatepass"))
    wanted = in_order_of(now.values, with_changes(now.values, changes, path))
    for fine in (True, False):
        writer = Writer(text, newline(text), fine)
        try:
            result = applied(text, list(writer.edits(now.tree, None, now.values, wanted)))
            if same(of(result.encode()).values, wanted):
                return result
        except (NotInPlaceError, ParamsError, ValueError):  # or what YAML cannot hold
            continue
    raise ParamsError.at(
        f"{path}, {', '.join(changes)}",
        found=_("a value that cannot be written"),
        allowed=_("text, numbers, switches, and lists and names with them"),
        fix=_("Change it to an allowed value."),
    )


def newline(text: str) -> str:
    """Return how the lines of a text end."""
    return "\r\n" if "\r\n" in text else "\n"


def with_changes(values: Any, changes: Mapping[str, Any], path: Path = PARAMS) -> Any:
    """Return values with other ones at some paths; what is given stays as it is.

    What does not change is shared with what is given.

    :raises ParamsError: for a path that leads nowhere.
    """
    for where, value in changes.items():
        try:
            values = with_one(values, where.split("."), copy.deepcopy(value))
        except LookupError:
            raise no_place(path, where) from None
    return values


def with_one(values: Any, steps: Sequence[str], value: Any) -> Any:
    """Return values with another one at the end of some steps.

    :raises LookupError: if they lead nowhere.
    """
    if not steps:
        return value
    if isinstance(values, list) and (at := number(steps[0], values)) is not None:
        return [*values[:at], with_one(values[at], steps[1:], value), *values[at + 1 :]]
    if not isinstance(values, Mapping):
        raise LookupError(steps[0])
    for end in range(len(steps) - 1, 0, -1):  # a name may hold dots, as in mattering.value_at
        name = ".".join(steps[:end])
        if name in values:
            return {**values, name: with_one(values[name], steps[end:], value)}
    if len(steps) > 1:
        raise LookupError(steps[0])
    return {**values, steps[0]: value}


def put(values: Any, where: str, value: Any, path: Path = PARAMS) -> None:
    """Set one value in place.

    :raises ParamsError: for a path that leads nowhere.
    """
    above, dot, name = where.rpartition(".")
    holder = value_at(values, above) if dot else values
    at = name if isinstance(holder, dict) else number(name, holder)
    if at is None:
        raise no_place(path, where)
    holder[at] = value


def in_order_of(old: Any, new: Any) -> Any:
    """Return a value whose names stand in the order that the file has; new ones come last."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [name for name in old if name in new] + [name for name in new if name not in old]
        return {name: in_order_of(old.get(name), new[name]) for name in names}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [in_order_of(before, after) for before, after in zip(old, new, strict=True)]
    return new


def number(name: str, holder: Any) -> int | None:
    """Return the place in a list that a step of a path names, None where there is none."""
    if isinstance(holder, list) and name.isascii() and name.isdecimal() and int(name) < len(holder):
        return int(name)
    return None


def applied(text: str, edits: Sequence[Edit]) -> str:
    """Return the text after edits that do not overlap."""
    end = len(text)
    for edit in sorted(edits, key=lambda one: (one.start, one.end), reverse=True):
        if edit.end > end:
            raise NotInPlaceError
        text, end = text[: edit.start] + edit.text + text[edit.end :], edit.start
    return text


@dataclass(frozen=True)
class Writer:
    """Finds the smallest edits of one text."""

    text: str
    newline: str
    fine: bool  # change entries one by one; otherwise write each list and mapping anew

    def edits(self, node: Node, above: Node | None, old: Any, new: Any) -> Iterator[Edit]:
        """Yield what turns one value into another."""
        if same(old, new):
            return
        if isinstance(node, MappingNode) and isinstance(old, Mapping) and isinstance(new, Mapping):
            if list(old) == list(new):
                inner = dict(children(node))
                for name in new:
                    yield from self.edits(inner[name], node, old[name], new[name])
                return
            if self.fine and in_block(node) and new:
                yield from self.names(node, old, new)
                return
        if isinstance(node, SequenceNode) and isinstance(old, list) and isinstance(new, list):
            if len(old) == len(new) and self.fine:
                for inner_node, before, after in zip(node.value, old, new, strict=True):
                    yield from self.edits(inner_node, node, before, after)
                return
            if self.fine and in_block(node) and new:
                yield from self.items(node, old, new)
                return
        yield self.whole(node, above, new)

    def whole(self, node: Node, above: Node | None, new: Any) -> Edit:
        """Return the edit that writes a value anew."""
        if above is None:
            raise NotInPlaceError
        start, end, gap = place(self.text, node, above)
        flat = written(new)
        wide = len(flat) > WIDE and isinstance(new, list | dict)
        if not (wide and isinstance(above, MappingNode) and in_block(above)):
            return Edit(start, end, gap + flat)
        column = self.column(above) + 2
        lines = self.newline.join(block(new, column))
        head = self.text[:start].rstrip(" ")
        if head.endswith(":"):
            return Edit(len(head), end, self.newline + lines)
        if head.endswith("\n") and in_block(node):
            return Edit(len(head), end, lines)
        return Edit(start, end, gap + flat)

    def names(self, node: Node, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
        """Yield what turns one block of names into another: gone lines, other values, new lines."""
        inner = dict(children(node))
        if [one for one in new if one in old] != [one for one in old if one in new]:
            raise NotInPlaceError
        yield from self.entries(
            [(key.start_mark.index, value) for key, value in node.value],
            [None if name not in new else (inner[name], old[name], new[name]) for name in old],
            self.gaps([one in old for one in new], [{one: new[one]} for one in new]),
            node,
        )

    def items(self, node: Node, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Edit]:
        """Yield what turns one block of items into another."""
        matcher = difflib.SequenceMatcher(
            None, [json.dumps(one) for one in old], [json.dumps(one) for one in new], autojunk=False
        )
        kept: list[tuple[Node, Any, Any] | None] = [None] * len(old)
        there = [False] * len(new)
        for _tag, low, high, first, last in matcher.get_opcodes():
            for before, after in zip(range(low, high), range(first, last), strict=False):
                kept[before] = (node.value[before], old[before], new[after])
                there[after] = True
        starts = [(self.text.rindex("-", 0, one.start_mark.index), one) for one in node.value]
        yield from self.entries(starts, kept, self.gaps(there, [{"-": one} for one in new]), node)

    def gaps(self, there: Sequence[bool], entries: Sequence[Any]) -> list[list[Any]]:
        """Return the new entries that go before the first kept one, after it, and so on."""
        gaps: list[list[Any]] = [[]]
        for known, entry in zip(there, entries, strict=True):
            if known:
                gaps.append([])
            else:
                gaps[-1].append(entry)
        return gaps

    def entries(
        self,
        places: Sequence[tuple[int, Node]],
        kept: Sequence[tuple[Node, Any, Any] | None],
        gaps: Sequence[Sequence[Any]],
        node: Node,
    ) -> Iterator[Edit]:
        """Yield the edits of a block whose entries are removed, changed or added.

        :param places: where each entry starts, and its value's node.
        :param kept: node, old and new value of each entry that stays, None for one that goes.
        :param gaps: what is added before the first entry that stays, and after each of them.
        """
        column = self.column(node)
        if not any(kept):
            raise NotInPlaceError
        turn = 0
        for (start, value), entry in zip(places, kept, strict=True):
            if entry is None:
                yield Edit(*self.lines(start, value), "")
                continue
            if turn == 0 and gaps[0]:
                line, _end = self.lines(start, value)
                yield Edit(line, line, self.added(gaps[0], column))
            turn += 1
            yield from self.edits(entry[0], node, entry[1], entry[2])
            if gaps[turn]:
                end = self.lines(start, value, alone=False)[1]
                ended = self.text[end - 1 : end] == "\n"
                lead = "" if ended else self.newline
                yield Edit(end, end, lead + self.added(gaps[turn], column, close=ended))

    def lines(self, start: int, value: Node, *, alone: bool = True) -> tuple[int, int]:
        """Return where the lines of an entry start and end.

        :raises NotInPlaceError: if it has to be alone, and shares its first line with another.
        """
        line = self.text.rfind("\n", 0, start) + 1
        if alone and self.text[line:start].strip():
            raise NotInPlaceError
        last = max(end_of(self.text, value), start)
        end = self.text.find("\n", last)
        return line, len(self.text) if end < 0 else end + 1

    def column(self, node: Node) -> int:
        """Return how far a block is indented."""
        return int(node.start_mark.column)

    def added(self, entries: Sequence[Mapping[str, Any]], column: int, close: bool = True) -> str:
        """Return the lines of new entries."""
        lines = [line for entry in entries for line in entry_lines(entry, column)]
        return self.newline.join(lines) + (self.newline if close else "")


def in_block(node: Node) -> bool:
    """Return whether a list or mapping stands on lines of its own, not between brackets."""
    return isinstance(node, CollectionNode) and not node.flow_style


def entry_lines(entry: Mapping[str, Any], column: int) -> list[str]:
    """Return the lines of one new entry; the name ``-`` stands for an item of a list."""
    ((name, value),) = entry.items()
    if name != "-":
        return block({name: value}, column)
    if isinstance(value, Mapping) and value and len(written(value)) > WIDE:
        first, *rest = block(value, column + 2)
        return [f"{' ' * column}- {first.lstrip(' ')}", *rest]
    return [f"{' ' * column}- {written(value)}"]


def block(value: Any, column: int) -> list[str]:
    """Return a mapping or a list on lines of its own; what is short stays on one line."""
    space = " " * column
    if isinstance(value, list):
        return [line for one in value for line in entry_lines({"-": one}, column)]
    lines: list[str] = []
    for name, one in value.items():
        flat = written(one)
        if isinstance(one, list | Mapping) and one and len(flat) + column > WIDE:
            lines += [f"{space}{quoted(name)}:", *block(one, column + 2)]
        else:
            lines.append(f"{space}{quoted(name)}: {flat}")
    return lines
