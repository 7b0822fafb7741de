"""What the schema says about each field, as data for whoever draws it or checks it.

Nothing here knows Streamlit. The default of a field is not in the schema, which has none: it is
the value of the bundled project that this one was started from (``templates.defaults``).
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor, log10
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from app.studio.forms.mattering import MISSING, Missing, value_at
from pipeline.editing import SMALL
from pipeline.i18n import Message
from pipeline.params import Params
from pipeline.schema.knob import Section

Kind = Literal[
    "switch", "choice", "choices", "whole", "number", "text", "value",
    "texts", "numbers", "pairs", "entries", "table", "group", "kinds", "sources",
]  # fmt: skip
LONG = 1_000  # characters; a field that may be longer gets several lines
USUAL: Mapping[str, Any] = {  # what a new source begins with, where the simplest is of no use
    "encoding": "auto", "members": "*", "text": "text", "required": True,
    "permitted_use": "internal",
    "batch": 1_000, "max_pages": 100, "requests_per_second": 1.0, "timeout": 30.0, "max_size": 100,
    "max_seconds": 600.0, "answer": "file", "part": "train",
}  # fmt: skip


@dataclass(frozen=True)
class FieldView:
    """One field of ``params.yaml``.

    ``kind`` says what it holds: a ``switch``; one of ``choices`` (``choice``) or several
    (``choices``); a ``whole`` or real ``number``; ``text``; a ``value`` that is either; a list of
    ``texts`` or ``numbers``; ``pairs`` of texts; ``entries`` of a group by name; a ``table`` of
    groups; a ``group``; one group of several ``kinds``; ``sources``, a list of those.
    """

    path: str
    title: Message
    help: Message
    unit: Message | None
    level: str  # basic or advanced
    kind: Kind
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    above: bool = False  # the value must be more than ``low``
    below: bool = False  # the value must be less than ``high``
    pattern: str | None = None
    least: int = 0  # characters or entries
    most: int | None = None
    optional: bool = False  # null is a value
    searched: bool = False  # a search can try it
    item: FieldView | None = None  # what a list or a mapping holds
    fields: tuple[FieldView, ...] = ()  # of a group
    kinds: Mapping[str, tuple[FieldView, ...]] = field(default_factory=dict)
    default: Any = MISSING
    value: Any = MISSING

    @property
    def name(self) -> str:
        """The last step of the path."""
        return self.path.rpartition(".")[2]

    @property
    def changed(self) -> bool:
        """Whether the value is another one than the default."""
        known = self.default is not MISSING and self.value is not MISSING
        return known and not same(self.value, self.default)

    @property
    def step(self) -> float:
        """By how much one press of + or − changes a number."""
        if self.kind == "whole":
            return 1
        about = self.about
        if about == 0:
            return 0.01 if (self.high or 0) <= 1 else 0.1
        size = 10.0 ** floor(log10(about))
        return float(f"{size if about < SMALL else min(1.0, size / 10):.0e}")

    @property
    def exponent(self) -> bool:
        """Whether a number is small enough to be written with an exponent, as 1e-5."""
        return self.kind == "number" and 0 < self.about < SMALL

    @property
    def about(self) -> float:
        """The size that the number usually has."""
        for one in (self.default, self.value, self.low):
            if isinstance(one, int | float) and not isinstance(one, bool) and one != 0:
                return abs(float(one))
        return 0.0

    @property
    def long(self) -> bool:
        """Whether a text may need several lines."""
        return self.kind == "text" and self.most is not None and self.most > LONG


def describe(
    path: str,
    values: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> list[FieldView]:
    """Return the fields of a section or of a group in it, with their values and defaults.

    :param path: ``clean`` or ``train.costs``; what lies inside a list has no description of its
        own and is reached through ``item``, ``fields`` and ``kinds``.
    :param values: of the whole ``params.yaml``.
    :param defaults: of the whole file too.
    :raises KeyError: for a section or a group that the schema does not have.
    """
    section, *inner = path.split(".")
    views = sections()[section].fields
    for name in inner:
        views = next((one.fields for one in views if one.name == name and one.fields), ())
        if not views:
            raise KeyError(path)
    if values is None and defaults is None:
        return list(views)
    return [filled(one, values or {}, defaults or {}) for one in views]


def filled(view: FieldView, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> FieldView:
    """Return a field, and those in it, with the values and defaults of their paths."""
    return replace(
        view,
        value=value_at(values, view.path),
        default=value_at(defaults, view.path),
        fields=tuple(filled(one, values, defaults) for one in view.fields),
    )


def moved(view: FieldView, path: str) -> FieldView:
    """Return a field of a list's item as it is at one place of the list."""
    return replace(
        view,
        path=path,
        fields=tuple(moved(one, f"{path}.{one.name}") for one in view.fields),
        kinds={
            kind: tuple(moved(one, f"{path}.{one.name}") for one in views)
            for kind, views in view.kinds.items()
        },
    )


@functools.cache
def sections() -> Mapping[str, FieldView]:
    """Return all sections of the schema by their names in the file."""
    found = [
        view_of(info.alias or name, info.annotation, info)
        for name, info in Params.model_fields.items()
    ]
    return {view.path: view for view in found}


def every(views: Sequence[FieldView]) -> Iterator[FieldView]:
    """Yield fields and all that is in them, also in items and kinds."""
    for view in views:
        yield view
        yield from every(view.fields)
        for inner in view.kinds.values():
            yield from every(inner)
        if view.item is not None:
            yield from every([view.item])


def fields_of(model: type[Section], path: str) -> tuple[FieldView, ...]:
    """Return the fields of one model of the schema."""
    return tuple(
        view_of(f"{path}.{info.alias or name}", info.annotation, info)
        for name, info in model.model_fields.items()
    )


def view_of(path: str, annotation: Any, info: FieldInfo) -> FieldView:
    """Return the description of a field from its type and what stands beside it."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = extra.get("unit")
    view = FieldView(
        path=path,
        title=Message(info.title or ""),
        help=Message(info.description or ""),
        unit=Message(str(unit)) if unit else None,
        level=str(extra.get("level", "basic")),
        kind="text",
        searched="search" in extra,
    )
    return typed(bounded(view, info.metadata), annotation)


def bounded(view: FieldView, metadata: Sequence[Any]) -> FieldView:
    """Return a field with the bounds that pydantic keeps beside its type."""
    for one in metadata:
        if isinstance(one, FieldInfo):
            view = bounded(view, one.metadata)
            continue
        for name, bound in (("ge", "low"), ("gt", "low"), ("le", "high"), ("lt", "high")):
            if getattr(one, name, None) is not None:
                view = replace(view, **{bound: getattr(one, name)})
        view = replace(
            view,
            above=view.above or getattr(one, "gt", None) is not None,
            below=view.below or getattr(one, "lt", None) is not None,
            pattern=getattr(one, "pattern", None) or view.pattern,
            least=getattr(one, "min_length", None) or view.least,
            most=getattr(one, "max_length", None) or view.most,
        )
    return view


def typed(view: FieldView, annotation: Any) -> FieldView:
    """Return a field with its kind, which its type tells."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return typed(bounded(view, inner[1:]), inner[0])
    if origin in (Union, types.UnionType):
        return union(view, [one for one in inner if one is not type(None)], len(inner))
    if origin is Literal:
        return replace(view, kind="choice", choices=inner)
    if origin is list:
        return listed(view, inner[0])
    if origin is dict:
        return named(view, inner)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return replace(view, kind="group", fields=fields_of(annotation, view.path))
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number", str: "text"}
    return replace(view, kind=kinds[annotation])


def union(view: FieldView, members: Sequence[Any], count: int) -> FieldView:
    """Return a field that holds one of several types, or nothing."""
    view = replace(view, optional=view.optional or len(members) < count)
    if len(members) == 1:
        return typed(view, members[0])
    models = [one for one in members if isinstance(one, type) and issubclass(one, Section)]
    if not models:
        return replace(view, kind="value")
    kinds = {}
    for model in models:
        (kind,) = get_args(model.model_fields["kind"].annotation)
        kinds[kind] = fields_of(model, view.path)
    return replace(view, kind="kinds", choices=tuple(kinds), kinds=kinds)


def listed(view: FieldView, inner: Any) -> FieldView:
    """Return a field that holds a list; ``item`` says of what."""
    blank = replace(view, path=f"{view.path}.*", low=None, high=None, pattern=None)
    item = typed(replace(blank, least=0, most=None, above=False, below=False), inner)
    of: dict[str, Kind] = {
        "choice": "choices", "text": "texts", "whole": "numbers", "number": "numbers",
        "group": "table", "kinds": "sources",
    }  # fmt: skip
    return replace(view, kind=of[item.kind], item=item, choices=item.choices)


def named(view: FieldView, inner: Sequence[Any]) -> FieldView:
    """Return a field that holds values by name."""
    blank = replace(view, path=f"{view.path}.*", least=0, most=None)
    item = typed(blank, inner[1])
    return replace(view, kind="entries" if item.kind == "group" else "pairs", item=item)


def same(one: Any, other: Any) -> bool:
    """Return whether two values mean the same: 1 and 1.0 do, 1 and true or another order do not."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def blank(view: FieldView) -> Any:
    """Return a value to begin with for a field of a new group: the simplest that its type has."""
    if view.optional:
        return None
    if view.name in USUAL:
        return USUAL[view.name]
    simple: dict[str, Any] = {
        "switch": False, "text": "", "value": "", "texts": [], "numbers": [], "choices": [],
        "table": [], "sources": [], "pairs": {}, "entries": {},
    }  # fmt: skip
    if view.kind in simple:
        return simple[view.kind]
    if view.kind == "choice":
        return view.choices[0]
    if view.kind == "group":
        return {one.name: blank(one) for one in view.fields}
    if view.kind == "kinds":
        return blank_kind(view, view.choices[0])
    low = view.low if view.low is not None else 0
    return int(low) if view.kind == "whole" else float(low)


def blank_kind(view: FieldView, kind: str, before: Mapping[str, Any] | None = None) -> Any:
    """Return a group of one kind; what another kind calls by the same name stays."""
    kept = before or {}
    values: dict[str, Any] = {}
    for one in view.kinds[kind]:
        value = kept.get(one.name, MISSING)
        values[one.name] = blank(one) if isinstance(value, Missing) else value
    return values | {"kind": kind}
