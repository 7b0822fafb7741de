"""What came of the last action: it stands under its button until the next action or another page.

Parts of a page draw themselves anew every other second, and a page does after most actions; what
stood there only once would be gone before it was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from app.studio.speech import say, show_error
from pipeline.errors import MofangError
from pipeline.i18n import Message

PAGE, PRESSED, KEPT = "outcome_page", "outcome_pressed", "outcome_kept"  # in the session


@dataclass
class Outcome:
    """What is said, and under which button."""

    key: str
    said: Message | MofangError
    drawn: bool = False  # in this run of the page


@contextmanager
def kept(page: str) -> Iterator[None]:
    """Draw a page in the block; where the button is there no more, its outcome stands above all."""
    if st.session_state.get(PAGE) != page:
        st.session_state[PAGE] = page
        st.session_state.pop(KEPT, None)
    last: Outcome | None = st.session_state.get(KEPT)
    if last is not None:
        last.drawn = False
    above = st.container()
    yield
    last = st.session_state.get(KEPT)
    if last is not None and not last.drawn:
        with above:
            draw(last)


def pressed(key: str) -> None:
    """Note which button was pressed: what came of an earlier one is said no more."""
    st.session_state[PRESSED] = key
    st.session_state.pop(KEPT, None)


def tell(said: Message | MofangError) -> None:
    """Say what came of the button that was pressed last, and keep saying it."""
    st.session_state[KEPT] = outcome = Outcome(st.session_state.get(PRESSED, ""), said)
    draw(outcome)


def under(key: str) -> None:
    """Draw what came of a button, if it was the last."""
    last: Outcome | None = st.session_state.get(KEPT)
    if last is not None and last.key == key:
        draw(last)


def draw(outcome: Outcome) -> None:
    """Draw what is said."""
    outcome.drawn = True
    if isinstance(outcome.said, Message):
        st.success(say(outcome.said), icon=":material/check:")
    else:
        show_error(outcome.said)
