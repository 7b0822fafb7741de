"""One field of ``params.yaml``: its title, its help and its unit stand beside its bounds, as data.

Texts are English here and translated by whoever shows them (``pipeline.i18n``). A field has no
default: every value stands in ``params.yaml``, so that DVC sees each change.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

LARGEST_SEED = 2**31 - 1


class Section(BaseModel):
    """A group of knobs: frozen, strict (no text where a number belongs), no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def knob(
    title: str,
    help: str,
    *,
    unit: str = "",
    level: Literal["basic", "advanced"] = "basic",
    search: dict[str, Any] | None = None,
    **bounds: Any,
) -> Any:
    """Describe one field.

    :param help: what it does and what it costs, in one or two sentences.
    :param unit: of the value; empty where it has none.
    :param level: ``advanced`` fields are folded away in forms.
    :param search: the values that a search tries, from ``between`` or ``one_of``; None where a
        search must not touch the field.
    :param bounds: pydantic's ``ge``, ``gt``, ``le``, ``lt``, ``pattern``, ``min_length``,
        ``max_length``.
    """
    extra: dict[str, Any] = {"unit": unit, "level": level} | ({"search": search} if search else {})
    return Field(title=title, description=help, json_schema_extra=extra, **bounds)


def between(low: float, high: float, *, log: bool = False) -> dict[str, Any]:
    """Return a search range; whole numbers where both ends are, even factors when ``log``."""
    return {"low": low, "high": high, "log": log}


def one_of(*choices: str | float | bool) -> dict[str, Any]:
    """Return a search range of single values."""
    return {"choices": list(choices)}


def contradiction(text: str, /, **values: object) -> PydanticCustomError:
    """Return the error for values that do not fit each other; ``text`` is translated when shown."""
    return PydanticCustomError("contradiction", "{text}", {"text": text, "values": values})
