"""What must not happen to releases, and why it does not."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.errors import BusyError, GateError, Text
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.releases.ledger import MOST_SHARE, STATE, Block, State, say
from pipeline.releases.reading import MODEL, Release, damaged


class Spoken(Message):
    """A text that is known in each language already."""

    def render(self, language: str) -> str:
        """Return it in ``language``."""
        return str(self.values[language])


def refuse_blocked(now: State, release: Release, force: bool) -> None:
    """Refuse a release that was removed meanwhile, or that is blocked, under any number.

    :raises ModelError: if it is gone.
    :raises GateError: if it is blocked and nobody forces it.
    """
    if not release.folder.is_dir():
        raise damaged(release.folder, _("no such release"))
    found = [now.blocked[one] for one in blocks(now, release)]
    if found and not force:
        why = Spoken("", {language: say(found[0].why, language) for language in LANGUAGES})
        raise GateError.at(
            f"release {release.version}",
            found=_("blocked since {at} ({why})", at=found[0].at, why=why),
            allowed=_("a release that nothing speaks against"),
            fix=_("Make a better one; --force serves this one all the same."),
        )


def blocks(now: State, release: Release) -> list[str]:
    """Return the blocked versions that mean this release: itself, or the same model."""
    own = identity(release.folder)
    return [
        version
        for version, entry in now.blocked.items()
        if version == release.version or (own is not None and entry.model == own)
    ]


def freed(now: State, release: Release) -> dict[str, Block]:
    """Return the blocks without those that mean this release."""
    own = set(blocks(now, release))
    return {version: entry for version, entry in now.blocked.items() if version not in own}


def identity(folder: Path) -> str | None:
    """Return what two releases of the same model share; None where there is no model."""
    path = folder / MODEL / artifacts.MANIFEST
    return artifacts.sha256(path) if path.is_file() else None


def refuse_share(share: int) -> None:
    """Refuse what is no share of clients.

    :raises GateError: naming what is allowed.
    """
    if not 1 <= share <= MOST_SHARE:
        raise GateError.at(
            "canary --share",
            found=str(share),
            allowed=_("{low} to {high}", low=1, high=MOST_SHARE),
            fix=_("Change it to an allowed value."),
        )


def refuse_trial(now: State, version: str) -> None:
    """Refuse a canary that would stand beside nothing, beside itself or beside another canary.

    :raises GateError: saying which.
    """
    found: Text | None = None
    if now.stable is None:
        found = _("no stable release to try it beside")
    elif now.stable == version:
        found = _("the stable release itself")
    elif now.canary is not None and now.canary.version != version:
        found = _("{version}, which is tried already", version=now.canary.version)
    if found is not None:
        raise GateError.at(
            f"canary {version}",
            found=found,
            allowed=_("one release beside a stable one"),
            fix=_("Promote a release first, or end the other trial: rollback --canary."),
        )


def refuse_removal(now: State, version: str, target: str | None, force: bool) -> None:
    """Refuse to remove what serves, and, unless forced, what a rollback would bring back.

    :param target: the release that a rollback would bring back.
    :raises GateError: saying which.
    """
    found: Text | None = None
    if version in now.serving():
        found = _("a release that answers requests")
    elif version == target and not force:
        found = _("the release that a rollback brings back")
    if found is not None:
        raise GateError.at(
            f"remove {version}",
            found=found,
            allowed=_("a release that nobody needs"),
            fix=_("Promote another release first; --force removes all but what serves."),
        )


def nothing_to_undo(found: Text) -> GateError:
    """Return the error for a rollback that leads nowhere."""
    return GateError.at(
        "rollback",
        found=found,
        allowed=_("a release that served before, is there and is not blocked"),
        fix=_("python -m pipeline.release list shows all; promote one of them."),
    )


def busy(root: Path, found: Text) -> BusyError:
    """Return the error for two changes at once."""
    return BusyError.at(
        root / STATE,
        found=found,
        allowed=_("one change at a time"),
        fix=_("Look with python -m pipeline.release list, then try again."),
    )
