"""Git tags for releases and promotions, in GTO's format, which DVC's model registry reads.

``model@v1.2.0`` marks the commit whose ``dvc.lock`` made release 1.2.0, ``model#prod#3`` the third
time that a release was put to work. A tag on another commit would name another model, so where the
run is not committed there is none, and the reader is told why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.errors import Text
from pipeline.i18n import Message, _
from pipeline.releases import repository
from pipeline.releases.reading import Release

NAME = "model"  # the artifact in dvc.yaml
STAGE = "prod"


def register(release: Release) -> Message:
    """Tag the commit that made a release, and return what was done, or why nothing was."""
    reason = unfit(release)
    if reason is not None:
        return without(reason)
    said = f"Release {release.version}"
    return tagged("register", ref="HEAD", version=f"v{release.version}", message=said)


def assign(release: Release) -> Message:
    """Tag the commit of a release as the one in production; register it first where needed."""
    if not is_registered(release.version):
        told = register(release)
        if not is_registered(release.version):
            return told
    return tagged("assign", stage=STAGE, version=f"v{release.version}", force=True)


def deregister(version: str) -> Message | None:
    """Tag a release as withdrawn; None where it had no tag."""
    if not is_registered(version):
        return None
    return tagged("deregister", version=f"v{version}")


def is_registered(version: str) -> bool:
    """Return whether a release has its tag."""
    tag = f"refs/tags/{name().replace(':', '=')}@v{version}"
    return repository.git("rev-parse", "--verify", "--quiet", tag) is not None


def name() -> str:
    """Return the name of the artifact, with the project's folder where that is not the root."""
    below = repository.below()
    return f"{below}:{NAME}" if below else NAME


def unfit(release: Release) -> Text | None:
    """Return why the commit that is checked out is not that of a release; None where it is."""
    if repository.commit() is None:
        return _("no Git repository holds this project")
    lock = release.origin["dvc_lock"]
    if lock is not None and repository.lock_committed() != lock:
        return _("the commit does not hold the dvc.lock of this release; commit it, then promote")
    if lock is None and repository.is_dirty():
        return _("there are changes that are not committed")
    return None


def tagged(action: str, **values: Any) -> Message:
    """Return which tag GTO made, or why it made none."""
    from gto import api
    from gto.exceptions import GTOException
    from scmrepo.exceptions import SCMError

    act: Callable[..., Any] = getattr(api, action)
    try:
        made = act(repository.root(), name=name(), **values)
    except (GTOException, SCMError) as error:
        return without(str(error).rstrip("."))
    return _("Git tag: {tag}", tag=made.tag)


def without(reason: Text) -> Message:
    """Return the sentence that says why there is no tag."""
    return _("No Git tag: {reason}.", reason=reason)
