"""Whether the service lives, is ready to answer, and what it has to do without.

Each part tells about itself: the router which release failed to load, the recorder why it cannot
write. Whoever starts the parts lists them here once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import Text, words

OK, DEGRADED, NOT_READY = "ok", "degraded", "not ready"

Probe = Callable[[], Iterable[Text]]


@dataclass
class Health:
    """What ``/health`` and the probes of the Open Inference Protocol ask.

    :param ready: whether a stable release is loaded.
    """

    ready: Callable[[], bool]
    _probes: list[Probe] = field(default_factory=list)

    def live(self) -> bool:
        """Return true: whoever gets this answer has reached a process whose event loop turns."""
        return True

    def watch(self, probe: Probe) -> None:
        """Ask ``probe`` too: it returns a reason for each thing that does not work, else none."""
        self._probes.append(probe)

    def reasons(self) -> list[Text]:
        """Return why the service does less than it should; none when all is well.

        A probe that fails is a reason itself and keeps nobody from asking the others.
        """
        found: list[Text] = []
        for probe in self._probes:
            try:
                found += probe()
            except Exception as error:  # asking about health must not be what breaks
                found.append(type(error).__name__)  # no more: anybody may read this
        return found

    def report(self, language: str) -> dict[str, Any]:
        """Return the state as JSON: ``status``, ``live``, ``ready`` and ``degraded``, the reasons.

        ``not ready`` is answered with 503, so that a balancer sends requests elsewhere; a degraded
        service still answers them.

        :param language: ``en`` or ``zh``, of the reasons.
        """
        reasons, ready = self.reasons(), self.ready()
        return {
            "status": NOT_READY if not ready else DEGRADED if reasons else OK,
            "live": self.live(),
            "ready": ready,
            "degraded": [words(one, language) for one in reasons],
        }
