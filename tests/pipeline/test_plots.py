"""Plots: the same bytes each time, Chinese shown or numbered, no formula in a label."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation import (
    plots,
)
from pipeline.steps.targets import SINGLE
from tests.pipeline.made_reports import HOSTILE, hostile


def test_a_picture_is_what_its_name_says() -> None:
    content = plots.png("confusion", hostile(SINGLE)[0])
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert min(width, height) > 300
    assert b"Software" not in content, "no version that would change the bytes"


def test_chinese_is_text_in_an_svg_and_a_number_where_no_font_has_it() -> None:
    told = hostile(SINGLE)[0]
    content = plots.svg("per_label", told, "zh").decode()
    assert "中文标签" in content
    assert plots.FONT not in content
    assert b"date" not in content.encode().lower().split(b"<defs>")[0]
    say = plots.Words("en", HOSTILE, lambda text: text.isascii())
    assert say("中文标签") == "#6"
    assert say("包裹 x") == "?? x"
    assert say("x" * 40) == "x" * 27 + "…".replace("…", "?"), "shortened, then shown"


def test_the_font_of_a_png_is_asked_what_it_has() -> None:
    shows = plots.shown_by_font()
    assert shows("Größe ≤ 3")
    assert not shows("中")


def test_wide_letters_get_their_room() -> None:
    assert plots.width(["中中"]) == pytest.approx(2 * plots.SIZE / 72)
    assert plots.width(["ab", "a"]) == pytest.approx(1.2 * plots.SIZE / 72)


def test_a_matrix_of_many_labels_shows_those_that_are_confused() -> None:
    labels = [f"l{at}" for at in range(60)]
    counts = np.diag([5] * 60)
    counts[58, 59] = 3
    told = {"task": SINGLE, "confusion": {"labels": labels, "counts": counts.tolist()}}
    said: list[str] = []

    class Heard(plots.Words):
        def __call__(self, text: Any) -> str:
            said.append(str(text))
            return super().__call__(text)

    with plots.drawing():
        plots.matrix(told, Heard("en"))
    shown = [one for one in said if one in labels]
    assert len(shown) == plots.CELLS
    assert {"l58", "l59"} <= set(shown)
