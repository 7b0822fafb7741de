"""``params.yaml``: read once and checked against the schema.

Holds no default and computes nothing, which is why no stage in ``dvc.yaml`` depends on it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import Parser

from pipeline.artifacts import PARAMS
from pipeline.errors import ParamsError, Problem, Text
from pipeline.i18n import Message, _
from pipeline.schema.clean import Clean
from pipeline.schema.collect import Collect
from pipeline.schema.compressing import Optimize
from pipeline.schema.init import Init
from pipeline.schema.judgement import Test, Validate
from pipeline.schema.knob import Section, contradiction, knob
from pipeline.schema.label import Label
from pipeline.schema.releasing import Canary, Releasing
from pipeline.schema.search import Search
from pipeline.schema.serving import Serve
from pipeline.schema.split import Split
from pipeline.schema.traffic import Traffic
from pipeline.schema.train import Train
from pipeline.schema.watching import Alerts, Monitor

MAX_BYTES = 64 * 1024
UNIONS = ("pretrained", "feed", "next_page")  # fields that hold one of several kinds
MAX_DEPTH = 20  # lists and sections within each other; params.yaml needs seven
OUT_OF_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")

KINDS = ("file", "package", "folder", "hub", "documents", "http", "sql", "datasets", "stream",
         "link", "field", "number")  # fmt: skip

Steps = tuple[str | int, ...]


class Params(Section):
    """All knobs, one section a stage, and those of the search and of what is served."""

    collect: Collect = knob("Collect", "Where raw records come from.")
    clean: Clean = knob("Clean", "Which texts stay, and how they are written.")
    label: Label = knob("Label", "The labels of the task.")
    split: Split = knob("Split", "What is learnt from, what is judged on.")
    init: Init = knob("Init", "Where training starts.")
    train: Train = knob("Train", "How training goes.")
    validate_: Validate = knob("Validate", "Whether the model may go on.", alias="validate")
    test: Test = knob("Test", "How good the model is.")
    optimize: Optimize = knob("Optimize", "How the model becomes small and fast.")
    search: Search = knob("Search", "Which knobs a search tries; no stage reads this.")
    release: Releasing = knob("Release", "What a release must be; no stage reads this.")
    canary: Canary = knob("Canary", "When a new release goes back; no stage reads this.")
    serve: Serve = knob("Serve", "How the service answers; no stage reads this.")
    traffic: Traffic = knob("Traffic", "What is kept of requests; no stage reads this.")
    monitor: Monitor = knob("Monitor", "How the service is watched; no stage reads this.")
    alerts: Alerts = knob("Alerts", "Who is told, and how often; no stage reads this.")

    @model_validator(mode="after")
    def nothing_frozen_from_scratch(self) -> Params:
        """Drawn word vectors that are never trained mean nothing."""
        if self.init.method == "scratch" and self.train.freeze_embeddings:
            raise contradiction("init.method scratch with train.freeze_embeddings true")
        return self


def load(path: Path = PARAMS) -> Params:
    """Read and check ``params.yaml``.

    :raises ParamsError: with every problem of the file at once.
    """
    return check(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of the file.

    :raises ParamsError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ParamsError.at(
            path,
            found=error.strerror or str(error),
            allowed=_("a readable file"),
            fix=_("Start in the project's folder, or run git checkout params.yaml."),
        ) from error


def check(content: bytes, path: Path = PARAMS) -> Params:
    """Check the bytes of a ``params.yaml``.

    :param path: named in errors.
    :raises ParamsError: with every problem of the file at once.
    """
    text = decode(content, path)
    values, tree = parse(text, path)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ParamsError(*(explain(detail, tree, path) for detail in error.errors())) from None


def decode(content: bytes, path: Path) -> str:
    """Return the text of the file, refusing what is too large or not UTF-8."""
    if len(content) > MAX_BYTES:
        raise ParamsError.at(
            path,
            found=_("{bytes} bytes", bytes=len(content)),
            allowed=_("up to {bytes} bytes", bytes=MAX_BYTES),
            fix=_("Keep data in files below data/raw, not here."),
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParamsError.at(
            path,
            found=_("byte {position} is not UTF-8", position=error.start),
            allowed=_("text in UTF-8"),
            fix=_("Save the file as UTF-8."),
        ) from None


@lru_cache(maxsize=4)
def parse(text: str, path: Path) -> tuple[Any, Node]:
    """Return the values of a YAML 1.2 text and its nodes, refusing aliases, anchors and tags.

    Remembered, because a form is drawn from the same file again and again; nobody changes them.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Parser = partial(Guarded, path=path)
    try:
        tree = reader.compose(text)
        refuse_odd_keys(tree)
        values = None if tree is None else reader.constructor.construct_document(tree)
    except DuplicateKeyError as error:
        raise syntax(error, path, _("a key that stands there twice")) from None
    except MarkedYAMLError as error:
        raise syntax(error, path, str(error.problem)) from None
    except (YAMLError, RecursionError, ValueError, TypeError) as error:
        raise syntax(
            error, path, _("text that is not YAML ({reason})", reason=str(error).splitlines()[0])
        ) from None
    return values, tree


class Guarded(Parser):
    """Refuses what ``params.yaml`` does not need before anything is built from it."""

    def __init__(self, loader: YAML, *, path: Path) -> None:
        super().__init__(loader)
        self.path = path
        self.depth = 0

    def get_event(self) -> Any:
        """Return the next event.

        :raises ParamsError: at an alias, an anchor, a tag or a directive.
        :raises YAMLError: below too many lists and sections.
        """
        event = super().get_event()
        refuse_indirection(event, self.path)
        self.depth += isinstance(event, CollectionStartEvent)
        self.depth -= isinstance(event, CollectionEndEvent)
        if self.depth > MAX_DEPTH:
            raise YAMLError("nested too deeply")
        return event


def refuse_odd_keys(node: Node | None) -> None:
    """Names in ``params.yaml`` are words; YAML would allow lists there too."""
    pairs = node.value if isinstance(node, MappingNode) else []
    items = node.value if isinstance(node, SequenceNode) else [value for _key, value in pairs]
    for key, _value in pairs:
        if not isinstance(key, ScalarNode):
            raise MarkedYAMLError(problem="a list as a name", problem_mark=key.start_mark)
    for item in items:
        refuse_odd_keys(item)


def refuse_indirection(event: Any, path: Path) -> None:
    """An alias can blow up without bound and a tag can build objects: neither is needed here."""
    if getattr(event, "version", None) or getattr(event, "tags", None):
        raise ParamsError.at(
            f"{path}:{event.start_mark.line + 1}",
            found=_("a directive (%YAML, %TAG)"),
            allowed=_("plain values"),
            fix=_("Remove the line: the file is always YAML 1.2."),
        )
    alias = isinstance(event, AliasEvent)
    anchor = isinstance(event, NodeEvent) and event.anchor is not None
    tagged = getattr(event, "ctag", None) is not None and not isinstance(event, AliasEvent)
    if isinstance(event, ScalarEvent):
        tagged = tagged and not any(event.implicit)
    if alias or anchor or tagged:
        raise ParamsError.at(
            f"{path}:{event.start_mark.line + 1}",
            found=_("an alias, an anchor or a tag (&, *, !)"),
            allowed=_("plain values"),
            fix=_("Write the value out."),
        )


def syntax(error: Exception, path: Path, found: Text) -> ParamsError:
    """Return the error for a text that YAML cannot read."""
    mark = getattr(error, "problem_mark", None)
    return ParamsError.at(
        f"{path}:{mark.line + 1}" if mark else path,
        found=found,
        allowed=_("YAML 1.2"),
        fix=_("Check indentation, colons and quotes near this line."),
    )


def explain(detail: ErrorDetails, tree: Node, path: Path) -> Problem:
    """Put one of pydantic's findings into house style."""
    steps = without_tags(detail["loc"])
    if detail["type"].startswith("union_tag"):
        steps = (*steps, "kind")
    node = find(tree, steps) or find(tree, steps[:-1])
    line = f":{node.start_mark.line + 1}" if node else ""
    found, allowed, fix = phrases(detail)
    if detail["type"] in OUT_OF_BOUNDS:
        allowed = bounds(steps)
    return Problem(f"{path}{line}, {'.'.join(map(str, steps))}", found, allowed, fix)


def without_tags(steps: Steps) -> Steps:
    """Return a place without the steps that only say which kind of a union pydantic tried."""
    kept: list[str | int] = []
    for before, step in zip((None, *steps), steps, strict=False):
        if not ((isinstance(before, int) or before in UNIONS) and step in KINDS):
            kept.append(step)
    return tuple(kept)


def phrases(detail: ErrorDetails) -> tuple[Text, Text, Text]:
    """Return what was found, what is allowed and what to do."""
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    found: Text = shown(context["tag"] if kind == "union_tag_invalid" else value)
    if kind in ("missing", "union_tag_not_found"):
        return (
            _("nothing"),
            _("a value"),
            _("Add it: every knob stands in the file, see the comments in params.yaml."),
        )
    if kind == "extra_forbidden":
        return found, _("only known names"), _("Check the spelling, or remove it.")
    if kind == "bool_type":
        return found, _("true or false"), _("Write true or false; yes and no are text in YAML 1.2.")
    if kind == "string_type":
        return found, _("text"), _("Put it into quotes.")
    if kind == "contradiction":
        told = Message(context["text"], context["values"])
        return told, _("values that fit each other"), _("Change one of them.")
    other = _("another value ({reason})", reason=detail["msg"])
    return found, allowed_by(kind, context) or other, _("Change it to an allowed value.")


def bounds(steps: Steps) -> Message:
    """Return both bounds of a number of the schema; every number has both."""
    names = [step for step in steps if isinstance(step, str)]
    found: list[Any] = [Params]
    for name in names:
        fields = [
            field
            for one in found
            for own, field in one.model_fields.items()
            if name in (own, field.alias)
        ]
        found = [model for field in fields for model in models_in(field.annotation)]
    known = {type(one).__name__: number_of(one) for one in fields[0].metadata}
    if "Gt" in known:
        return _("more than {low}, up to {high}", low=known["Gt"], high=known["Le"])
    return _("{low} to {high}", low=known["Ge"], high=known["Le"])


def number_of(bound: Any) -> object:
    """Return the number of an annotated_types bound: its only value."""
    return next(getattr(bound, name) for name in ("gt", "ge", "lt", "le") if hasattr(bound, name))


def models_in(annotation: Any) -> list[type[Section]]:
    """Return the sections that a field's type names, in lists and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [one for part in get_args(annotation) for one in models_in(part)]


def allowed_by(kind: str, context: dict[str, Any]) -> Message | None:
    """Return the allowed values for pydantic's kinds of errors about bounds, choices and types."""
    patterns = {
        "literal_error": _("one of {choices}", choices=listed(context.get("expected"))),
        "union_tag_invalid": _("one of {choices}", choices=context.get("expected_tags")),
        "union_tag_not_found": _("a kind"),
        "string_pattern_mismatch": _("text like {pattern}", pattern=context.get("pattern")),
        "string_too_short": _("at least {limit} characters", limit=context.get("min_length")),
        "string_too_long": _("up to {limit} characters", limit=context.get("max_length")),
        "too_short": _("at least {limit} entries", limit=context.get("min_length")),
        "too_long": _("up to {limit} entries", limit=context.get("max_length")),
        "int_type": _("a whole number"),
        "int_from_float": _("a whole number"),
        "float_type": _("a number"),
        "finite_number": _("a finite number"),
        "list_type": _("a list"),
        "dict_type": _("names with values"),
        "model_type": _("names with values"),
        "model_attributes_type": _("names with values"),
    }
    return patterns.get(kind)


def listed(choices: Any) -> str:
    """Return pydantic's list of choices without its English "or"."""
    return str(choices).replace(" or ", ", ")


def shown(value: Any) -> str:
    """Return a value as an error shows it: short, on one line, text in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python does not write out numbers of thousands of digits
        text = "…"
    return text if len(text) <= 60 else text[:57] + "…"


def find(node: Node | None, steps: Steps) -> Node | None:
    """Return the node at ``steps``, or None."""
    for step in steps:
        node = dict(children(node)).get(step) if node is not None else None
    return node


def children(node: Node) -> Iterator[tuple[str | int, Node]]:
    """Yield the keys and values of a mapping, or the positions and items of a list."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key.value, value
    elif isinstance(node, SequenceNode):
        yield from enumerate(node.value)


def main() -> None:
    """Say whether ``params.yaml`` is allowed."""
    try:
        load()
    except ParamsError as error:
        sys.exit(str(error))
    print(_("{path}: all values are allowed.", path=PARAMS))


if __name__ == "__main__":
    main()
