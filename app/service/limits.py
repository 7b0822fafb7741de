"""What a request may bring and how much a client may ask, checked before a text is read."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

from app.service.errors import EmptyText, Invalid, NotJson, TooLarge, TooMany, TooSlow
from pipeline.i18n import _
from pipeline.schema.serving import Limits, Rate

NUL = "\0"


async def body_of(request: Request, limits: Limits) -> bytes:
    """Return the body of a request that is JSON, counted while it arrives.

    The page of another site can have a browser send here whatever does not say that it is JSON
    (Fetch, CORS-safelisted), so that it has to.

    :raises NotJson: if it does not say that it is JSON.
    :raises TooLarge: as soon as there is more than allowed.
    :raises TooSlow: if it does not arrive in time.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise NotJson.at(
            "Content-Type",
            found=kind[:100] or _("nothing"),
            allowed="application/json",
            fix=_("Send JSON, and the header Content-Type: application/json."),
        )
    most = limits.body_kb * 1024
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large(limits)
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large(limits)
                parts.append(part)
    except (TimeoutError, ClientDisconnect):
        raise TooSlow.at(
            "body",
            found=_("a part of it"),
            allowed=_("a whole body within {seconds} seconds", seconds=limits.body_seconds),
            fix=_("Send it again."),
        ) from None
    return b"".join(parts)


def too_large(limits: Limits) -> TooLarge:
    """Return the refusal for a body that is larger than allowed."""
    return TooLarge.at(
        "body",
        found=_("more than {limit} kB", limit=limits.body_kb),
        allowed=_("up to {limit} kB", limit=limits.body_kb),
        fix=_("Send it in several requests."),
    )


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Refuse texts that are too many, too long, empty, or no texts.

    :raises TooLarge: for too many texts or too long ones.
    :raises EmptyText: for a text of white space only.
    :raises Invalid: for no text at all, a NUL, or half a surrogate pair, which no encoding and no
        database can carry.
    """
    if len(texts) > limits.texts:
        raise TooLarge.at(
            "inputs",
            found=_("{count} texts", count=len(texts)),
            allowed=_("up to {limit} texts", limit=limits.texts),
            fix=_("Send them in several requests."),
        )
    if not texts:
        raise Invalid.at(
            "inputs",
            found=_("no text"),
            allowed=_("at least one text"),
            fix=_("Send a text, or a list of texts."),
        )
    for at, text in enumerate(texts):
        check_text(text, f"inputs[{at}]", limits.characters)


def check_text(text: str, where: str, longest: int) -> None:
    """Refuse one text; ``check_texts`` says for what."""
    if len(text) > longest:
        raise TooLarge.at(
            where,
            found=_("{count} characters", count=len(text)),
            allowed=_("up to {limit} characters", limit=longest),
            fix=_("Shorten the text, or send parts of it."),
        )
    if not text or text.isspace():
        raise EmptyText.at(
            where,
            found=_("an empty text"),
            allowed=_("a text"),
            fix=_("Leave it out, or write something into it."),
        )
    if NUL in text or not (text.isascii() or is_unicode(text)):
        raise Invalid.at(
            where,
            found=_("a character that is none (NUL or half a surrogate pair)"),
            allowed=_("text in Unicode"),
            fix=_("Take the character out; often a text was cut in its middle."),
        )


def is_unicode(text: str) -> bool:
    """Return whether an encoding can carry the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass
class Buckets:
    """A token bucket a client: it fills at a steady rate, and each text takes one token out.

    The clients that were away longest are forgotten, so that memory is bounded; who is forgotten
    starts with a full bucket.
    """

    rate: Rate
    _levels: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, client: str, texts: int, now: float) -> None:
        """Take ``texts`` tokens out of a client's bucket.

        :param now: seconds on a clock that never goes back.
        :raises TooMany: if there are not so many in it; then none is taken.
        """
        speed, burst = self.rate.texts_per_second, float(self.rate.burst)
        if not speed:
            return
        level, since = self._levels.pop(client, (burst, now))
        level = min(burst, level + (now - since) * speed)
        enough = level >= texts
        self._levels[client] = (level - texts if enough else level, now)
        if len(self._levels) > self.rate.clients:
            self._levels.popitem(last=False)
        if not enough:
            error = TooMany.at(
                _("client"),
                found=_("more than {burst} texts at once", burst=self.rate.burst),
                allowed=_("{speed} texts a second on average", speed=speed),
                fix=_("Wait as long as the header Retry-After says, then send it again."),
            )
            error.retry_after = (texts - level) / speed
            raise error
