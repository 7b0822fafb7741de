"""``python -m app.studio.asking``: asks one model, in a process that ends with its answer.

The model's libraries stay out of the studio, and texts out of the list of processes.

::

    stdin   {"model": "releases/1.0.0/model", "texts": ["…"], "top": 5}
    stdout  {"task": "single_label", "answers": [[{"label": "…", "score": 0.97}]]}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.errors import MofangError
from pipeline.predictor import Predictor
from pipeline.quiet import be_quiet


def main() -> None:
    """Answer what stands on standard input."""
    be_quiet()
    wanted = json.load(sys.stdin)
    model = Predictor.load(Path(wanted["model"]))
    found = model.predict(wanted["texts"], wanted["top"])
    answers = [[{"label": one.label, "score": one.score} for one in some] for some in found]
    print(json.dumps({"task": model.task.name, "answers": answers}))


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
