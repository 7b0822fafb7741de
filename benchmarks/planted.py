"""Texts with made-up personal data in known places, and with numbers that only look like it.

Everything is drawn from the ``Random`` that is passed: the same seed gives the same texts. Nobody
is meant: the values follow the rules of their kind and are otherwise chance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

KINDS = ("email", "phone", "identity_card", "bank_card", "ip")
HIDDEN = "\ufffc"  # where a value goes; no text has it

NAMES = [
    "zhang.wei", "li_na", "wangfang", "liu.yang", "chenjie", "13800", "maria.garcia", "j.smith",
    "anna_k", "o.brien", "support", "info", "lily1990", "tom+news", "dr-house", "sarah.liuhui",
]  # fmt: skip
HOSTS = [
    "qq.com", "163.com", "126.com", "sina.com.cn", "foxmail.com", "gmail.com", "outlook.com",
    "yahoo.co.uk", "tsinghua.edu.cn", "mail.example.org", "company-name.de", "startup.io",
    "gov.cn",
]  # fmt: skip
MOBILE = [
    "130", "131", "133", "135", "136", "137", "138", "139", "150", "151", "155", "158", "159",
    "166", "173", "177", "180", "186", "188", "189", "191", "199",
]  # fmt: skip
CITIES = ["010", "020", "021", "025", "028", "0311", "0512", "0571", "0755", "0532", "0731"]
AMERICAN = [
    "202", "206", "212", "213", "303", "312", "404", "415", "512", "617", "646", "702", "714",
    "718",
]  # fmt: skip
ISSUERS = {  # beginning of a bank card's number: its length
    "622202": 19, "621700": 19, "622848": 19, "621661": 19, "625912": 16, "622588": 16,
    "4532": 16, "4716": 16, "4929": 16, "5105": 16, "5425": 16, "2223": 16, "34": 15, "37": 15,
}  # fmt: skip
AREAS = [
    "110105", "310104", "440305", "330106", "320508", "510107", "420111", "610113", "230103",
    "500112", "350203", "650102",
]  # fmt: skip
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999

SAYING = {
    "email": [
        "有问题请发邮件到{}，我们会尽快回复。", "我的邮箱{}随时可以联系", "邮箱:{}",
        "简历投{}谢谢", "Write to {} for details.", "contact me at {}, thanks", "<{}>",
        "You can reach us ({}).", "e-mail: {}; we answer within a day",
    ],
    "phone": [
        "我的手机号是{}，有事打电话。", "请联系{}王先生", "联系电话:{}", "有问题就拨打{}客服",
        "{}李先生", "到了给我打电话{}", "手机{},微信同号", "Call me at {} tonight.", "Tel: {}",
        "my number is {}", "Please ring {} between 9am and 5pm", "text {} to order",
        "{} is the best number to reach me on",
    ],
    "identity_card": [
        "身份证号{}，请核对。", "我的身份证是{}", "实名信息:张三 {}", "证件号码:{}(居民身份证)",
        "{}", "ID card {} was submitted.", "His Chinese ID number is {}.",
        "identity: {}, verified",
    ],
    "bank_card": [
        "卡号{}，开户行工商银行", "请把钱打到{}这张卡上", "银行卡:{}", "退款退到原来的卡{}",
        "My card number is {}.", "paid with {}, expires 09/28", "Card: {}",
        "charge it to {} please",
    ],
    "ip": [
        "服务器地址{}连不上", "登录IP:{},异常", "从{}访问了后台", "Connection from {} refused.",
        "the host {} is down", "ssh root@{} does not work", "blocked {} after three tries",
    ],
    None: [
        "{}，物流很快", "已经收到，{}。", "备注:{}", "It says {} here.", "{}, as far as I know",
        "see {}",
    ],
}  # fmt: skip
AROUND = [
    "", "", "质量不错，", "客服态度很好。", "已经买了3次，", "Great product! ",
    "I waited 2 weeks. ", "第2次购买，价格299元，", "Paid $49.99. ", "2026-11-23 ",
]  # fmt: skip
# Nobody's numbers and names. ¤ is a digit from 1 to 9, § any digit; the last ones say nothing about
# what they are, so that some look exactly like a phone or a card.
NOBODYS = [
    "订单号¤§§§§§§§§§§§", "订单号¤§§§§§§§§§§§§§§", "订单号¤§§§§§§§§§§§§§§§",
    "订单号:¤§§§§§§§§§§§§§§§§§§", "订单编号:{day:%Y%m%d}§§§§§§§§§§", "快递单号 SF¤§§§§§§§§§§§§",
    "快递单号¤§§§§§§§§§§§", "运单号 YT¤§§§§§§§§§§§§", "order #§§§-§§§§§§§-§§§§§§§",
    "Order number ¤§§§§§§§§", "Order number ¤§§§§§§§§§", "order ¤§§§§§§§§§§§",
    "tracking number 1Z§§§AA§§§§§§§§§§", "tracking ¤§§§§§§§§§§§",
    "tracking 9§§§§§§§§§§§§§§§§§§§§§", "{day:%Y-%m-%d}", "{day:%Y.%m.%d}", "{day:%d-%m-%Y}",
    "{day:%Y%m%d}", "{day:%Y}年{day:%m}月{day:%d}日", "{day:%Y-%m-%d %H:%M:%S}",
    "{day:%H:%M}-{day:%M}:{day:%H}", "std::vector, {day:%H:%M:%S}", "$¤§§§§.99", "¥¤§§§§§§§§",
    "¤§§§§§§§§§元", "¤§§§§§§§§§§ dollars", "¤§,§§§,§§§元", "¤§§,§§§,§§§", "v¤.§.§.¤§",
    "version ¤.§.§.¤§", "版本 ¤.¤§.§.¤", "Version: ¤.§.¤§.§", "¤.§.¤§", "¤.¤.¤",
    "ISBN 978-7-§§§-§§§§§-§", "978§§§§§§§§§§", "7-§§§-§§§§§-§", "ISBN:7§§§§§§§§§", "3.§§§§§§§",
    "3.§§§§§§§§§§", "3.§§§§§§§§§§§§", "¤§.§§§§§§§, 1¤§.§§§§§§§", "-¤§.§§§§§§§, ¤§.§§§§§§§",
    "timestamp 17§§§§§§§§", "17§§§§§§§§", "17§§§§§§§§§§§", "QQ:¤§§§§§§§", "QQ ¤§§§§§§§§",
    "QQ群¤§§§§§§§§", "¤§§§§§§§§ views", "¤§§§§§§§§§ views", "X1¤§§§§§", "GTX¤§§§§§§§§§",
    "SN¤§§§§§§§§§§§§", "A1B2¤§§§§§§§§", "@zhangwei", "icon@2x.png", "@support 24/7",
    "00:1§:a§:2b:3c:4§", "¤§% of ¤,§§§,§§§", "§§§§", "¤§§§§§§§§§", "¤§§§§§§§§§§§",
    "¤§§§§§§§§§§§§§§§",
]  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A text, and the kind and place of the one value in it (kind None: a distractor)."""

    text: str
    kind: str | None
    start: int
    end: int


def digits(random: Random, count: int) -> str:
    """Return so many digits."""
    return "".join(random.choices("0123456789", k=count))


def email(random: Random) -> str:
    """Return an e-mail address."""
    name = random.choice(NAMES) + random.choice(("", "", digits(random, 3)))
    address = f"{name}@{random.choice(HOSTS)}"
    return random.choice((address, address, address.upper(), address.title()))


def phone(random: Random, region: str) -> str:
    """Return a phone number as people of the region (CN or US) write it."""
    return chinese_phone(random) if region == "CN" else american_phone(random)


def chinese_phone(random: Random) -> str:
    """Return a mobile number, or in one case of five a number with an area code."""
    if random.random() < 0.2:
        area, number = random.choice(CITIES), random.choice("2345678") + digits(random, 7)
        ways = ("{0}-{1}", "({0}){1}", "{0}{1}", "+86 {2} {1}")
        return random.choice(ways).format(area, number, area[1:])
    start, middle, end = random.choice(MOBILE), digits(random, 4), digits(random, 4)
    styles = ("{}{}{}", "{}{}{}", "{}-{}-{}", "{} {} {}", "+86 {}{}{}", "+86{}{}{}", "86-{}{}{}")
    return random.choice(styles).format(start, middle, end)


def american_phone(random: Random) -> str:
    """Return a number of the United States."""
    area, line = random.choice(AMERICAN), digits(random, 4)
    office = random.choice("23456789") + random.choice("023456789") + digits(random, 1)
    ways = (
        "({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "{} {} {}", "{}{}{}", "+1 {} {} {}", "+1{}{}{}",
        "1-{}-{}-{}",
    )  # fmt: skip
    return random.choice(ways).format(area, office, line)


def identity_card(random: Random) -> str:
    """Return a Chinese identity card number with a right check."""
    born = date(1950, 1, 1) + timedelta(days=random.randrange(25_000))
    first = f"{random.choice(AREAS)}{born:%Y%m%d}{digits(random, 3)}"
    total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, first, strict=True))
    last = "10X98765432"[total % 11]
    return first + random.choice((last, last.lower()))


def bank_card(random: Random) -> str:
    """Return a bank card number with a right Luhn check, plain or in groups of four."""
    start = random.choice(list(ISSUERS))
    first = start + digits(random, ISSUERS[start] - len(start) - 1)
    plain = first + luhn(first)
    separator = random.choice(("", "", " ", "-")) if len(plain) != 15 else ""
    return separator.join(plain[place : place + 4] for place in range(0, len(plain), 4))


def luhn(first: str) -> str:
    """Return the digit that makes the Luhn sum a multiple of ten."""
    total = sum(
        int(digit) if place % 2 else sum(divmod(2 * int(digit), 10))
        for place, digit in enumerate(reversed(first))
    )
    return str(-total % 10)


def ip(random: Random) -> str:
    """Return an IP address, in one case of four of version 6."""
    if random.random() < 0.75:
        return ".".join(str(random.randrange(1, 255)) for _place in range(4))
    groups = [f"{random.randrange(1, 1 << 16):x}" for _place in range(7)]
    first = random.choice(("2001", "2408", "240e", "fe80"))
    return random.choice((f"{first}:{':'.join(groups)}", f"{first}:{groups[0]}::{groups[1]}"))


def distractor(random: Random) -> str:
    """Return a number or name that is nobody's: of an order, a day, a price, a version, a book …"""
    day = datetime(1990, 1, 1) + timedelta(seconds=random.randrange(36 * 365 * 86_400))
    pattern = random.choice(NOBODYS).format(day=day)
    return re.sub("[¤§]", lambda one: random.choice("0123456789"[one[0] == "¤" :]), pattern)


def value(random: Random, kind: str, region: str) -> str:
    """Return a value of a kind."""
    if kind == "phone":
        return phone(random, region)
    others = {"email": email, "identity_card": identity_card, "bank_card": bank_card, "ip": ip}
    return others[kind](random)


def planted(random: Random, region: str, *, share: float = 0.5) -> Planted:
    """Return a text with a value of any kind, or (in the rest of the cases) with a distractor."""
    kind = random.choice(KINDS) if random.random() < share else None
    content = value(random, kind, region) if kind else distractor(random)
    before = random.choice(AROUND) + random.choice(SAYING[kind]).format(HIDDEN)
    if kind and random.random() < 0.3:
        before += f" {distractor(random)}"
    text, start = before.replace(HIDDEN, content), before.index(HIDDEN)
    return Planted(text, kind, start, start + len(content))
