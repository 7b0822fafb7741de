"""The variables that a run's programs get: what they need, no secret that they do not ask for.

Variables that the parameters name (a database's address, a header's value) are passed on; the
studio's own secrets and the keys of the service are not.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from app.studio.runs.records import FAULT, Run

NAMES = frozenset({
    "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SHELL", "TERM", "VIRTUAL_ENV",
    "DO_NOT_TRACK", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "LD_LIBRARY_PATH", "LD_PRELOAD",
})  # fmt: skip
PREFIXES = (
    "LC_", "XDG_", "PYTHON", "MOFANG_", "DVC_", "PIP_", "UV_", "SSL_", "CUDA", "NVIDIA_", "NCCL_",
    "GLOO_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "TORCH", "PYTORCH_", "HF_", "TRANSFORMERS_",
    "TOKENIZERS_", "GIT_",
)  # fmt: skip
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|DATABASE_URL|ALERT|ROLES")
READING = ("collect", "init")  # sections that name variables: of databases, headers, hubs
HUBS = frozenset({"hub", "datasets"})  # kinds of sources and of models
OWN = ("STREAMLIT_", "MOFANG_")
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def of_run(run: Run) -> dict[str, str]:
    """Return the variables of a run's programs."""
    values = YAML(typ="safe", pure=True).load(run.snapshot.read_text(encoding="utf-8"))
    named = set(words_of([values.get(section) for section in READING]))
    tools = str(Path(sys.executable).parent)  # dvc.yaml says python, and means this one
    chosen = {name: value for name, value in os.environ.items() if passes(name, named)}
    return chosen | on_device(run.device) | {
        "PATH": os.pathsep.join([tools, os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "MOFANG_PROGRESS": str(run.progress_lines),
        "MOFANG_ERROR": str(run.folder / FAULT),
        "DVC_NO_ANALYTICS": "1",
    }  # fmt: skip


def of_tools() -> dict[str, str]:
    """Return the variables of a tool that no parameters speak of, such as ``dvc checkout``."""
    chosen = {name: value for name, value in os.environ.items() if passes(name, set())}
    tools = str(Path(sys.executable).parent)
    return chosen | {"PATH": os.pathsep.join([tools, os.environ.get("PATH", os.defpath)])}


def passes(name: str, named: Set[str]) -> bool:
    """Return whether a run gets a variable of the studio.

    :param named: the texts of the parameters.
    """
    if name in HUB_TOKENS:
        return bool(HUBS & named)
    asked = name in named and not name.startswith(OWN)
    return asked or ((name in NAMES or name.startswith(PREFIXES)) and not SECRET.search(name))


def words_of(value: Any) -> Iterator[str]:
    """Yield all texts of nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from words_of(list(value.values()))
    elif isinstance(value, list):
        for one in value:
            yield from words_of(one)


def on_device(device: str) -> dict[str, str]:
    """Return what makes programs see one device only; nothing for ``auto``."""
    if device == "auto":
        return {}
    return {"CUDA_VISIBLE_DEVICES": "" if device == "cpu" else device}
