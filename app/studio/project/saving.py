"""Read and save ``project.yaml``: checked as a whole, comments kept, nobody overwritten."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import Node
from ruamel.yaml.scalarstring import LiteralScalarString

from app.studio import history, roles
from app.studio.locking import only_writer
from app.studio.project.fields import Part, views
from app.studio.project.schema import Plan
from app.studio.project_files import Project
from app.studio.recording import Recorded
from pipeline.artifacts import write_bytes
from pipeline.errors import BusyError, ParamsError, Problem, Text
from pipeline.i18n import _
from pipeline.params import decode, find, parse, phrases, shown

FILE = str(history.PLAN)
LOCK = ".project.lock"
HEADER = """# What the project is for, what it needs, who does what when, and what can go wrong.
# People's own: no stage reads it. Write here or in the studio, page "Requirements and plan".
"""


class ChangedMeanwhileError(BusyError):
    """Somebody else changed the same part since it was shown; it is left as they made it."""

    def __init__(self, *problems: Problem, theirs: Any = None) -> None:
        super().__init__(*problems)
        self.theirs = theirs


@dataclass(frozen=True)
class Saved:
    """What was saved."""

    plan: Plan
    recorded: Recorded


def path_of(project: Project) -> Path:
    """Return where the plan lies."""
    return project.root / FILE


def read(project: Project) -> Plan:
    """Return the plan; an empty one where there is no file yet.

    :raises ParamsError: with every problem of the file.
    """
    path = path_of(project)
    if not path.exists():
        return Plan()
    return check(path.read_bytes())


def check(content: bytes) -> Plan:
    """Check the bytes of a ``project.yaml``.

    :raises ParamsError: with every problem of the file.
    """
    text = decode(content, Path(FILE))
    values, tree = parse(text, Path(FILE))
    try:
        return Plan.model_validate({} if values is None else values)
    except ValidationError as error:
        raise ParamsError(*(problem_of(detail, tree) for detail in error.errors())) from None


def problem_of(detail: ErrorDetails, tree: Node | None) -> Problem:
    """Put one of pydantic's findings into house style, with the line where it stands."""
    steps = detail["loc"]
    node = find(tree, steps) or find(tree, steps[:-1])
    line = f":{node.start_mark.line + 1}" if node else ""
    where = ".".join(map(str, steps))
    found, allowed, fix = put(detail)
    return Problem(f"{FILE}{line}, {where}", found, allowed, fix)


def put(detail: ErrorDetails) -> tuple[Text, Text, Text]:
    """Return what was found, what is allowed and what to do."""
    kind, context = detail["type"], detail.get("ctx", {})
    change = _("Change it to an allowed value.")
    if kind in ("missing", "string_too_short", "too_short") and not detail.get("input"):
        return _("nothing"), _("a value"), _("Fill it in, or remove the row.")
    if kind == "odd_character":
        found = _("a character that cannot be seen")
        return found, _("letters, digits and signs"), _("Type the text again.")
    if kind.startswith("date"):
        return shown(detail["input"]), _("a day such as {day}", day="2026-12-31"), change
    if kind == "greater_than_equal":
        return shown(detail["input"]), _("at least {limit}", limit=context["ge"]), change
    if kind == "less_than_equal":
        return shown(detail["input"]), _("at most {limit}", limit=context["le"]), change
    return phrases(detail)


def part_problems(model: type[Part], values: Any) -> dict[tuple[str | int, ...], Problem]:
    """Return what is wrong with a part of the plan, by the place within it.

    :param values: of one part, or a list of them.
    """
    many = isinstance(values, list)
    found: dict[tuple[str | int, ...], Problem] = {}
    for place, one in enumerate(values if many else [values]):
        try:
            model.model_validate(one)
        except ValidationError as error:
            for detail in error.errors():
                steps = (place, *detail["loc"]) if many else detail["loc"]
                found.setdefault(steps, Problem(".".join(map(str, steps)), *put(detail)))
    return found


def value_at(plan: Plan, where: str) -> Any:
    """Return a part of a plan as plain values."""
    found: Any = plan
    for name in where.split("."):
        found = getattr(found, name)
    return plain(found)


def plain(part: Any) -> Any:
    """Return the fields of parts as names with values; parts and lists within are apart."""
    if isinstance(part, Part):
        return {one.name: getattr(part, one.name) for one in views(type(part))}
    return [plain(one) for one in part] if isinstance(part, list) else part


def save(
    project: Project, changes: Mapping[str, Any], seen: Mapping[str, Any], what: Text
) -> Saved:
    """Save parts of the plan; the rest of the file, and its comments, stay.

    :param changes: plain values by the dotted name of a part, such as ``about`` or
        ``schedule.tasks``.
    :param seen: what these parts were when they were shown.
    :param what: the name of the part, for the Git record.
    :raises RoleError: if the role is too small.
    :raises ChangedMeanwhileError: if a part is another one by now; nothing is written.
    :raises BusyError: if somebody else saves for half a minute.
    :raises ParamsError: with every problem, if the plan would not be allowed; nothing is written.
    """
    user = roles.require(roles.EDIT_PROJECT, ", ".join(changes))
    with only_writer(project.studio / LOCK):
        path = path_of(project)
        content = path.read_bytes() if path.exists() else HEADER.encode()
        now = check(content)
        for where in changes:
            refuse_changed(where, value_at(now, where), seen[where])
        new = merged(content, changes)
        plan = check(new)
        if new != content:
            write_bytes(path, new)
    return Saved(plan, history.saved_plan(project, what, user.name))


def refuse_changed(where: str, now: Any, seen: Any) -> None:
    """Refuse to save over what somebody else saved meanwhile.

    :raises ChangedMeanwhileError: naming every field that differs, with what stands there now.
    """
    if now == seen:
        return
    problems = [
        Problem(
            f"{FILE}, {where}.{name}" if name else f"{FILE}, {where}",
            _("{value}, which somebody else saved meanwhile", value=shown(value)),
            _("what was shown here: {value}", value=shown(old)),
            _("Look at both, then save yours again or take theirs."),
        )
        for name, value, old in differing(now, seen)
    ]
    raise ChangedMeanwhileError(*problems, theirs=now)


def differing(now: Any, seen: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the place of every difference, with both values."""
    if isinstance(now, dict) and isinstance(seen, dict):
        for name in dict.fromkeys([*now, *seen]):
            yield from differing(now.get(name), seen.get(name), f"{at}.{name}" if at else str(name))
    elif isinstance(now, list) and isinstance(seen, list) and len(now) == len(seen):
        for place, (one, other) in enumerate(zip(now, seen, strict=True)):
            yield from differing(one, other, f"{at}.{place}" if at else str(place))
    elif now != seen:
        yield at, now, seen


def merged(content: bytes, changes: Mapping[str, Any]) -> bytes:
    """Return the file with these parts changed; comments stay where their lines do."""
    editor = YAML(typ="rt", pure=True)
    editor.width, editor.allow_unicode, editor.preserve_quotes = 2**20, True, True
    editor.indent(mapping=2, sequence=4, offset=2)
    text = content.decode("utf-8")
    document = editor.load(text)
    if document is None:  # a file of comments only: they go to the top
        document = CommentedMap()
        document.yaml_set_start_comment(text.replace("# ", "").replace("#", "").rstrip("\n"))
    document.setdefault("version", 1)
    for where, value in changes.items():
        *above, last = where.split(".")
        place = document
        for name in above:
            place = place.setdefault(name, CommentedMap())
        place[last] = joined(place.get(last), value)
    target = io.StringIO()
    editor.dump(document, target)
    return target.getvalue().encode()


def joined(old: Any, new: Any) -> Any:
    """Return a new value in the old one's place, so that comments beside it stay."""
    if isinstance(new, dict):
        kept = old if isinstance(old, CommentedMap) else CommentedMap()
        for name, value in new.items():
            kept[name] = joined(kept.get(name), value)
        return kept
    if isinstance(new, list):
        items = old if isinstance(old, CommentedSeq) else CommentedSeq()
        del items[len(new) :]
        for place, value in enumerate(new):
            if place < len(items):
                items[place] = joined(items[place], value)
            else:
                items.append(joined(None, value))
        if not items:
            items.fa.set_flow_style()
        else:
            items.fa.set_block_style()
        return items
    if old == new and type(old) is not bool and not isinstance(new, bool):
        return old  # written as a person wrote it
    if isinstance(new, str) and "\n" in new and literal(new):
        return LiteralScalarString(new)
    return new


def literal(text: str) -> bool:
    """Return whether a text can stand as a block of lines and come back the same."""
    lines = text.split("\n")
    return not any(line != line.rstrip() or "\t" in line for line in lines) and not (
        text.startswith((" ", "\n"))
    )
