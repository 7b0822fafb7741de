"""The page: complete in both languages, readable by all, and nothing in it runs."""

from __future__ import annotations

import base64
import csv
import io
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipeline import i18n
from pipeline.evaluation import (
    plots,
    report,
    sections,
    verdict,
    writing,
    wrong,
)
from pipeline.evaluation.blocks import Cell, Section, Table
from pipeline.i18n import _
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.pipeline.made_reports import EVERY, HOSTILE, PLAIN, hostile, judged


@cache
def page(task: str) -> str:
    told = hostile(task)[0]
    return report.render(told, plots.every(told))


@cache
def tree(task: str) -> LexborHTMLParser:
    """Return the page as a browser reads it (HTML5)."""
    return LexborHTMLParser(page(task))


def nodes(task: str) -> list[LexborNode]:
    return tree(task).css("*")


# --- nothing that stands in data runs

RUNS = tuple("=+-@\t\r\n＝＋－＠")  # what starts a formula in a cell (OWASP)
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "input", "label", "header", "h1", "h2", "h3",
    "div", "section", "ul", "li", "nav", "a", "main", "p", "span", "bdi", "figure", "img",
    "figcaption", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "line", "circle",
    "rect", "article", "blockquote", "dl", "dt", "dd", "footer",
}  # fmt: skip


@pytest.mark.parametrize("task", EVERY)
def test_hostile_data_makes_no_element_and_no_attribute(task: str) -> None:
    found = nodes(task)
    assert {one.tag for one in found} <= KNOWN
    for one in found:
        for name, value in one.attributes.items():
            assert not name.startswith("on"), one.html
            assert name not in ("srcdoc", "formaction", "xlink:href", "style"), one.html
            if name == "src":
                assert value.startswith("data:image/svg+xml;base64,")
            if name == "href":
                assert value.startswith("#")
    assert len(tree(task).css("style")) == 1
    assert len(tree(task).css("main")) == 1, "nothing closed the page before its end"


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_hostile_data_is_shown_as_it_is(task: str) -> None:
    shown = {one.text() for one in tree(task).css("bdi.data")}
    joined = "\n".join(shown)
    for label in HOSTILE:
        assert label in joined
    assert "49" not in {one.text().strip() for one in tree(task).css("th bdi")}, "no template ran"


@pytest.mark.parametrize("task", EVERY)
def test_a_page_that_were_broken_could_load_and_run_nothing(task: str) -> None:
    policy = tree(task).css_first("meta[http-equiv]")
    assert policy is not None
    assert policy.attributes["http-equiv"] == "Content-Security-Policy"
    rules = str(policy.attributes["content"])
    assert "default-src 'none'" in rules
    assert "script" not in rules
    assert "http" not in re.sub(r"data:[^\"]*", "", page(task).split("<body>")[0]).replace(
        "http-equiv", ""
    )


@pytest.mark.parametrize("task", EVERY)
def test_plots_in_the_page_are_pictures_without_scripts(task: str) -> None:
    images = tree(task).css("img")
    assert len(images) == 2 * len(plots.names(hostile(task)[0]))
    for one in images:
        assert one.attributes["alt"]
        content = base64.b64decode(str(one.attributes["src"]).partition(",")[2])
        root = etree.fromstring(content)
        for part in root.iter(etree.Element):
            name = etree.QName(part).localname
            assert name not in ("script", "foreignObject", "a", "iframe", "set", "animate")
            for key, value in part.attrib.items():
                key = etree.QName(key).localname
                assert not key.startswith("on")
                if key == "href":
                    assert value.startswith(("#", "data:image/png;base64,"))


@pytest.mark.parametrize("task", EVERY)
def test_no_cell_of_an_exported_table_runs(task: str, tmp_path: Path) -> None:
    told, answers = hostile(task)
    writing.write_tables(tmp_path, told, answers)
    seen = 0
    for path in sorted(tmp_path.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as source:
            for row in csv.reader(source):
                for cell in row:
                    seen += "HYPERLINK" in cell
                    assert not cell.startswith(RUNS) or is_number(cell), (path, cell)
    assert seen or task == REGRESSION, "the formula is there, guarded"


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_cells_are_guarded_and_numbers_stay_numbers() -> None:
    assert writing.cell("=1+1") == "'=1+1"
    assert writing.cell("@x") == "'@x"
    assert writing.cell("-1.5") == "-1.5", "a number is no formula"
    assert writing.cell(-1.5) == -1.5
    assert writing.cell("-1.5+2") == "'-1.5+2"


def test_what_cannot_be_seen_is_taken_out() -> None:
    assert report.plain("a\u202eb\x00c\nd") == "a b c\nd"


# --- both languages


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that everything is translated, so that what is not marked for it shows."""
    monkeypatch.setattr(
        i18n, "translate", lambda text, language: text if language == "en" else f"【{text}】"
    )


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("task", EVERY)
def test_everything_that_mofang_says_is_there_in_both_languages(task: str) -> None:
    told = judged(task, PLAIN, ["one", "two"])[0]
    made = LexborHTMLParser(report.render(told, plots.every(told)))
    english = made.css('main span[lang="en"]')
    assert len(english) > 50
    for one in english:
        other = one.next
        assert other is not None
        assert other.attributes.get("lang") == "zh-Hans"
        assert other.text().startswith("【"), one.text()
        assert "【" not in one.text()
    assert len(made.css('main img[lang="en"]')) == len(made.css('main img[lang="zh-Hans"]'))
    for one in made.css('img[lang="zh-Hans"]'):
        assert str(one.attributes["alt"]).startswith("【")
    for one in made.css("main *, nav *, footer *"):
        own = one.text(deep=False).strip()
        if re.search(r"[A-Za-z]{2}", own):
            assert one.attributes.get("lang") or in_data(one), own


def in_data(one: LexborNode | None) -> bool:
    """Return whether an element holds somebody's data, not Mofang's words."""
    while one is not None:
        if one.attributes.get("class") == "data":
            return True
        one = one.parent
    return False


@pytest.mark.parametrize("task", EVERY)
def test_the_verdict_stands_on_top_in_both_languages(task: str) -> None:
    told = hostile(task)[0]
    made = tree(task)
    body = made.body
    assert body is not None
    order = [one.tag for one in body.iter() if one.tag in ("header", "nav", "main")]
    assert order == ["header", "nav", "main"]
    for language, tag in report.TAGS.items():
        lines = [one.text().strip() for one in made.css(f'header section[lang="{tag}"] li')]
        assert lines == [one.render(language) for one in verdict.verdict(told)]
        assert 4 <= len(lines) <= 8
        assert told["verdict"][language] == lines


def test_a_language_is_chosen_without_a_script() -> None:
    style = (report.PAGES / "report.css").read_text(encoding="utf-8")
    assert '#show-zh:checked ~ :is(nav, main, footer) [lang="en"]' in style
    choices = tree(SINGLE).css("body > input[type=radio]")
    assert [one.attributes["id"] for one in choices] == ["show-en", "show-zh"]
    for one in choices:
        label = one.next
        while label is not None and label.tag != "label":
            label = label.next
        assert label is not None
        assert label.attributes["for"] == one.attributes["id"]


# --- how it is built


@pytest.mark.parametrize("task", EVERY)
def test_the_page_is_semantic(task: str) -> None:
    made = tree(task)
    assert made.html is not None
    assert page(task).startswith("<!DOCTYPE html>")
    assert len(made.css("h1")) == 1
    names = [one.attributes["id"] for one in made.css("[id]")]
    assert len(names) == len(set(names))
    for one in made.css("a[href], [aria-labelledby], label[for]"):
        where = one.attributes.get("href") or one.attributes.get("aria-labelledby")
        where = where or one.attributes.get("for")
        assert str(where).removeprefix("#") in names
    for table in made.css("table"):
        caption = table.css_first("caption")
        assert caption is not None
        assert caption.text().strip()
        assert all(one.attributes.get("scope") in ("col", "row") for one in table.css("th"))
        width = len(table.css("thead th"))
        assert {len(row.css("th, td")) for row in table.css("tr")} == {width}
    levels = [int(one.tag[1]) for one in made.css("h1, h2, h3")]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_worked_out_as_the_standard_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's example


@pytest.mark.parametrize(
    ("ink", "grounds"),
    [
        ("ink", ("paper", "wash", "good-wash", "fair-wash", "poor-wash")),
        ("quiet", ("paper", "wash")), ("link", ("paper", "wash")), ("good", ("good-wash",)),
        ("fair", ("fair-wash",)), ("poor", ("poor-wash",)), ("paper", ("ink",)),
    ],
)  # fmt: skip
def test_letters_stand_out_from_their_ground(ink: str, grounds: tuple[str, ...]) -> None:
    style = (report.PAGES / "report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style))
    for ground in grounds:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_letters_stand_out_from_marked_words() -> None:
    style = (report.PAGES / "report.css").read_text(encoding="utf-8")
    ink = re.findall(r"--ink: (#[0-9a-f]{6});", style)[0]
    marks = re.findall(r"\.(?:for|against)-\d \{ background: (#[0-9a-f]{6}); \}", style)
    assert len(marks) == 6
    assert all(contrast(ink, one) >= 4.5 for one in marks)


@pytest.mark.parametrize("task", EVERY)
def test_the_same_figures_give_the_same_bytes(task: str, tmp_path: Path) -> None:
    told, answers = hostile(task)
    found = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        writing.write(tmp_path / name, told, answers, ["en", "zh"])
        files = sorted(one for one in (tmp_path / name).rglob("*") if one.is_file())
        found.append({str(one.relative_to(tmp_path / name)): one.read_bytes() for one in files})
    assert found[0] == found[1]
    drawn = {Path(one).stem for one in found[0] if one.endswith(".png")}
    assert drawn == {Path(one).stem for one in found[0] if one.endswith(".svg")}
    assert drawn >= {"per_label", "confusion", "slices", "robustness", "learning_curve"}
    assert ("reliability" in drawn) == (task != REGRESSION)


# --- sections


def test_words_are_marked_by_thirds_of_the_strongest() -> None:
    made = wrong.leveled([["good", 0.9], ["bad", -0.6], ["the", 0.1], ["包", 0.3], ["裹", 0.0]])
    assert [one.level for one in made] == [3, -2, 0, 1, 0]
    assert [one.space for one in made] == [True, True, True, False, True]
    assert [report.level(one) for one in made[:3]] == ["for-3", "against-2", "neutral"]
    assert [one.level for one in wrong.leveled([["x", 0.0]])] == [0]


def test_a_section_without_anything_to_show_is_left_out() -> None:
    told = hostile(REGRESSION)[0]
    found = sections.sections(told, plots.names(told))
    assert "calibration" not in [one.name for one in found]
    assert all(one.blocks for one in found)


def test_tables_of_a_page_have_names_of_their_own() -> None:
    one, other = (Table(_("Label"), ["a"], [[Cell("x")]]) for _at in range(2))
    anchors = report.Anchors()
    assert [anchors(one), anchors(other), anchors(one)] == ["table-1", "table-2", "table-1"]
    assert Section("a", _("Label")).blocks == []


def test_a_csv_of_errors_holds_each_of_them() -> None:
    answers = hostile(SINGLE)[1]
    header, rows = writing.wrong(answers)
    assert list(header) == ["id", "text", "label", "predicted", "confidence", "source"]
    expected = sum(
        one != other for one, other in zip(answers.truth, answers.predicted, strict=True)
    )
    assert len(list(rows)) == expected > 0
    target = io.StringIO()
    csv.writer(target).writerows(rows)
    assert "alert(1)" in target.getvalue()
