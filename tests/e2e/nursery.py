"""A process that has imported what stages need and forks for each, ``python -m tests.e2e.nursery``.

A stage of a tiny project spends three quarters of its time on imports, and each stage imports the
same. ``HOOK``, as a ``sitecustomize``, hands ``python -m pipeline.train`` over to the nursery: a
fork of it gets the arguments, the folder, the variables and the open files of the program, runs
the module as ``python -m`` does, and its exit code becomes that of the program. The code of the
project itself is imported by each stage anew.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from tests.helpers import ROOT

MODULES = (
    "pandas", "numba.typed", "pyarrow.parquet", "scipy.stats", "sklearn.svm",
    "sklearn.linear_model",
    "sklearn.model_selection", "sklearn.feature_extraction.text", "torch", "transformers",
    "tokenizers", "accelerate", "peft", "codecarbon", "dvclive.live", "tensorboardX", "openvino",
    "matplotlib.pyplot", "pydantic", "ruamel.yaml",
    "transformers.models.auto.modeling_auto", "transformers.models.bert.modeling_bert",
    "transformers.trainer", "torch._dynamo", "cleanlab.filter", "sklearn.discriminant_analysis",
)  # fmt: skip
STARTED = "started"
SIGNAL_OF_PARENT = 1  # of prctl: the signal that a process gets when its parent ends
HOOK = """\
import os, sys
TAKEN = {"pipeline." + name for name in (
    "clean", "label", "init", "train", "validate", "test", "optimize", "annotation",
    "modeling.bench", "modeling.worker")}
def hand_over(words):
    if "-m" not in words or words[words.index("-m") + 1] not in TAKEN:
        return
    import json, socket
    at = words.index("-m") + 1
    told = {"module": words[at], "words": words[at + 1:], "safe": sys.flags.safe_path,
            "folder": os.getcwd(), "environment": dict(os.environ)}
    content = json.dumps(told).encode()
    with socket.socket(socket.AF_UNIX) as nursery:
        nursery.connect(os.environ["MOFANG_NURSERY"])
        socket.send_fds(nursery, [len(content).to_bytes(8, "big")], [0, 1, 2])
        nursery.sendall(content)
        code = nursery.recv(1)
    os._exit(code[0] if code else 137)
if os.environ.get("MOFANG_NURSERY"):
    hand_over(sys.orig_argv)
"""


@contextlib.contextmanager
def nursery() -> Iterator[dict[str, str]]:
    """Yield the variables of programs whose stages are forks, as long as the block lasts."""
    folder = tempfile.mkdtemp(prefix="mofang-")  # short, as addresses of sockets have to be
    path = Path(folder) / "nursery"
    (Path(folder) / "sitecustomize.py").write_text(HOOK)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.nursery", str(path)], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == STARTED
            yield {"MOFANG_NURSERY": str(path), "PYTHONPATH": folder}
        finally:
            process.kill()
            shutil.rmtree(folder)


def serve(path: str) -> None:
    """Fork for each program that asks, until whoever started the nursery is gone."""
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print(STARTED, flush=True)
        while True:
            client, _address = listener.accept()
            if os.fork() == 0:
                listener.close()
                attend(client)
            client.close()


def attend(client: socket.socket) -> NoReturn:
    """Run a program in a process of its own, and end it when its client is gone."""
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _flags, _address = socket.recv_fds(client, 8, 3)
    content = b""
    while len(content) < int.from_bytes(head, "big"):
        content += client.recv(1 << 16)
    child = os.fork()
    if child == 0:
        become(json.loads(content), files)
    for one in files:
        os.close(one)
    handle = os.pidfd_open(child)
    ready = select.select([client.fileno(), handle], [], [])[0]
    if handle not in ready:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        client.sendall(bytes([code % 256]))
    os._exit(0)


def become(told: dict[str, object], files: list[int]) -> NoReturn:
    """Be a program: its files, folder, variables and arguments, then its module."""
    die_with_parent()
    for number, one in enumerate(files):
        os.dup2(one, number)
        os.close(one)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8")
    for name, number in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(number, "w", closefd=False)
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", write_through=True))
    os.chdir(str(told["folder"]))
    os.environ.clear()
    os.environ.update(told["environment"])  # type: ignore[call-overload]
    first = [] if told["safe"] else [os.getcwd()]
    sys.path[:] = [*first, *os.environ["PYTHONPATH"].split(os.pathsep), *sys.path]
    module = str(told["module"])
    sys.argv = [module, *told["words"]]  # type: ignore[misc]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_with_parent() -> None:
    """End this process when the one that started it ends, however that came about."""
    ctypes.CDLL(None).prctl(SIGNAL_OF_PARENT, signal.SIGKILL, 0, 0, 0)


def main() -> None:
    """Import everything once, leave nothing of our own behind, and serve."""
    from pipeline.quiet import be_quiet

    be_quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            importlib.import_module(name)
    for name in [one for one in sys.modules if one.partition(".")[0] in ("pipeline", "tests")]:
        del sys.modules[name]
    sys.path[:] = [one for one in sys.path if one not in ("", str(ROOT), os.getcwd())]
    serve(sys.argv[1])


if __name__ == "__main__":
    main()
