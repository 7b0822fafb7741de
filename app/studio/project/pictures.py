"""Charts of the plan, worked out once for the same plan: Altair checks each of them for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.studio.project.wording import plain
from app.studio.speech import language
from pipeline.errors import Text


def show(name: str, alt_text: Text, made: Callable[[], Any], shown: object) -> None:
    """Draw a chart over the width of the page.

    :param alt_text: what there is to see, for who does not see it.
    :param made: makes the Altair chart.
    :param shown: all that the chart depends on; the same text means the same chart.
    """
    spec = specification(name, language(), repr(shown), made)
    st.vega_lite_chart(spec=spec, key=f"project.{name}", width="stretch", alt=plain(alt_text))


@st.cache_data(max_entries=64, show_spinner=False)
def specification(name: str, language: str, shown: str, _made: Callable[[], Any]) -> dict[str, Any]:
    """Return what Vega-Lite draws."""
    found: dict[str, Any] = _made().to_dict()
    return found
