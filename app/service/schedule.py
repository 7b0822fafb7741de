"""The monitor on a schedule: every few minutes one look at the log, in a process of its own.

A look sorts latencies, tests figures and may write a page by Evidently. In this process that would
stand in the way of requests (one interpreter lock) and its memory would stay; a process with the
lowest priority takes what processor time is left and gives its memory back.

::

    stdin   {"sections": {"monitor": …, "alerts": …, "traffic": …}, "sample": {…}}
    stdout  one line of JSON, see pipeline.watching.look.Seen.told
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import Text, words
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.schema.knob import Section

LOG = logging.getLogger("mofang.schedule")
CODE = Path(__file__).parents[2]  # the look runs in the project's folder, which may be another
COMMAND = (sys.executable, "-m", "pipeline.monitor", "look")
MOST_SECONDS = 240.0  # for one look; one that takes longer is ended
PATIENCE = 5.0  # seconds between asking a look to end and ending it
FIRST = 5.0  # seconds after the start of the service
# What a look needs to know; above all it does not get the keys of clients.
PASSED_ON = (
    "MOFANG_DATABASE_URL", "MOFANG_RELEASES", "MOFANG_ALERTS", "MOFANG_LANGUAGE", "PATH", "HOME",
    "LANG", "LC_ALL", "LC_MESSAGES", "TMPDIR", "TZ", "VIRTUAL_ENV", "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


class Schedule:
    """Starts a look every ``monitor.every_minutes``, and at once when something happened.

    :param sections: ``monitor``, ``alerts`` and ``traffic`` of the service's own params, so that an
        edited ``params.yaml`` does not change what watches a running service.
    :param environment: of the service.
    :param sample: returns what only this process knows, as ``{"degraded": health.reasons()}``: why
        the service does less than it should, which raises an alert. Memory and processor time are
        added here, and each look writes all of it down.
    :param told: gets the outcome of every look that ended well: ``{"drift": {"text": 0.12}, …}``.
    :param root: of the project, where the look runs.
    """

    def __init__(
        self,
        sections: Mapping[str, Section],
        environment: Mapping[str, str],
        *,
        sample: Callable[[], Mapping[str, Any]] = dict,
        told: Callable[[dict[str, Any]], None] = lambda outcome: None,
        root: Path | None = None,
    ) -> None:
        self.sections = {name: one.model_dump(mode="json") for name, one in sections.items()}
        self.environment = {name: environment[name] for name in PASSED_ON if name in environment}
        above = [str(CODE), *filter(None, [environment.get("PYTHONPATH")])]
        self.environment |= {"PYTHONPATH": os.pathsep.join(above), "OMP_NUM_THREADS": "1"}
        self.sample, self.told, self.root = sample, told, root
        self.seconds = 60.0 * self.sections["monitor"]["every_minutes"]
        self.failed = 0  # looks in a row
        self.measured = (time.monotonic(), processor_seconds())
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()

    @property
    def problem(self) -> Message | None:
        """Return why health is degraded; None while looks succeed."""
        if self.failed < 2:  # one look may meet a locked database
            return None
        return _("the monitor failed {count} times in a row", count=self.failed)

    def start(self) -> None:
        """Begin, unless ``monitor.enabled`` is off; to be called in the event loop."""
        if self.sections["monitor"]["enabled"] and self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self.run(), name="schedule")

    async def stop(self) -> None:
        """End a look that is under way, and begin no other."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def wake(self) -> None:
        """Look at once: something happened, such as a rollback. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Look again and again; nothing that a look does ends this."""
        pause = min(FIRST, self.seconds)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
            self._woken.clear()
            started = time.monotonic()
            try:
                await self.look()
            except Exception:
                self.failed += 1
                LOG.exception("a look of the monitor could not be started")
            pause = max(1.0, self.seconds - (time.monotonic() - started))

    async def look(self) -> dict[str, Any] | None:
        """Look once and return the outcome; None when the look failed."""
        content = json.dumps({"sections": self.sections, "sample": self.sampled()}).encode()
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.root,
            env=self.environment,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(MOST_SECONDS):
                out, err = await process.communicate(content)
        except TimeoutError:
            LOG.warning("a look of the monitor took more than %d seconds", MOST_SECONDS)
            self.failed += 1
            return None
        finally:
            await ended(process)
        return self.understood(process.returncode, out, err)

    def understood(self, code: int | None, out: bytes, err: bytes) -> dict[str, Any] | None:
        """Return what a look printed and pass it on; None when it is no outcome."""
        try:
            outcome = json.loads(out.splitlines()[-1]) if code == 0 else None
        except (ValueError, IndexError):
            outcome = None
        if not isinstance(outcome, dict):
            self.failed += 1
            last = (err.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
            # One escaped line: what it quotes may come from a client.
            LOG.warning("a look of the monitor ended with %s: %s", code, json.dumps(last[:300]))
            return None
        self.failed = 0
        self.told(outcome)
        return outcome

    def sampled(self) -> dict[str, Any]:
        """Return what only this process knows: what ``sample`` says, memory and processor.

        ``memory_bytes`` is the resident set, ``cpu_share`` the processor seconds a second since the
        last look (2.0: two cores busy).
        """
        (then, used), now = self.measured, (time.monotonic(), processor_seconds())
        self.measured = now
        share = (now[1] - used) / max(now[0] - then, 1e-3)
        told = dict(self.sample())
        reasons: Iterable[Text] = told.get("degraded") or ()
        return told | {
            "pid": os.getpid(),
            "memory_bytes": resident_bytes(),
            "cpu_share": round(share, 4),
            "degraded": [{one: words(why, one) for one in LANGUAGES} for why in reasons],
        }


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a process with its children: ask first, insist after ``PATIENCE``."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), PATIENCE)


def processor_seconds() -> float:
    """Return the processor time of this process so far, its ended children left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
