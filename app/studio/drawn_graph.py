"""The stages as a diagram: a box each, with colour, sign and word for how it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.studio.layout import BY_NAME, DATA, DATA_STAGES, MODEL, VIEW_OF_STAGE
from app.studio.overview import Standing
from app.studio.speech import plain
from pipeline.i18n import Message, _

SIGNS: Mapping[Standing, str] = {
    "missing": "○",
    "changed": "↻",
    "ready": "✓",
    "waiting": "…",
    "running": "▶",
    "done": "✓",
    "skipped": "✓",
    "cached": "✓",
    "failed": "✗",
    "stopped": "■",
}
WORDS: Mapping[Standing, Message] = {
    "missing": _("no result yet"),
    "changed": _("will run again"),
    "ready": _("up to date"),
    "waiting": _("waits"),
    "running": _("running"),
    "done": _("done"),
    "skipped": _("nothing changed"),
    "cached": _("from the cache"),
    "failed": _("failed"),
    "stopped": _("stopped"),
}
LOOKS: Mapping[Standing, str] = {
    "missing": "fill:#f3f4f6,stroke:#6b7280,stroke-dasharray:4 3,color:#1f2937",
    "waiting": "fill:#f3f4f6,stroke:#6b7280,stroke-dasharray:4 3,color:#1f2937",
    "changed": "fill:#fff4ce,stroke:#8a6d00,color:#3d3000",
    "running": "fill:#dbeafe,stroke:#0b5cad,stroke-width:3px,color:#06305c",
    "ready": "fill:#e6f4ea,stroke:#1e7e34,color:#0b3d17",
    "done": "fill:#e6f4ea,stroke:#1e7e34,color:#0b3d17",
    "skipped": "fill:#e6f4ea,stroke:#1e7e34,color:#0b3d17",
    "cached": "fill:#e6f4ea,stroke:#1e7e34,color:#0b3d17",
    "failed": "fill:#fde7e9,stroke:#b3261e,stroke-width:3px,color:#5f120d",
    "stopped": "fill:#fde7e9,stroke:#b3261e,color:#5f120d",
}
ROW = "fill:#fafbfc,stroke:#d5dae0,color:#374151"


def mermaid(stages: Mapping[str, tuple[str, ...]], standings: Mapping[str, Standing]) -> str:
    """Return the diagram's text: data stages in one row, model stages in the one below."""
    lines = ["flowchart TB"]
    for number, (title, data) in enumerate(((DATA, True), (MODEL, False))):
        row = [name for name in stages if (name in DATA_STAGES) is data]
        if row:
            lines += [f'subgraph row{number}["{quoted(plain(title))}"]', "direction LR"]
            lines += [box(name, standings[name]) for name in row]
            lines += [
                f"{key(before)} --> {key(name)}"
                for name in row
                for before in stages[name]
                if before in row
            ]
            lines += ["end", f"style row{number} {ROW}"]
    crossing = any(
        (name in DATA_STAGES) is not (before in DATA_STAGES)
        for name, all_before in stages.items()
        for before in all_before
    )
    # Between the rows only: an edge into a row would lay the row out from top to bottom.
    lines += ["row0 --> row1"] if crossing else []
    lines += [f"classDef {state} {look}" for state, look in LOOKS.items()]
    lines.append("classDef default font-size:15px")
    return "\n".join(lines)


def box(stage: str, standing: Standing) -> str:
    """Return one stage."""
    title = quoted(title_of(stage))
    word = quoted(plain(WORDS[standing]))
    return f'{key(stage)}["{SIGNS[standing]} {title}<br/>{word}"]:::{standing}'


def title_of(stage: str) -> str:
    """Return the name of a stage for people: its view's, or its own where it has none."""
    return plain(BY_NAME[VIEW_OF_STAGE[stage]].title) if stage in VIEW_OF_STAGE else stage


def key(stage: str) -> str:
    """Return a name that Mermaid takes for an identifier."""
    return "stage_" + re.sub(r"\W", "_", stage)


def quoted(text: str) -> str:
    """Return a text that cannot end its quotes, nor hold a tag."""
    return re.sub(r'["<>&#;`\\]', " ", text)


def told(standings: Mapping[str, Standing]) -> str:
    """Return the diagram in words, for who does not see it."""
    return "; ".join(f"{title_of(name)}: {plain(WORDS[one])}" for name, one in standings.items())
