"""One model in a process of its own: how long it takes to start, what it holds, how fast it is.

In a process of its own nothing that another runtime left behind, in memory or in spinning threads,
is counted. ``Child`` starts one and asks it; ``python -m pipeline.modeling.bench FOLDER KIND
THREADS`` is what it starts. Anything else that runs ``serve`` can be asked alike, so that peers
stand in the same table.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from pipeline.modeling import measuring

if TYPE_CHECKING:
    from pipeline.predictor import BasePredictor

ROOT = Path(__file__).parents[2]
LONGEST = 900.0  # seconds until an answer is given up
ENDING_SECONDS = 10.0
TORCH, FAST, SERVED = "torch", "fast", "served"


@dataclass(frozen=True)
class Reply:
    """What one request took."""

    seconds: float  # inside the process, from texts to scores
    resident_bytes: int  # after it
    peak_bytes: int  # since the process began
    answers: list[str] | None = None  # where they were asked for and the program gives them


class Child:
    """A process that answers texts. It starts with ``start`` and ends with the ``with`` block.

    :param command: a program that runs ``serve``.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.log: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.end(self.process)
        self.log.close()

    def start(self, text: str) -> float:
        """Start the process and return the seconds until it has answered one text.

        The start of the interpreter, all imports and the loading of the model count.

        :raises ModelError: if it ends instead.
        """
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": with_root(os.environ.get("PYTHONPATH"))},
        )
        self.ask([text], 1)
        return time.perf_counter() - begun

    def ask(self, texts: Sequence[str], batch_size: int, *, answers: bool = False) -> Reply:
        """Have texts answered and return what that took.

        :param answers: also return them, where the program gives any.
        :raises ModelError: if the process ends, or says nothing for a quarter of an hour.
        """
        process = self.process
        assert process is not None, "it was not started"
        assert process.stdin is not None
        assert process.stdout is not None
        wanted = {"texts": list(texts), "batch_size": batch_size, "answers": answers}
        try:
            process.stdin.write(json.dumps(wanted) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self.failed() from None
        # One reply follows each request, so nothing waits in a buffer when this looks.
        ready, _write, _other = select.select([process.stdout], [], [], LONGEST)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise self.failed()
        return Reply(**json.loads(line))

    def failed(self) -> Exception:
        """Return the error for a process that ended or hangs, with the last that it said."""
        from pipeline.errors import ModelError
        from pipeline.i18n import _

        self.log.seek(0)
        said = self.log.read().strip().splitlines()
        return ModelError.at(
            " ".join(self.command[1:]),
            found=said[-1] if said else _("no answer"),
            allowed=_("a model that answers in a process of its own"),
            fix=_("Look whether memory is short; without this variant in params.yaml, optimize, "
                  "the others are built."),
        )  # fmt: skip

    def end(self, process: subprocess.Popen[str]) -> None:
        """Let the process end by itself, or end it."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended before it read all
            process.stdin.close()
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def with_root(before: str | None) -> str:
    """Return the search path of a child: this project first, wherever the child runs."""
    return os.pathsep.join([str(ROOT), *([before] if before else [])])


def command(folder: Path, kind: str, threads: int) -> list[str]:
    """Return the command of a child that answers with a model folder.

    :param kind: ``torch`` for what training saved, ``fast`` for what runs on a GPU, ``served`` for
        what ``Predictor`` loads.
    :param threads: 0 takes all cores.
    """
    return [sys.executable, "-m", "pipeline.modeling.bench", str(folder), kind, str(threads)]


def load(folder: Path, kind: str, threads: int) -> BasePredictor:
    """Return the predictor of a model folder."""
    if kind == TORCH:
        import torch

        from pipeline.modeling.predictor import TorchPredictor

        if threads:
            torch.set_num_threads(threads)
        return TorchPredictor.load(folder)
    if kind == FAST:
        from pipeline.modeling.variants.torch import FastPredictor

        return FastPredictor.load(folder)
    from pipeline.predictor import Predictor, bound_kernels

    bound_kernels()  # as the service does, so that its memory is what is measured
    return Predictor.load(folder, threads)


def own_channel() -> IO[str]:
    """Return where replies go; what libraries print goes to the error stream instead."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def serve(answer: Callable[[list[str], int], Any], channel: IO[str]) -> None:
    """Answer one JSON request a line from the standard input, until it ends.

    :param answer: texts and a batch size → anything; a list of strings where answers are wanted.
    :param channel: from ``own_channel``, taken before anything could print.
    """
    for line in sys.stdin:
        wanted = json.loads(line)
        begun = time.perf_counter()
        found = answer(wanted["texts"], wanted["batch_size"])
        reply = {
            "seconds": time.perf_counter() - begun,
            "resident_bytes": measuring.resident(),
            "peak_bytes": measuring.status("VmHWM") or measuring.lifetime_peak(),
            "answers": found if wanted["answers"] and isinstance(found, list) else None,
        }
        print(json.dumps(reply), file=channel, flush=True)


def main() -> None:
    """Load the model that the command line names, and serve it."""
    from pipeline.quiet import be_quiet

    channel = own_channel()
    be_quiet()
    folder, kind, threads = sys.argv[1:]
    serve(load(Path(folder), kind, int(threads)).scores, channel)


if __name__ == "__main__":
    main()
