"""The text of a tree of html, or of trafilatura's reading of one: blocks, headings, lists, rows."""

from __future__ import annotations

from typing import Any

LEVELS = {f"h{level}": level for level in range(1, 7)}
ITEMS = {"li", "item", "dt", "dd"}
ROWS = {"row", "tr"}
CELLS = {"cell", "td", "th"}
BREAKS = {"br", "lb"}
CODE = {"pre", "code"}
BLOCKS = ITEMS | ROWS | LEVELS.keys() | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "details", "dialog",
    "div", "dl", "fieldset", "figcaption", "figure", "footer", "form", "head", "header", "hr",
    "legend", "list", "main", "nav", "ol", "option", "p", "pre", "quote", "section", "summary",
    "table", "tbody", "tfoot", "thead", "ul",
}  # fmt: skip
SKIPPED = {
    "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "nav", "select",
    "button", "textarea", "title",
}  # fmt: skip


class Flow:
    """Blocks of text as they come; consecutive items and rows stand close together."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.line: list[str] = []
        self.prefix = ""
        self.kind = self.before = "plain"

    def say(self, text: str | None) -> None:
        """Add text to the present block."""
        if text:
            self.line.append(text)

    def flush(self, *, as_is: bool = False) -> None:
        """End the present block; ``as_is`` keeps its white space, as in code."""
        text = "".join(self.line)
        if as_is:
            text = text.strip("\n")
        else:
            text = "\n".join(filter(None, (" ".join(one.split()) for one in text.split("\x00"))))
        if text.strip():
            near = self.kind == self.before and self.kind in ("item", "row")
            self.parts += ["\n" if near else "\n\n", self.prefix + text]
            self.before, self.prefix, self.kind = self.kind, "", "plain"
        self.line = []

    def text(self) -> str:
        """Return all blocks."""
        return "".join(self.parts[1:])


def text_of_tree(tree: Any) -> str:
    """Return the text of a tree, its headings as in markdown, a row of a table a line.

    Never recurses: a page may be nested as deep as its author likes.
    """
    from lxml.etree import iterwalk  # type: ignore[import-untyped]

    flow = Flow()
    walker = iterwalk(tree, events=("start", "end"))
    depth = 0  # of lists
    for event, element in walker:
        tag = element.tag if isinstance(element.tag, str) else ""
        depth += (event == "start") - (event == "end") if tag in ("ul", "ol", "list") else 0
        if event == "start":
            if skipped(element, tag):
                walker.skip_subtree()
            else:
                begin(flow, element, tag, depth)
        else:
            if not skipped(element, tag):
                finish(flow, element, tag)
            if element is not tree:
                flow.say(element.tail)
    flow.flush()
    return flow.text()


def skipped(element: Any, tag: str) -> bool:
    """Return whether an element says nothing to a reader; trafilatura calls headings ``head``."""
    return not tag or tag in SKIPPED or (tag == "head" and element.get("rend") is None)


def is_code(element: Any, tag: str) -> bool:
    """Return whether an element is a block of code, not a word of it within a sentence."""
    parent = element.getparent()
    return tag == "pre" or (tag == "code" and parent is not None and parent.tag == "body")


def begin(flow: Flow, element: Any, tag: str, depth: int) -> None:
    """Take up an element."""
    if tag in BLOCKS or is_code(element, tag):
        flow.flush()
    level = LEVELS.get(element.get("rend", "h2") if tag == "head" else tag)
    if level:
        flow.prefix, flow.kind = "#" * level + " ", "heading"
    elif tag in ITEMS:
        flow.prefix, flow.kind = "  " * max(0, depth - 1) + "- ", "item"
    elif tag in ROWS:
        flow.prefix, flow.kind = "", "row"
    elif tag in CELLS and "".join(flow.line).strip():
        flow.say(" | ")
    elif tag in BREAKS:
        flow.say("\x00")
    flow.say(element.text)


def finish(flow: Flow, element: Any, tag: str) -> None:
    """Leave an element."""
    if is_code(element, tag):
        flow.line = ["```\n", *flow.line, "\n```"] if "".join(flow.line).strip() else []
        flow.flush(as_is=True)
    elif tag in BLOCKS:
        flow.flush()
        flow.prefix, flow.kind = "", "plain"
