"""No library reports home and none fetches anything by itself, unless the user said otherwise."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

SWITCHES = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def be_quiet() -> None:
    """Set every library's own switch, before the library is imported; what is set already stays."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    # OpenVINO and NNCF report each use to a web analytics service and know no switch but a file
    # in the user's home. Both go without the reporting package when it cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def leave(status: int) -> NoReturn:
    """End the process at once: what a library left running may abort it while Python takes leave.

    Everything that was to be kept is on disk by then, and closed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
