"""Text without what may be secret or tell of a person: keys of known shapes, credentials, addresses, account numbers.

One source of patterns for whatever leaves the gateway: the little that error messages may say (adapters/scrub.py) and
prompts that somebody asked to have exported. Patterns find shapes, not meanings: a name in plain words stays.

Time is linear in the text, whoever wrote it. Each pattern begins where a run of its characters begins, takes such runs
possessively, and fails only after a bounded number of characters; a block without an end is taken to the text's end.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

SECRET: Final = "[secret]"  # noqa: S105 - what stands in a secret's place
EMAIL: Final = "[email]"
PHONE: Final = "[phone]"
IBAN: Final = "[iban]"
CARD: Final = "[card]"
ADDRESS: Final = "[ip]"
CREDENTIALS: Final = "[credentials]"
PEM: Final = "[pem]"

ROUNDS_MAX: Final = 4
"""What one round takes out may lay bare the beginning of something else; seldom once, and nobody has seen it twice."""

KEY_SHAPES: Final = (
    r"(?:sk|pk|rk|gsk|hf|xai|pplx|csk|nvapi|fw|tgp|r8|gh[opusr]|github_pat|glpat|npm|pypi|dop_v1|xox[a-z]|xapp|pm)"
    r"[-_][\w*.-]{6,}+"
    r"|A[KS]IA\w{12,}+|AIza[\w-]{20,}+|ya29\.[\w.-]{6,}+|SG\.[\w.-]{16,}+|eyJ[\w-]{6,}+(?:\.[\w-]*+)*+"
)
"""Credentials that say by their beginning what they are. `eyJ` is how the base64 of a JSON object begins: a JWT."""
BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s++[\w.~+/=-]{8,}+")
ASSIGNED: Final = re.compile(
    r"""(?i)\b(api[-_]?key|token|secret|password|authorization)(["']?\s*+[=:]\s*+["']?)[^\s"'&,;}]++"""
)

_KEY = re.compile(rf"(?<![A-Za-z])(?:{KEY_SHAPES})")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)(\s++)([\w.~+/=-]{8,}+)")
_OPAQUE_CHARS: Final = 40
_OPAQUE = re.compile(rf"(?<![\w+/=-])[\w+/=-]{{{_OPAQUE_CHARS},}}+")
_PASSWORD = re.compile(
    r"""(?i)(pass(?:word|wd|phrase)|\bpwd|secret|api[-_ ]?key|access[-_ ]?key|token|authorization|cookie)"""
    r"""(["'\\]{0,2}\s{0,8}+[=:]\s{0,8}+["'\\]{0,2}+)[^\s"'\\&,;}]++"""
)
_USER_INFO = re.compile(r"""(?<=://)[^\s/?#@"'<>]++@""")
_PARAMETER = re.compile(r"""([?&;][\w.%-]{0,64}+=)[^\s&#"'<>]++""")
_PRIVATE_PARAMETER = re.compile(r"(?i)key|token|secret|pass|pwd|sig|auth|code|session|cred|jwt|otp")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)++")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}+")
_CARD = re.compile(
    r"(?<![\d.])(?:[2-6]\d{12,18}|[2-6]\d{3}([ .-])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ .-])\d{6}\2\d{4,5})(?!\d)"
)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ ./-]{0,2}\(?\d{1,5}(?:\)(?![^\W\d]))?){2,6}+"  # international; no bracket before words
    r"|\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,6}|[2-9]\d{2}[ .-]\d{3}[ .-]\d{4}"  # (030) 1234567, 555-123-4567
    r"|0\d{1,4}[ /-]\d{3,4}(?:[ -]?\d{2,4}){1,3}+"  # national, with a leading 0
    r")(?![\w])"
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{3,39}+(?:%\w{1,16}+)?(?![\w:])")
_PEM_BEGIN: Final = "-----BEGIN "
_PEM_END: Final = "-----END "
_DASHES: Final = "-----"
_LABEL_MAX: Final = 64

_IBAN_CHARS: Final = {
    country: int(length)
    for length, *countries in map(
        str.split,
        (
            "15 NO", "16 BE", "18 DK FO FI GL NL SD", "19 MK SI", "20 AT BA EE KZ XK LT LU", "21 HR LV LI CH",
            "22 BH BG CR GE DE IE ME RS GB VA", "23 TL GI IQ IL AE", "24 AD CZ MD PK RO SA SK ES SE TN VG",
            "25 LY PT ST", "26 IS TR", "27 FR GR IT MR MC SM", "28 AL AZ BY CY DO SV GT HU LB PL",
            "29 BR EG PS QA UA", "30 JO KW MU", "31 MT SC", "32 LC", "33 RU",
        ),
    )
    for country in countries
}  # fmt: skip


def redact(text: str) -> str:
    """`text` with a mark in the place of each secret and each personal number or address; `redact` of it is itself."""
    for _ in range(ROUNDS_MAX):
        shown = _once(text)
        if shown == text:
            break
        text = shown
    return text


def _once(text: str) -> str:
    if _PEM_BEGIN in text:
        text = _without_pem(text)
    text = _SCHEME.sub(_scheme, text)
    if ":" in text or "=" in text:
        text = _PASSWORD.sub(rf"\1\2{SECRET}", text)
    if "://" in text:
        text = _USER_INFO.sub(f"{CREDENTIALS}@", text)
    if "=" in text:
        text = _PARAMETER.sub(_parameter, text)
    text = _KEY.sub(SECRET, text)
    text = _OPAQUE.sub(_opaque, text)
    if "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    return _without_numbers(text)


def _without_numbers(text: str) -> str:
    text = _IBAN.sub(_iban, text)
    text = _CARD.sub(_card, text)
    text = _PHONE.sub(_phone, text)
    text = _IPV4.sub(_address, text)
    return _IPV6.sub(_address, text) if ":" in text else text


def _without_pem(text: str) -> str:
    """Keys and certificates, whole: found by search, since a pattern for what may never end would look to the end for
    every beginning.
    """
    parts: list[str] = []
    at = 0
    while (begin := text.find(_PEM_BEGIN, at)) >= 0:
        parts += text[at:begin], PEM
        end = text.find(_PEM_END, begin)
        at = len(text) if end < 0 else _after_end(text, end)
    return "".join((*parts, text[at:]))


def _after_end(text: str, end: int) -> int:
    label = end + len(_PEM_END)
    dashes = text.find(_DASHES, label, label + _LABEL_MAX)
    return label if dashes < 0 else dashes + len(_DASHES)


def _scheme(found: re.Match[str]) -> str:
    """Words follow "basic" and "bearer" too; a credential has digits in it or is longer than words are."""
    value = found[3]
    looks_secret = len(value) >= 24 or any(char.isdigit() for char in value)
    return f"{found[1]}{found[2]}{SECRET}" if looks_secret else found[0]


def _parameter(found: re.Match[str]) -> str:
    return found[1] + SECRET if _PRIVATE_PARAMETER.search(found[1]) else found[0]


def _opaque(found: re.Match[str]) -> str:
    """A long run of letters and digits is a secret, a digest or a picture; none of them tells a reader anything."""
    run = found[0]
    has_both = any(char.isdigit() for char in run) and any(char.isalpha() for char in run)
    return SECRET if has_both and not _is_path(run) else run


def _is_path(run: str) -> bool:
    """`/var/lib/pointsman2/policy`: words between slashes. Of base64 each part would mix cases and digits."""
    return run[0] == "/" and not any(map(_is_mixed, run.split("/")))


def _is_mixed(part: str) -> bool:
    if len(part) >= _OPAQUE_CHARS or "+" in part or "=" in part:
        return True
    return any(map(str.isdigit, part)) and any(map(str.isupper, part)) and any(map(str.islower, part))


def _iban(found: re.Match[str]) -> str:
    """Its country says how long it is, so that the word behind it is not taken for a part."""
    text = found[0]
    length = _IBAN_CHARS.get(text[:2].upper())
    taken = 0
    for end, char in enumerate(text, 1):
        taken += char.isalnum()
        if taken == length:
            return IBAN + text[end:] if _is_iban(text[:end]) else text
    return text


def _is_iban(text: str) -> bool:
    """ISO 13616: moved around and read as a number, it leaves 1 when divided by 97."""
    chars = "".join(char for char in text if char.isalnum())
    return int("".join(str(int(char, 36)) for char in chars[4:] + chars[:4])) % 97 == 1


def _card(found: re.Match[str]) -> str:
    digits = [int(char) for char in found[0] if char.isdigit()]
    return CARD if 13 <= len(digits) <= 19 and is_luhn(digits) else found[0]


def is_luhn(digits: list[int]) -> bool:
    """Whether the last digit checks the others, as those of payment cards do (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _phone(found: re.Match[str]) -> str:
    """Other digits may come right behind one that says by its + what it is."""
    digits = sum(char.isdigit() for char in found[0])
    return PHONE if digits >= 7 and (digits <= 17 or found[0][0] == "+") else found[0]


def _address(found: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(found[0].partition("%")[0])
    except ValueError:
        return found[0]
    return ADDRESS
