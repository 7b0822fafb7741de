"""What every stage does around its work: quiet libraries, checked params, readable errors."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable

from pipeline.errors import MofangError
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
        sys.exit(1)
    print(f"{stage.__name__}: {time.monotonic() - started:.1f} s", flush=True)
