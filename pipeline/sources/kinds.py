"""Which module opens which kind of source; each is imported only when its kind is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.sources.delivery import Delivery


def open_file(source: Any) -> Delivery:
    """Open files of the project."""
    from pipeline.sources import file

    return file.open_source(source)


def open_package(source: Any) -> Delivery:
    """Open files that a package carries."""
    from pipeline.sources import package

    return package.open_source(source)


def open_documents(source: Any) -> Delivery:
    """Open documents of the project."""
    from pipeline.sources import documents

    return documents.open_source(source)


def open_http(source: Any) -> Delivery:
    """Open a page, a file or an API of the web."""
    from pipeline.sources import http

    return http.open_source(source)


def open_sql(source: Any) -> Delivery:
    """Open the answer to a database query."""
    from pipeline.sources import sql

    return sql.open_source(source)


def open_hub(source: Any) -> Delivery:
    """Open a data set of a hub."""
    from pipeline.sources import hub

    return hub.open_source(source)


def open_datasets(source: Any) -> Delivery:
    """Open a folder of the library datasets."""
    from pipeline.sources import datasets

    return datasets.open_source(source)


def open_stream(source: Any) -> Delivery:
    """Open what grows between runs."""
    from pipeline.sources import stream

    return stream.open_source(source)


OPENERS: dict[str, Callable[[Any], Delivery]] = {
    "file": open_file,
    "package": open_package,
    "documents": open_documents,
    "http": open_http,
    "sql": open_sql,
    "hub": open_hub,
    "datasets": open_datasets,
    "stream": open_stream,
}
