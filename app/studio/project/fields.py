"""One field of ``project.yaml``: its title, its help and its unit stand beside its bounds, as data.

Unlike a knob of ``params.yaml`` a field may be empty: a plan grows, and what nobody has decided yet
is shown as open.
"""

from __future__ import annotations

import functools
import types
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from pipeline.i18n import Message

NAME, LINE, TEXT = 120, 400, 6_000  # characters
MOST = 200  # rows of a table
MONEY = 1e12
SIMPLE = (str, int, float, bool, date, type(None))
PLAIN = frozenset("\n\t")
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Part(BaseModel):
    """A group of fields: frozen, strict (no text where a number belongs), no unknown names."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def field(
    title: Message,
    help: Message,
    default: Any,
    *,
    unit: Message | None = None,
    choices: dict[str, Message] | None = None,
    **bounds: Any,
) -> Any:
    """Describe one field.

    :param help: what belongs there, in one or two sentences.
    :param default: ``...`` where there must be a value.
    :param unit: of the value, if it has one.
    :param choices: what a value that is one of several is called.
    :param bounds: pydantic's ``ge``, ``le``, ``min_length``, ``max_length``, ``pattern``.
    """
    shown: Any = {"title": title, "help": help, "unit": unit, "choices": choices or {}}
    if isinstance(default, list):
        return Field(default_factory=list, json_schema_extra=shown, **bounds)
    return Field(default, json_schema_extra=shown, **bounds)


def readable(text: str) -> str:
    """Refuse characters that no page shows, and those that turn the text around them."""
    for letter in text:
        unseen = unicodedata.category(letter) in ("Cc", "Cs") and letter not in PLAIN
        if unseen or letter in TURNING:
            raise PydanticCustomError("odd_character", "a character that cannot be seen")
    return text


Name = Annotated[str, Field(max_length=NAME), AfterValidator(readable)]
Line = Annotated[str, Field(max_length=LINE), AfterValidator(readable)]
Text = Annotated[str, Field(max_length=TEXT), AfterValidator(readable)]
Share = Annotated[int, Field(ge=0, le=100)]
Money = Annotated[float, Field(ge=0.0, le=MONEY)]

Kind = Literal["line", "text", "choice", "whole", "number", "day", "switch"]


@dataclass(frozen=True)
class FieldView:
    """What a form needs to know of a field."""

    name: str
    kind: Kind
    title: Message
    help: Message
    unit: Message | None
    choices: Mapping[Any, Message]
    default: Any
    optional: bool
    low: float | None = None
    high: float | None = None
    longest: int | None = None

    @property
    def required(self) -> bool:
        """Whether there must be a value."""
        return self.default is ...


@functools.cache
def views(model: type[Part]) -> tuple[FieldView, ...]:
    """Return the fields of a part that a form shows: all but those that are parts or lists."""
    found = [view_of(name, info) for name, info in model.model_fields.items()]
    return tuple(one for one in found if one is not None)


def view_of(name: str, info: FieldInfo) -> FieldView | None:
    """Return one field; None for a part, a list of parts, and what has no title."""
    extra: Any = info.json_schema_extra
    types_of = list(leaves(info.annotation))
    if not extra or not types_of:
        return None
    metadata = [*info.metadata, *within(info.annotation)]
    named = {type(one).__name__: one for one in metadata}
    kind = kind_of(types_of, named)
    keys = options(types_of) or [int(one) for one in extra["choices"]]
    return FieldView(
        name=name,
        kind="choice" if extra["choices"] else kind,
        title=extra["title"],
        help=extra["help"],
        unit=extra["unit"],
        choices={key: extra["choices"][str(key)] for key in keys} if extra["choices"] else {},
        default=... if info.is_required() else info.get_default(call_default_factory=True),
        optional=type(None) in types_of,
        low=getattr(named.get("Ge"), "ge", None),
        high=getattr(named.get("Le"), "le", None),
        longest=getattr(named.get("MaxLen"), "max_length", None),
    )


def leaves(annotation: Any) -> Iterator[Any]:
    """Yield the plain types of an annotation; nothing for parts and lists."""
    if get_origin(annotation) is Annotated:
        yield from leaves(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from leaves(one)
    elif get_origin(annotation) is Literal or annotation in SIMPLE:
        yield annotation


def within(annotation: Any) -> Iterator[Any]:
    """Yield the bounds that stand inside an annotation, as in ``Money | None``."""
    if get_origin(annotation) is Annotated:
        for one in get_args(annotation)[1:]:
            yield from one.metadata if isinstance(one, FieldInfo) else (one,)
    for one in get_args(annotation):
        if get_origin(one) in (Annotated, Union, types.UnionType):
            yield from within(one)


def options(types_of: list[Any]) -> list[Any]:
    """Return the values of a choice, in their order."""
    return [value for one in types_of if get_origin(one) is Literal for value in get_args(one)]


def kind_of(types_of: list[Any], named: Mapping[str, Any]) -> Kind:
    """Return how a value is entered."""
    simple: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number", date: "day"}
    for one in types_of:
        if one in simple:
            return simple[one]
    longest = getattr(named.get("MaxLen"), "max_length", 0)
    return "text" if longest > LINE else "line"
