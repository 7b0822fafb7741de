"""What both READMEs take from ``dvc.yaml``: the graph and the stage table, between markers."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from pipeline.i18n import translate
from tests.contracts.closure import ROOT

READMES = {"README.md": "en", "README.zh-CN.md": "zh"}
HEADERS = {
    "en": ("stage", "answers", "reads", "writes"),
    "zh": ("阶段", "做什么", "读取", "写出"),
}


def stages() -> dict[str, dict[str, list[object]]]:
    """Return the stages of ``dvc.yaml``."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, list[object]]] = YAML(typ="safe", pure=True).load(text)["stages"]
    return found


def inputs(entry: dict[str, list[object]]) -> list[str]:
    """Return what a stage reads besides code: files and folders of data and models."""
    return [str(one) for one in entry["deps"] if not str(one).startswith("pipeline/")]


def outputs(entry: dict[str, list[object]]) -> list[str]:
    """Return what a stage writes, metrics included."""
    metrics = [name for one in entry.get("metrics", []) for name in one]  # type: ignore[attr-defined]
    return sorted([*map(str, entry["outs"]), *metrics])


def table(language: str) -> str:
    """Return the stage table as Markdown."""
    rows = [HEADERS[language], ("---",) * 4]
    for name, entry in stages().items():
        folder = (
            outputs(entry)[0].rsplit("/", 1)[0] if len(outputs(entry)) > 1 else outputs(entry)[0]
        )
        reads = sorted({one.replace("/manifest.json", "") for one in inputs(entry)})
        told = translate(str(entry["desc"]), language)
        rows.append((f"`{name}`", told, ", ".join(f"`{one}`" for one in reads), f"`{folder}`"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def graph() -> str:
    """Return the graph of the stages as a Mermaid diagram."""
    lines = ["```mermaid", "flowchart LR"]
    made = {out: name for name, entry in stages().items() for out in outputs(entry)}
    for name, entry in stages().items():
        before = {
            maker
            for one in inputs(entry)
            for out, maker in made.items()
            if one == out or one.startswith(f"{out}/")
        }
        lines += [f"  {maker} --> {name}" for maker in made.values() if maker in before]
    return "\n".join([*dict.fromkeys(lines), "```"])


def filled(text: str, language: str) -> str:
    """Return a README with its generated parts brought up to date."""
    for marker, content in (("graph", graph()), ("stages", table(language))):
        start, end = f"<!-- {marker}: from dvc.yaml, by `make docs` -->", f"<!-- /{marker} -->"
        before, _, rest = text.partition(start)
        after = rest.partition(end)[2]
        text = f"{before}{start}\n{content}\n{end}{after}"
    return text


def main() -> None:
    """Rewrite both READMEs."""
    for name, language in READMES.items():
        path = Path(ROOT / name)
        path.write_text(filled(path.read_text(encoding="utf-8"), language), encoding="utf-8")


if __name__ == "__main__":
    main()
