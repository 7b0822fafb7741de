"""What the headers of a request may be and what those of an answer say."""

from __future__ import annotations

import email.utils
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import httpcore2

from pipeline.errors import Problem, SourceError
from pipeline.i18n import _
from pipeline.sources.guard import Place

HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
# The connection's own; a source that sets them would change where an answer begins and ends.
RESERVED = {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
RESERVED |= {"accept-encoding", "if-modified-since", "if-none-match", "range", "transfer-encoding"}
RESERVED |= {"upgrade", "proxy-authorization", "proxy-connection"}
# What a type says about the file; an address's own ending goes first, except before a web page.
TYPES = {
    "application/gzip": ".gz",
    "application/jsonl": ".jsonl",
    "application/ndjson": ".jsonl",
    "application/pdf": ".pdf",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/x-gzip": ".gz",
    "application/x-ndjson": ".jsonl",
    "application/x-tar": ".tar",
    "application/xhtml+xml": ".html",
    "application/zip": ".zip",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/tab-separated-values": ".tsv",
}
ENDINGS = {*TYPES.values(), ".htm", ".ndjson", ".tgz"}


def secret_headers(names: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the values of their environment variables.

    :raises SourceError: naming every header and variable that cannot be used, never a value.
    """
    problems: list[Problem] = []
    headers: dict[str, str] = {}
    for name, variable in names.items():
        value = os.environ.get(variable)
        if name.lower() in RESERVED:
            problems.append(
                Problem(
                    f"params.yaml, headers.{name}",
                    _("a header that belongs to the connection"),
                    _("headers such as Authorization"),
                    _("Remove it."),
                )
            )
        elif value is None or not HEADER_VALUE.fullmatch(value):
            missing = _("no such environment variable")
            problems.append(
                Problem(
                    f"headers.{name}, {variable}",
                    missing if value is None else _("a value that a header cannot have"),
                    _("printable ASCII characters, no line break"),
                    _("Set the environment variable, then start again."),
                )
            )
        else:
            headers[name.lower()] = value
    if problems:
        raise SourceError(*problems)
    return headers


def seconds_asked(retry_after: str) -> float | None:
    """Return what the header Retry-After asks for: seconds, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def ending_of(place: Place, response: httpcore2.Response) -> str:
    """Return the ending of the file that holds an answer: its address's, or what its type has."""
    name = place.target.partition("?")[0].rpartition("/")[2].lower()
    found = re.search(r"(\.[a-z0-9]{1,8}){1,2}$", name)
    ending = found[0] if found else ""
    type_ = header(response, "content-type").partition(";")[0].strip().lower()
    known = TYPES.get(type_)
    if known == ".html" or (known and f".{ending.rpartition('.')[2]}" not in ENDINGS):
        return known
    if known not in (None, ".gz") and header(response, "content-encoding"):
        return ending.removesuffix(".gz")  # some servers call a packed file a packed answer
    return ending


def header(response: httpcore2.Response, name: str) -> str:
    """Return a header of an answer, joined if it stands there several times, '' without."""
    values = [value for key, value in response.headers if key.lower() == name.encode()]
    return ", ".join(value.decode("utf-8", "replace") for value in values)
