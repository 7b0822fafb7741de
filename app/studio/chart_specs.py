"""Charts as Vega-Lite reads them, worked out once for the same rows in the same language.

Altair checks every part of a chart against its schema, which takes 50 to 100 ms a chart: too long
for a page that is drawn anew at every click. A ``Spec`` is kept by all that its chart depends on,
so that it needs no other sign of being old. Altair and pandas are imported when the first chart is
built, so that a page that has none to show does not wait for them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, cast

import streamlit as st

from app.studio.speech import language

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

Chart: TypeAlias = "alt.Chart | alt.LayerChart | alt.FacetChart"
P = ParamSpec("P")
INK = "#1F2933"  # Streamlit's own grey is too light for small words
WORDS = {"labelColor": INK, "titleColor": INK}
CONFIG = {"axis": WORDS, "legend": WORDS, "header": WORDS}
KEPT = 128  # charts
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"


@dataclass(frozen=True)
class Written:
    """A chart in Vega-Lite's own words, without its rows."""

    rows: pd.DataFrame
    words: Mapping[str, Any]


@dataclass(frozen=True)
class Spec:
    """What Vega-Lite draws; the tables stand in it as Arrow bytes, as they go to the browser."""

    content: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what Vega-Lite draws."""
        return self.content

    def tables(self) -> list[pd.DataFrame]:
        """Return the rows that the chart draws."""
        import pyarrow

        return [
            pyarrow.ipc.open_stream(one).read_pandas() for one in self.content["datasets"].values()
        ]


def kept(build: Callable[P, Chart | Written]) -> Callable[P, Spec]:
    """Let a function that builds a chart return its spec, built once for the same arguments.

    What it is given must say by ``repr`` all that it holds: rows, words and messages do.
    """

    @functools.wraps(build)
    def made(*args: P.args, **kwargs: P.kwargs) -> Spec:
        given = hashlib.sha256(repr((args, kwargs)).encode("utf-8", "surrogatepass")).digest()
        name = f"{build.__module__}.{build.__qualname__}"
        return Spec(content(name, language(), given, functools.partial(build, *args, **kwargs)))

    return made


@st.cache_data(max_entries=KEPT, show_spinner=False)
def content(
    name: str, language: str, given: bytes, _build: Callable[[], Chart | Written]
) -> dict[str, Any]:
    """Build a chart and return what Vega-Lite draws."""
    tables: dict[str, bytes] = {}
    built = _build()
    if isinstance(built, Written):
        found = {"$schema": SCHEMA, **built.words, "data": {"name": put(built.rows, tables)}}
    else:
        # What was built is sound already: Altair checks each part when it is made.
        found = named(built, tables).to_dict(validate=False)
    return {**found, "datasets": tables, "config": CONFIG}


def named(chart: Chart, tables: dict[str, bytes]) -> Chart:
    """Return a chart that tells its tables by name; they are put aside as Arrow bytes."""
    import altair as alt
    import pandas as pd

    chart = chart.copy(deep=False)
    if isinstance(chart.data, pd.DataFrame):
        chart.data = alt.NamedData(put(chart.data, tables))
    if isinstance(chart, alt.LayerChart):
        chart.layer = [named(cast("Chart", one), tables) for one in chart.layer]
    return chart


def put(frame: pd.DataFrame, tables: dict[str, bytes]) -> str:
    """Put a table aside as Arrow bytes, and return its name."""
    table = packed(frame)
    name = hashlib.sha256(table).hexdigest()
    tables[name] = table
    return name


def packed(frame: pd.DataFrame) -> bytes:
    """Return a table as an Arrow stream."""
    import pyarrow

    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
