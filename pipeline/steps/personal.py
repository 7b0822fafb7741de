"""What tells who somebody is: e-mail, phone, Chinese identity card, bank card, IP address.

Patterns find candidates, and checksums, calendars and tables decide: ISO 7064 MOD 11-2 for
identity cards (GB 11643-1999), Luhn for bank cards (ISO/IEC 7812-1), phonenumbers for phones.
Where kinds overlap, the most specific wins. The number of an order, a parcel or a book is nobody's.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache

from pipeline.steps import reasons

MASKS = {  # the most specific kind first
    "email": "[EMAIL]",
    "identity_card": "[ID]",
    "bank_card": "[CARD]",
    "ip": "[IP]",
    "phone": "[PHONE]",
}
CLUE = re.compile("[0-9@０-９＠]")  # without one of these a text holds none of the kinds
FULL_WIDTH = re.compile("[！-～]")
HALF_WIDTH = {ord(wide): ord(wide) - 0xFEE0 for wide in map(chr, range(0xFF01, 0xFF5F))}

# Every repetition is bounded and starts at an edge, so that no text takes quadratic time.
EMAIL = re.compile(
    r"(?<![a-z0-9._%+-])[a-z0-9_][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}"
    r"(?!(?:png|jpe?g|gif|svg|webp|css|js)\b)[a-z]{2,24}(?![a-z0-9])",
    re.ASCII | re.IGNORECASE,
)
DIGITS = re.compile(r"[0-9](?:[ .()-]{0,2}[0-9]){6}")  # the shortest phone number
IDENTITY_CARD = re.compile(
    r"(?<![A-Za-z0-9_])([1-9][0-9]{5})([ -]?)((?:18|19|20)[0-9]{6})\2([0-9]{3}[0-9Xx])"
    r"(?![A-Za-z0-9_])"
)
PROVINCES = re.compile(  # GB/T 2260, and 83 for residents from Taiwan
    "1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]"
)
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECKS = "10X98765432"
BANK_CARD = re.compile(
    r"(?<![A-Za-z0-9_+])(?<![0-9][.,])(?<![A-Za-z0-9]-)(?:[0-9]{13,19}"
    r"|[0-9]{4}([ -])(?:[0-9]{4}\1){2}[0-9]{1,4}(?:\1[0-9]{1,3})?"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}"
    r"|[0-9]{6}[ -][0-9]{13})(?![A-Za-z0-9_]|[.-][0-9])"
)
ISSUERS = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12}"
    r"|(?:35|6[0-9])[0-9]{14,17}|(?:5[0678]|9558)[0-9]{11,17}"
)
PHONE = re.compile(
    r"(?:(?<![A-Za-z0-9_$€£¥#№])|(?<=tel)|(?<=call)|(?<=phone)|(?<=mobile))"
    r"(?<![$€£¥#№] )(?<![0-9][.,])(?<![A-Za-z0-9]-)(?<![^0-9]/)"
    r"(?!(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}(?![0-9]))"  # a day
    r"(?:\+ ?)?(?:\((?=[0-9]{1,4}\)))?[0-9](?:[ .()-]{0,2}[0-9]){6,14}"
    r"(?![A-Za-z0-9_%]|[.:%-][0-9])",
    re.IGNORECASE,
)
DATE = re.compile(
    r"(?<![0-9])(?:1[89]|20)[0-9]{2}([-. ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"|(?<![0-9])(?:[0-2]?[0-9]|3[01])([-. ])(?:[0-2]?[0-9]|3[01])\2(?:1[89]|20)[0-9]{2}(?![0-9])"
    r"|^(?:1[89]|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$"
)
GROUP = re.compile("[0-9]+")
PART = re.compile("[^ ]+")
FEWEST_DIGITS = 7
DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
MOST_GROUPS = 6  # +33 6 12 34 56 78
SHORTEST_GROUP = 2  # of the last ones; a book's number ends in a single digit
TRIES = 6  # a table of numbers is not tried in every way
# Patterns that begin with a look behind are tried at every character; these say whether to try.
QUAD = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
COLONS = re.compile(":[0-9A-Fa-f]{0,4}:")
IP_4 = re.compile(
    r"(?<![A-Za-z0-9_.-])(?!0)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![A-Za-z0-9_]|[.-][A-Za-z0-9])"
)
IP_6 = re.compile(
    r"(?<![A-Za-z0-9_.])(?:(?<![0-9A-Fa-f:]:)|(?<=v6:))"
    r"[0-9A-Fa-f]{4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![A-Za-z0-9_]|:[0-9A-Fa-f:])"
)

# What stands before a number says what it counts; the last word of the clause decides.
LABEL = re.compile(
    r"(?P<end>[,;!?，；。！？、\n])"
    r"|(?P<thing>(?<![a-z])(?:(?<!in )order|track(?:ing)?|parcel|shipment|waybill|invoice|receipt"
    r"|serial|item|sku|upc|ean|isbn(?:-1[03])?|issn|doi|part|model|version|ver|v|build|release"
    r"|firmware|section|chapter|ticket|case|ref(?:erence)?|transaction|batch|lot|timestamp|uid"
    r"|id=|qq)(?![a-z]|\.[a-z])"
    r"|订单|单号|运单|快递|物流|编号|货号|型号|条码|条形码|批号|序列号|流水|书号|版本|固件|章节"
    r"|第 ?$|工单|票号|学号|工号|时间戳|群号)"
    r"|(?P<person>phone|(?<![a-z])(?:tel|call|mobile|cell|fax|text|whatsapp|contact|card|ip|host"
    r"|server|address)(?![a-z])|电话|手机|联系|致电|拨打|热线|传真|微信|卡号|银行|地址|服务器)",
    re.IGNORECASE,
)
BEFORE = 24  # characters
UNIT = re.compile(
    r" ?(?:元|块|圆|美元|万|亿|千|次|人|条|件|个|台|辆|字节|公里|米|吨|年|岁"
    r"|(?:dollars|usd|cny|rmb|eur|yuan|bytes|views|users|people|times|records|rows|km|kg)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """Where a text tells who somebody is: characters ``start`` to before ``end``."""

    kind: str
    start: int
    end: int


def find(text: str, *, kinds: Sequence[str], region: str) -> list[Found]:
    """Return what a text holds of the wanted kinds, in order and without overlap.

    A number that is of a more specific kind is not taken for another, wanted or not.

    :param kinds: of email, identity_card, bank_card, ip and phone.
    :param region: where phone numbers without a country code belong, as in CN or US.
    """
    if not kinds or CLUE.search(text) is None:
        return []
    if not text.isascii() and FULL_WIDTH.search(text):
        text = text.translate(HALF_WIDTH)  # one for one: every place stays where it is
    found: list[Found] = []
    taken = bytearray(len(text))
    for kind, finder in finders(text, phones=region if "phone" in kinds else None):
        for start, end in finder(text):
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append(Found(kind, start, end))
    return sorted((one for one in found if one.kind in kinds), key=lambda one: one.start)


def mask(text: str, *, kinds: Sequence[str], region: str) -> str:
    """Return a text with masks in place of what it holds of the wanted kinds; idempotent."""
    return masked(text, kinds, region)[0]


def treat(
    text: str,
    *,
    email: str,
    phone: str,
    identity_card: str,
    bank_card: str,
    ip: str,
    region: str,
) -> tuple[str, str | None, dict[str, int]]:
    """Return the text, the reason to drop it (None keeps it), and how many of each kind it held.

    Each kind is handled by ``keep``, ``mask`` or ``drop``. A dropped text is masked as well, so
    that the file of dropped records tells nothing either.
    """
    if CLUE.search(text) is None:
        return text, None, {}
    handling = {
        "email": email,
        "phone": phone,
        "identity_card": identity_card,
        "bank_card": bank_card,
        "ip": ip,
    }
    kinds = [kind for kind, way in handling.items() if way != "keep"]
    text, counts = masked(text, kinds, region)
    dropped = any(handling[kind] == "drop" for kind in counts)
    return text, reasons.PERSONAL_DATA if dropped else None, counts


def masked(text: str, kinds: Sequence[str], region: str) -> tuple[str, dict[str, int]]:
    """Return the text with masks and how many there are of each kind."""
    counts: Counter[str] = Counter()
    # Again, because a mask gives what stood next to it a new neighbour. It ends: each round takes
    # digits or @ away, and masks have none.
    while found := find(text, kinds=kinds, region=region):
        counts.update(one.kind for one in found)
        pieces, place = [], 0
        for one in found:
            pieces += [text[place : one.start], MASKS[one.kind]]
            place = one.end
        text = "".join([*pieces, text[place:]])
    return text, dict(sorted(counts.items()))


Finder = Callable[[str], Iterator[tuple[int, int]]]


def finders(text: str, phones: str | None) -> Iterator[tuple[str, Finder]]:
    """Yield the finders worth running on a text, the most specific first."""
    if "@" in text:
        yield "email", emails
    numbers = DIGITS.search(text) is not None
    if numbers:
        yield "identity_card", identity_cards
        yield "bank_card", bank_cards
    if QUAD.search(text) or COLONS.search(text):
        yield "ip", addresses
    if numbers and phones is not None:
        yield "phone", phone_finder(phones)


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield where e-mail addresses stand."""
    return (one.span() for one in EMAIL.finditer(text))


def identity_cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield where identity cards with a known province, a real date and a right check stand."""
    for one in IDENTITY_CARD.finditer(text):
        area, _separator, born, rest = one.groups()
        digits = f"{area}{born}{rest}".upper()
        if PROVINCES.match(area) and is_date(born) and checks(digits):
            yield one.span()


def is_date(digits: str) -> bool:
    """Tell whether YYYYMMDD is a day of the calendar."""
    with suppress(ValueError):
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        return True
    return False


def checks(digits: str) -> bool:
    """Tell whether the last character is the ISO 7064 MOD 11-2 check of the others."""
    total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, digits, strict=False))
    return CHECKS[total % 11] == digits[-1]


def bank_cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield where numbers with an issuer's beginning and a right Luhn check stand."""
    for one in BANK_CARD.finditer(text):
        start, longest = one.span()
        shorter = max(text.rfind(" ", start, longest), text.rfind("-", start, longest), start)
        for end in (longest, shorter):  # the last group may belong to what follows the card
            digits = text[start:end].replace(" ", "").replace("-", "")
            if ISSUERS.fullmatch(digits) and luhn(digits) and not is_thing(text, start, end):
                yield start, end
                break


def luhn(digits: str) -> bool:
    """Tell whether the Luhn sum of the digits is a multiple of ten."""
    backwards = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in backwards[1::2])
    return (sum(backwards[::2]) + sum(doubled)) % 10 == 0


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yield where IP addresses, version 4 and 6, stand."""
    for pattern in (IP_4, IP_6):
        for one in pattern.finditer(text):
            with suppress(ValueError):
                ipaddress.ip_address(one[0])
                if not is_thing(text, *one.span()):
                    yield one.span()


@cache
def phone_finder(region: str) -> Finder:
    """Return the finder of a region's phone numbers and of international ones."""

    def phones(text: str) -> Iterator[tuple[int, int]]:
        for one in PHONE.finditer(text):
            parts = [part.span() for part in PART.finditer(text, *one.span())]
            yield from longest_phones(text, parts, region)

    return phones


def longest_phones(
    text: str, parts: list[tuple[int, int]], region: str
) -> Iterator[tuple[int, int]]:
    """Yield the phone numbers among parts between spaces, each of as many parts as fit."""
    tries = TRIES
    while parts:
        for count in range(len(parts), 0, -1):
            start, end = parts[0][0], parts[count - 1][1]
            if tries and is_like_a_phone(text[start:end]):
                tries -= 1
                if not is_thing(text, start, end) and is_phone(text[start:end], region):
                    yield start, end
                    break
        else:
            count = 1
        parts = parts[count:]


def is_like_a_phone(candidate: str) -> bool:
    """Tell whether a number is grouped as phone numbers are, and is neither a day nor a decimal."""
    groups = GROUP.findall(candidate)
    return (
        len(groups) <= MOST_GROUPS
        and sum(map(len, groups)) >= FEWEST_DIGITS
        and all(len(group) >= SHORTEST_GROUP for group in groups[2:] + groups[-1:])
        and candidate.count("(") == candidate.count(")")
        and not DECIMAL.fullmatch(candidate)
        and not DATE.search(candidate)
    )


def is_phone(candidate: str, region: str) -> bool:
    """Tell whether a number could be rung from the region as it is written."""
    import phonenumbers

    try:
        number = phonenumbers.parse(candidate, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number(number):
        return False
    # Where calls to other towns begin with 0, ten digits without it are more often an order's.
    trunk = phonenumbers.ndd_prefix_for_region(region, True) == "0"
    fixed = phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.FIXED_LINE
    return not (trunk and fixed) or candidate.lstrip("(")[0] in "0+"


def is_thing(text: str, start: int, end: int) -> bool:
    """Tell whether the words around a number say that it is an order's, a book's, a price …"""
    before = text[max(0, start - BEFORE) : start]
    label = next((one.lastgroup for one in reversed([*LABEL.finditer(before)])), "end")
    return label == "thing" or (label == "end" and UNIT.match(text, end) is not None)
