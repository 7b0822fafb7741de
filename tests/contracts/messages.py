"""Every English text that Mofang shows, and the catalogue that puts them into Chinese.

``python -m tests.contracts.messages`` brings the catalogue up to date: translations stay, new
texts come in with an empty translation, texts that nobody shows any more go.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "pipeline" / "locale" / "zh" / "LC_MESSAGES" / "mofang.po"
MARKS_TEXTS = "pipeline/i18n.py"  # hands texts on that others wrote
HOLDS_KNOBS = ("pipeline/params.py", "pipeline/schema/")

# Babel's own header carries the date and Babel's version: both change without any change in a text.
HEADER = r"""# Mofang (模坊) in Simplified Chinese.
# Written by python -m tests.contracts.messages; edit only the lines that begin with msgstr.
msgid ""
msgstr ""
"Project-Id-Version: mofang\n"
"Language: zh\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=1; plural=0;\n"

"""


def collect(root: Path = ROOT) -> dict[str, list[str]]:
    """Return every message with its places as ``file:line``, in the order of the first place.

    :raises ValueError: for a text that is not written out where it is marked.
    """
    found: dict[str, list[str]] = {}
    for text, place in [*of_stages(root), *of_modules(root)]:
        places = found.setdefault(text, [])
        if place not in places:
            places.append(place)
    return found


def of_stages(root: Path) -> Iterator[tuple[str, str]]:
    """Yield what ``dvc.yaml`` says about each stage, with its place."""
    content = YAML().load(root / "dvc.yaml")
    for stage in content["stages"].values():
        if "desc" in stage:
            yield stage["desc"], f"dvc.yaml:{stage.lc.value('desc')[0] + 1}"


def of_modules(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the messages of all modules, with their places."""
    names = {
        path.relative_to(root).as_posix(): path
        for folder in ("pipeline", "app")
        for path in root.glob(f"{folder}/**/*.py")
    }
    for name, path in sorted(names.items()):
        yield from of_module(path.read_text(encoding="utf-8"), name)


def of_module(source: str, name: str) -> list[tuple[str, str]]:
    """Return the messages of one module, from top to bottom.

    :param name: its path within the project, which decides whether its knobs count.
    :raises ValueError: for a text that is not written out where it is marked.
    """
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    nodes = [node for call in calls for node in texts(call, name)]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    return [(literal(node, name), f"{name}:{node.lineno}") for node in nodes]


def texts(call: ast.Call, name: str) -> list[ast.expr]:
    """Return the arguments of a call that hold a message."""
    function = call.func.id if isinstance(call.func, ast.Name) else ""
    if (function == "_" and name != MARKS_TEXTS) or (
        function == "contradiction" and name.startswith(HOLDS_KNOBS)
    ):
        return call.args[:1] or [call]
    if function == "knob" and name.startswith(HOLDS_KNOBS):
        units = [word.value for word in call.keywords if word.arg == "unit"]
        shown = [node for node in units if not is_empty(node)]
        return [*(call.args[:2] if len(call.args) >= 2 else [call]), *shown]
    return []


def is_empty(node: ast.expr) -> bool:
    """Return whether this is the empty string, which gettext reserves for the header."""
    return isinstance(node, ast.Constant) and node.value == ""


def literal(node: ast.expr, name: str) -> str:
    """Return the text that is written out here.

    :raises ValueError: where a text is computed, so that nobody could have translated it.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        return node.value
    raise ValueError(
        f"{name}:{node.lineno}: found {ast.unparse(node)}, allowed a text in quotes. "
        "Write the text out and pass what varies as named values."
    )


def read() -> Catalog:
    """Return the catalogue as it lies in the project; an empty one where there is none."""
    if not CATALOGUE.is_file():
        return Catalog(locale="zh")
    with CATALOGUE.open("rb") as source:
        return read_po(source, locale="zh")


def updated(old: Catalog, found: dict[str, list[str]]) -> Catalog:
    """Return a catalogue of exactly the messages found, with the translations of the old one."""
    new = Catalog(locale="zh")
    for text, places in found.items():
        known = old.get(text)
        new.add(
            text,
            string=known.string if known else "",
            locations=[(place.rpartition(":")[0], 0) for place in places],
            flags=known.flags if known else (),
            user_comments=known.user_comments if known else (),
        )
    return new


def write(catalogue: Catalog) -> None:
    """Write the catalogue the same way every time; line numbers would change with every edit."""
    body = io.BytesIO()
    write_po(body, catalogue, width=0, omit_header=True, include_lineno=False)
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    CATALOGUE.write_bytes(HEADER.encode() + body.getvalue().lstrip(b"\n"))


def main() -> None:
    """Bring the catalogue up to date and say what is left to do."""
    catalogue = updated(read(), collect())
    write(catalogue)
    empty = [message.id for message in catalogue if message.id and not message.string]
    print(f"{len(catalogue)} messages, {len(empty)} without a translation")
    for text in empty:
        print(f"  {text}")


if __name__ == "__main__":
    main()
