"""What the service hands to its recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Entry:
    """A request and what was answered.

    A request that was refused has a ``code`` and no ``scores``; its texts are not written down.
    """

    id: str  # unique; at most 64 characters
    at: datetime  # when it came in, in UTC
    route: str
    code: int  # HTTP status
    version: str | None  # of the release that answered
    role: str | None  # stable or canary
    client: str  # as the service names it; a keyed hash of it is written down
    texts: Sequence[str]
    scores: NDArray[np.floating[Any]] | None  # [texts, outputs]
    labels: Sequence[str] | None  # the answers, as records hold them
    tokens: int  # of all texts
    seconds: float  # until the answer
    waited: float  # seconds of them in the queue
    stable_labels: Sequence[str] | None = None  # of the stable release, where it was asked too
    shadow: bool = False  # the client saw another answer than this one


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said about an answer; of a request that is not written down it is dropped."""

    at: datetime  # in UTC
    request_id: str
    index: int  # of the text in its request
    client: str
    verdict: Literal["up", "down"]
    label: str | None = None  # what would have been right
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``data`` holds no text of a request and no client's name."""

    at: datetime  # in UTC
    kind: str  # at most 50 characters
    data: Mapping[str, Any]  # JSON


Item = Entry | Feedback | Event
DROPPED, RECREATED = "traffic_dropped", "traffic_recreated"  # kinds of the recorder's own events


def weight(item: Item) -> int:
    """Return how many texts an item counts for in the queue."""
    return max(1, len(item.texts)) if isinstance(item, Entry) else 1
