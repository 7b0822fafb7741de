"""One exception tree; every error says where, what was found, what is allowed and what to do.

::

    MofangError
    ├── ParamsError      params.yaml is not what the schema allows
    ├── SourceError      a source of data or of a model cannot be read
    ├── DataError        records do not fit the task
    ├── ModelError       a model folder is incomplete, damaged or not allowed
    ├── GateError        a gate of label or validate is not met
    ├── BusyError        somebody else works in the same folder
    └── StorageError     the disk is full or refuses to be written
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

from pipeline.i18n import Message, _, current_language

Text = Message | str


def words(text: Text, language: str) -> str:
    """Return ``text`` in ``language``; a plain string, such as a path, is the same in each."""
    return text.render(language) if isinstance(text, Message) else text


@dataclass(frozen=True)
class Problem:
    """One thing to mend. ``fix`` is a whole sentence, the rest are phrases."""

    where: str
    found: Text
    allowed: Text
    fix: Text

    def render(self, language: str) -> str:
        """Return the problem in house style: ``where: found …, allowed …. What to do.``"""
        pattern = _("{where}: found {found}, allowed {allowed}. {fix}")
        values = {name: words(getattr(self, name), language) for name in self.__dataclass_fields__}
        return Message(pattern.text, values).render(language)


class MofangError(Exception):
    """Something a person can mend, with every problem that was found at once."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems: Sequence[Problem] = problems

    @classmethod
    def at(cls, where: object, *, found: Text, allowed: Text, fix: Text) -> Self:
        """Return the error for a single problem."""
        return cls(Problem(str(where), found, allowed, fix))

    def render(self, language: str) -> str:
        """Return all problems in ``language``, one a line."""
        return "\n".join(problem.render(language) for problem in self.problems)

    def __str__(self) -> str:
        return self.render(current_language())


class ParamsError(MofangError):
    """``params.yaml`` is not what the schema allows."""


class SourceError(MofangError):
    """A source of data or of a model cannot be read."""


class DataError(MofangError):
    """Records do not fit the task."""


class ModelError(MofangError):
    """A model folder is incomplete, damaged or holds what must not be loaded."""


class GateError(MofangError):
    """A gate of ``label`` or ``validate`` is not met."""


class BusyError(MofangError):
    """Somebody else works in the same folder."""


class StorageError(MofangError):
    """The disk is full or refuses to be written."""


def packed(error: MofangError) -> dict[str, Any]:
    """Return an error as JSON holds it; its texts are put into words by who reads them."""
    problems = [
        {name: packed_text(getattr(one, name)) for name in Problem.__dataclass_fields__}
        for one in error.problems
    ]
    return {"error": type(error).__name__, "problems": problems}


def packed_text(text: object) -> Any:
    """Return a text, or a value of one, as JSON holds it; numbers stay numbers, to be formatted."""
    if isinstance(text, Message):
        values = {name: packed_text(value) for name, value in text.values.items()}
        return {"text": text.text, "values": values}
    if isinstance(text, str | bool):
        return text
    if isinstance(text, Integral):
        return int(text)
    return float(text) if isinstance(text, Real) else str(text)


def unpacked(answer: Mapping[str, Any]) -> MofangError:
    """Return the error that ``packed`` was given."""
    known = {kind.__name__: kind for kind in MofangError.__subclasses__()}
    problems = [
        Problem(one["where"], *(unpacked_text(one[name]) for name in ("found", "allowed", "fix")))
        for one in answer["problems"]
    ]
    return known.get(answer["error"], MofangError)(*problems)


def unpacked_text(text: Any) -> Text:
    """Return the text that ``packed_text`` was given."""
    if not isinstance(text, dict):
        found: str = text
        return found
    return Message(text["text"], {key: unpacked_text(one) for key, one in text["values"].items()})
