"""Where the next page of a JSON API is."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from pipeline.i18n import _
from pipeline.sources.reading import problem

LINK = re.compile(r'<([^<>]*)>((?:[^"<,]|"(?:[^"\\]|\\.)*")*)')
PARAMETER = re.compile(r';\s*([\w!#$&+^`|~*.-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*))?')


def first_page(url: str, rule: Any) -> str:
    """Return the address of the first page; ``rule`` is None for a single one."""
    if rule is None or rule.kind != "number":
        return url
    return with_parameter(url, rule.parameter, str(rule.first))


def next_page(url: str, answer: Any, link: str, rule: Any, number: int) -> str | None:
    """Return the address of the next page, absolute or not, None after the last.

    :param url: the source's own address.
    :param link: the answer's header Link.
    :param number: how many pages came so far.
    :raises SourceError: if the field is neither text nor a number.
    """
    if rule is None:
        return None
    if rule.kind == "number":
        return with_parameter(url, rule.parameter, str(rule.first + number))
    if rule.kind == "link":
        return following(link)
    found = inside(answer, rule.path)
    if found is None or found is False or found == "":
        return None
    if isinstance(found, bool | float) or not isinstance(found, str | int):
        raise problem(
            rule.path,
            type(found).__name__,
            _("a text or a whole number"),
            _("Name the field that holds the next page under next_page."),
        )
    return str(found) if rule.parameter is None else with_parameter(url, rule.parameter, str(found))


def with_parameter(url: str, name: str, value: str) -> str:
    """Return an address whose query holds the parameter once."""
    parts = urlsplit(url)
    others = [
        pair
        for pair in parts.query.split("&")
        if pair and unquote_plus(pair.partition("=")[0]) != name
    ]
    return urlunsplit(parts._replace(query="&".join([*others, urlencode({name: value})])))


def following(link: str) -> str | None:
    """Return the target with ``rel=next`` of a header Link (RFC 8288)."""
    for match in LINK.finditer(link):
        parameters: dict[str, str] = {}
        for name, value in PARAMETER.findall(match[2]):
            plain = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            parameters.setdefault(name.lower(), plain)  # only the first one counts
        if "next" in parameters.get("rel", "").lower().split() and "anchor" not in parameters:
            return match[1].strip()
    return None


def inside(answer: Any, path: str) -> Any:
    """Return what stands in an answer under names joined by dots, None if nothing does."""
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def parsed(content: bytes, where: str) -> Any:
    """Return JSON as plain values.

    :raises SourceError: for what is no JSON, nests without end or holds half of a character.
    """
    try:
        answer = json.loads(content, parse_constant=no_number)
        if b"\\u" in content:  # half of a character, which no file can hold
            json.dumps(answer, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        # What json says quotes a place, never the content.
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise problem(
            where,
            _("no JSON ({reason})", reason=reason),
            _("JSON as the API describes it"),
            _("Open the address in a browser; set answer to page or file if it is no API."),
        ) from None
    return answer


def no_number(name: str) -> None:
    """Refuse NaN and Infinity, which JSON does not know."""
    raise ValueError(name)


def items_of(answer: Any, path: str | None, where: str) -> list[Any]:
    """Return the list of records in an answer; null is an empty one.

    :raises SourceError: if there is none.
    """
    found = answer if path is None else inside(answer, path)
    if isinstance(found, list):
        return found
    if found is None and path is not None and holds(answer, path):
        return []
    raise problem(
        where,
        _("no list under {path}", path=path) if path else _("an answer that is no list"),
        _("a list of records"),
        _("Name the place of the list under items."),
    )


def holds(answer: Any, path: str) -> bool:
    """Return whether the last name of a path stands in an answer, with whatever value."""
    *above, last = path.split(".")
    parent = inside(answer, ".".join(above)) if above else answer
    return isinstance(parent, dict) and last in parent
