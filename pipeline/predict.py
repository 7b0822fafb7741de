"""Ask the model that ``optimize`` shipped: ``python -m pipeline.predict "a text" "another"``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.artifacts import OPTIMIZE
from pipeline.errors import MofangError
from pipeline.i18n import _
from pipeline.predictor import Predictor
from pipeline.steps.targets import REGRESSION


def main() -> None:
    """Print the most probable labels of each text, or its number."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=__doc__)
    parser.add_argument("texts", nargs="+", metavar="TEXT", help=str(_("the texts to label")))
    parser.add_argument(
        "--model", type=Path, default=OPTIMIZE / "model", help=str(_("model folder"))
    )
    parser.add_argument("--top", type=int, default=3, help=str(_("how many labels to show")))
    wanted = parser.parse_args()
    model = Predictor.load(wanted.model)
    shown = "{0.score:.6g}" if model.task.name == REGRESSION else "{0.score:6.1%}  {0.label}"
    for text, scores in zip(wanted.texts, model.predict(wanted.texts, wanted.top), strict=True):
        print(text)
        for score in scores:
            print(f"  {shown.format(score)}")


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
