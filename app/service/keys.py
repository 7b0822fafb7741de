"""Who may ask: keys with roles, from the environment.

``MOFANG_KEYS`` holds a line a key: ``name:role:key``. Only the sha256 of a key is kept. A key is
shown as ``Authorization: Bearer KEY``, as ``X-API-Key: KEY``, or by a browser as user and password
(``Basic``). Where no key is set everybody may do everything, and the service listens to its own
machine only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from app.service.errors import NoKey, NotAllowed
from pipeline.errors import ParamsError, Problem
from pipeline.i18n import _

KEYS = "MOFANG_KEYS"
SHORTEST = 16  # characters; a shorter key can be guessed

Role = Literal["predict", "operate"]  # operate may also do what predict may
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str  # "" where no keys are set
    role: Role

    def may(self, role: Role) -> bool:
        """Return whether the caller may do what ``role`` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


EVERYBODY = Caller("", "operate")


@dataclass(frozen=True)
class Keys:
    """The keys that are set."""

    _known: tuple[tuple[bytes, Caller], ...] = field(repr=False)  # sha256 → who

    @classmethod
    def read(cls, text: str) -> Keys:
        """Read keys, a line each.

        :raises ParamsError: naming every line that is none, without repeating it.
        """
        known: list[tuple[bytes, Caller]] = []
        problems: list[Problem] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            name, role, key = ([part.strip() for part in line.split(":", 2)] + ["", ""])[:3]
            roles: dict[str, Role] = {one: one for one in ROLES}
            if name and role in roles and len(key) >= SHORTEST:
                known.append((digest(key), Caller(name, roles[role])))
            else:
                problems += unreadable(number).problems
        if problems:
            raise ParamsError(*problems)
        return cls(tuple(known))

    def __bool__(self) -> bool:
        return bool(self._known)

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who shows a key.

        :param headers: names in lower case.
        :raises NoKey: if there is none, or one that nobody has.
        """
        if not self._known:
            return EVERYBODY
        shown, found = digest(shown_in(headers)), None
        for known, caller in self._known:  # all of them: the time tells nothing
            if hmac.compare_digest(known, shown):
                found = caller
        if found is None:
            raise NoKey.at(
                "Authorization",
                found=_("no key that is known"),
                allowed=_("a key of this service"),
                fix=_("Send the header Authorization: Bearer KEY. The operator gives out keys."),
            )
        return found

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request may be told more than that the service is there."""
        try:
            self.caller(headers)
        except NoKey:
            return False
        return True


def unreadable(number: int) -> ParamsError:
    """Return the error for a line of the environment that is no key."""
    return ParamsError.at(
        _("{variable}, line {number}", variable=KEYS, number=number),
        found=_("a line that is no key"),
        allowed=_(
            "name:role:key with the role {roles} and a key of at least {length} characters",
            roles=" | ".join(ROLES),
            length=SHORTEST,
        ),
        fix=_("Write one line for each key, as in alice:predict: and a long random key."),
    )


def digest(key: str) -> bytes:
    """Return the sha256 of a key; keys are long and random, so that no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def shown_in(headers: Mapping[str, str]) -> str:
    """Return the key that a request shows; ``""`` for none."""
    scheme, _space, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            both = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return ""
        return both.partition(":")[2]
    return headers.get("x-api-key", "").strip()


def require(caller: Caller, role: Role) -> None:
    """Refuse a caller who may not do what ``role`` may.

    :raises NotAllowed: saying which role is needed.
    """
    if not caller.may(role):
        raise NotAllowed.at(
            "Authorization",
            found=_("a key of the role {role}", role=caller.role),
            allowed=_("a key of the role {role}", role=role),
            fix=_("Ask the operator for such a key."),
        )
