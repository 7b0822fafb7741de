"""What ``releases/state.json`` says: which release serves, which is tried, which must not serve."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.releases.reading import RELEASES, SEMVER

STATE = "state.json"
MOST_SHARE = 100  # percent

Version = Annotated[str, Field(pattern=f"^{SEMVER.pattern}$")]
Why = str | dict[str, str] | None  # what a person wrote, or what Mofang says, by language
What = Literal["create", "promote", "canary", "end_canary", "rollback", "block", "remove"]


class Part(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Canary(Part):
    """A release that is tried beside stable."""

    version: Version
    share: Annotated[int, Field(ge=1, le=MOST_SHARE)]  # percent of clients; in shadow of requests
    shadow: bool  # whether it only answers copies, which no client sees
    since: str


class Block(Part):
    """Why a release must not serve again without force."""

    why: Why
    at: str
    model: str | None  # sha256 of its model's manifest; means the same model under other numbers


class Event(Part):
    """Something that happened to a release."""

    at: str  # UTC, ISO 8601
    what: What
    version: Version
    before: Version | None  # the stable release that this one replaced
    by: str
    why: Why


class State(Part):
    """The whole file."""

    stable: Version | None = None
    canary: Canary | None = None
    blocked: dict[Version, Block] = Field(default_factory=dict)
    events: list[Event] = Field(default_factory=list)  # the newest last

    @classmethod
    def read(cls, root: Path = RELEASES) -> State:
        """Read the file; where there is none nothing serves.

        :raises ModelError: if it is damaged.
        """
        path = root / STATE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise ModelError.at(
                path,
                found=str(error).splitlines()[0],
                allowed=_("the file that python -m pipeline.release keeps"),
                fix=_("Put the file back from a copy, or remove it and promote a release again."),
            ) from error

    def serving(self) -> list[str]:
        """Return the versions that answer requests: stable, then the canary."""
        tried = self.canary.version if self.canary else None
        return [one for one in (self.stable, tried) if one is not None]

    def earlier(self, there: Collection[str]) -> str | None:
        """Return the release that a rollback brings back: the last stable one that may serve.

        :param there: the versions that lie on the disk.
        """
        seen: set[str] = set()
        version = self.stable
        while version is not None and version not in seen:
            seen.add(version)
            version = self.before(version)
            if version in there and version not in self.blocked and version != self.stable:
                return version
        return None

    def before(self, version: str) -> str | None:
        """Return what was stable when ``version`` was last promoted."""
        promotions = (one for one in reversed(self.events) if one.what == "promote")
        return next((one.before for one in promotions if one.version == version), None)


def say(why: Why, language: str) -> str:
    """Return a reason in ``en`` or ``zh``; what a person wrote stays as it is."""
    return why.get(language, "") if isinstance(why, dict) else why or ""
