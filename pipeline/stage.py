"""What every stage does around its work: quiet libraries, checked params, readable errors."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from pipeline.artifacts import write_bytes
from pipeline.errors import MofangError, packed
from pipeline.params import Params, load
from pipeline.quiet import be_quiet


def run(stage: Callable[[Params], None]) -> None:
    """Run one stage and end the process: 0 when it is done, 1 with the reason when it is not."""
    be_quiet()
    started = time.monotonic()
    try:
        stage(load())
    except MofangError as error:
        if os.environ.get("MOFANG_TRACEBACK"):
            traceback.print_exc()
        print(error, file=sys.stderr, flush=True)
        note(error)
        sys.exit(1)
    print(f"{stage.__name__}: {time.monotonic() - started:.1f} s", flush=True)


def note(error: MofangError) -> None:
    """Write an error into the file that ``MOFANG_ERROR`` names, for readers of any language.

    Where that fails, as on a full disk, what was printed has to do.
    """
    path = os.environ.get("MOFANG_ERROR")
    if path:
        with contextlib.suppress(MofangError, OSError):
            write_bytes(Path(path), json.dumps(packed(error)).encode())
