"""The test report as one page: offline, without a script, in both languages, nothing unescaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import words
from pipeline.evaluation import verdict
from pipeline.evaluation.blocks import Table, Word
from pipeline.evaluation.sections import sections
from pipeline.i18n import Message, _

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = Path(__file__).parent / "pages"
TAGS = {"en": "en", "zh": "zh-Hans"}
TITLES: dict[str, Message] = {
    "yes": _("Worth its price: better than the best cheap model"),
    "unclear": _("Not certain: it may be no better than a cheap model"),
    "no": _("Not worth its price: a cheap model does as well"),
}


def render(report: Mapping[str, Any], images: Mapping[str, Mapping[str, bytes]]) -> str:
    """Return the page.

    :param report: of the stage test, with what ``background`` adds.
    :param images: plot → language → SVG, as ``plots.every`` draws them.
    """
    answer = report["worth_it"]["answer"]
    page = environment().get_template("report.html.j2")
    return page.render(
        title=_("Test report"),
        result=TITLES[answer],
        tone=answer,
        verdict=verdict.verdict(report),
        sections=sections(report, list(images)),
        images={
            name: {language: address(content) for language, content in each.items()}
            for name, each in images.items()
        },
        languages=list(TAGS.items()),
        foot=_("Written by Mofang's stage test. It holds texts of the test part: treat it as you "
               "treat your data."),
    )  # fmt: skip


def address(content: bytes) -> str:
    """Return a plot as an address that holds it; an image runs no script."""
    return "data:image/svg+xml;base64," + base64.b64encode(content).decode("ascii")


def environment() -> Environment:
    """Return what renders the pages: everything is escaped, and what is not there is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {
        "en": lambda text: text.render("en"),
        "zh": lambda text: text.render("zh"),
        "words": words,
        "plain": plain,
        "hundred": lambda share: f"{100 * share:.1f}",
        "anchor": Anchors(),
        "level": level,
    }
    made.tests["message"] = lambda text: isinstance(text, Message)
    return made


def plain(text: str) -> str:
    """Return somebody's text without what cannot be seen, which could hide or turn around words."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)


def level(word: Word) -> str:
    """Return the class of a word, as the style sheet names it."""
    if word.level == 0:
        return "neutral"
    return f"{'for' if word.level > 0 else 'against'}-{abs(word.level)}"


class Anchors:
    """Gives each table of a page a name of its own: the same one whenever it is asked."""

    def __init__(self) -> None:
        self.seen: list[Table] = []

    def __call__(self, table: Table) -> str:
        """Return the name of a table."""
        for at, one in enumerate(self.seen, 1):
            if one is table:
                return f"table-{at}"
        self.seen.append(table)
        return f"table-{len(self.seen)}"
