"""A document as Markdown and as one HTML file that needs nothing from outside.

People's words are data: in Markdown they are escaped, in HTML too, and the page forbids scripts,
pictures and everything else from outside, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from app.studio.speech import literal

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.6 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  color: #1f2933; max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { font-size: 1.35rem; margin-top: 2.2rem;
  border-bottom: 2px solid #d5dce6; padding-bottom: .2rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1.2rem; font-size: .93em; }
th, td { border: 1px solid #c3ccd8; padding: .35rem .55rem; text-align: left;
  vertical-align: top; overflow-wrap: break-word; }
th { background: #eef2f7; } dt { font-weight: 600; margin-top: .7rem; } dd { margin: 0; }
.open { color: #5a6573; font-style: italic; } .lead { color: #4a5563; margin-top: 0; }
svg { width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; }
  table, svg { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is the document's."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; its lines stay lines."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names with what is said of each, and a sentence about those of which nothing is said."""

    pairs: Sequence[tuple[str, str]]
    nothing: str


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table; without rows only ``nothing`` is said."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    nothing: str


@dataclass(frozen=True)
class Picture:
    """An SVG of ours; Markdown leaves it out, as a table says the same."""

    svg: str


Block = Heading | Paragraph | Facts | Bullets | Grid | Picture


def markdown(blocks: Iterable[Block]) -> str:
    """Return a document as Markdown."""
    return "\n\n".join(filter(None, map(markdown_of, blocks))) + "\n"


def markdown_of(block: Block) -> str:
    """Return one block as Markdown."""
    match block:
        case Heading(level, text):
            return f"{'#' * level} {literal(text)}"
        case Paragraph(text):
            return broken(text)
        case Bullets(items):
            return "\n".join(f"- {literal(one)}" for one in items)
        case Facts(pairs, nothing):
            said = [f"**{literal(name)}**  \n{broken(text)}" for name, text in pairs]
            return "\n\n".join([*said, *([f"*{literal(nothing)}*"] if nothing else [])])
        case Grid(header, rows, nothing):
            if not rows:
                return f"*{literal(nothing)}*"
            cells = [[literal(" · ".join(one.splitlines())) for one in row] for row in rows]
            lines = [header, ["---"] * len(header), *cells]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)
        case Picture():
            return ""


def broken(text: str) -> str:
    """Return a text whose lines stay lines in Markdown."""
    return "  \n".join(literal(line) for line in text.splitlines() if line.strip())


def html(blocks: Iterable[Block], title: str, language: str) -> str:
    """Return a document as one HTML file."""
    body = "\n".join(html_of(block) for block in blocks)
    tag = {"zh": "zh-CN"}.get(language, language)
    return (
        f'<!doctype html>\n<html lang="{tag}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def html_of(block: Block) -> str:
    """Return one block as HTML."""
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f'<p class="lead">{lined(text)}</p>'
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in items)}</ul>"
        case Facts(pairs, nothing):
            terms = "".join(
                f"<dt>{escape(name)}</dt><dd>{lined(text)}</dd>" for name, text in pairs
            )
            empty = f'<p class="open">{escape(nothing)}</p>' if nothing else ""
            return f"<dl>{terms}</dl>{empty}"
        case Grid(header, rows, nothing):
            if not rows:
                return f'<p class="open">{escape(nothing)}</p>'
            head = "".join(f"<th>{escape(one)}</th>" for one in header)
            body = "".join(
                f"<tr>{''.join(f'<td>{lined(cell)}</td>' for cell in row)}</tr>" for row in rows
            )
            return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        case Picture(svg):
            return svg


def lined(text: str) -> str:
    """Return a text whose lines stay lines in HTML."""
    return "<br>".join(escape(line) for line in text.splitlines() if line.strip())
