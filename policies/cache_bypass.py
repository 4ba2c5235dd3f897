"""What the cache leaves alone, and what it serves only to its exact like: the rules, each with its reason.

The rules go by the request's shape and by its words. Words are English first, with the commonest of German, French,
Spanish, Italian, Portuguese and Dutch; what is written in a language without rules here is kept apart by scope, numbers
and similarity alone, which is why the signs of such a question say that it is foreign.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from policies.cache_rules import Bypass, CacheRules
from policies.questions.antonyms import SIDES
from policies.questions.words import STOPS, tidy

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION_CHARS_MAX: Final = 4_000
"""A longer question is a document: another wording of it is no safe guess."""


class Asked(Protocol):
    """What the rules have to know of a request."""

    @property
    def question(self) -> str: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def has_tool_calls(self) -> bool: ...
    @property
    def has_media(self) -> bool: ...
    @property
    def has_links(self) -> bool: ...
    @property
    def is_elsewhere(self) -> bool: ...


class Rule(NamedTuple):
    """`applies` to a request under its route's rules."""

    reason: Bypass
    why: str
    applies: Callable[[Asked, CacheRules], bool]


class Wording(NamedTuple):
    """`found` in a question."""

    reason: Bypass
    why: str
    found: Callable[[str], bool]


def bypass(asked: Asked, rules: CacheRules) -> Bypass | None:
    """Why the cache leaves this call alone, whose key and headers would let it be served."""
    return next((rule.reason for rule in LEFT_ALONE if rule.applies(asked, rules)), None)


def closes(question: str) -> Bypass | None:
    """Why only the exact like of this question is served with its answer."""
    if len(question) > QUESTION_CHARS_MAX:
        return Bypass.LONG
    text = tidy(question)
    return next((wording.reason for wording in EXACT_ONLY if wording.found(text)), None)


def closes_for(asked: Asked) -> Bypass | None:
    """As `closes`, of a whole request: media beside the question may be what it is about."""
    return Bypass.MEDIA if asked.has_media else closes(asked.question)


LEFT_ALONE: Final = (
    Rule(
        Bypass.TEMPERATURE,
        "who asks for variety wants another answer each time; an absent temperature is the provider's affair",
        lambda asked, rules: asked.temperature is not None and asked.temperature > rules.temperature_max,
    ),
    Rule(
        Bypass.TOOL_CALLS,
        "the answer goes by what tools have returned or are about to do",
        lambda asked, _: asked.has_tool_calls,
    ),
    Rule(Bypass.MEDIA, "what is behind a link may be another picture tomorrow", lambda asked, _: asked.has_links),
    Rule(
        Bypass.ELSEWHERE,
        "a part of the prompt is not in the request, so that equal requests may ask different things",
        lambda asked, _: asked.is_elsewhere,
    ),
)
"""Requests with which the cache has nothing to do, after the key's switch and `Cache-Control: no-store`."""

_NUMBERED: Final = re.compile(
    r"""\b(?:order|orders|invoice|ticket|case|claim|account|customer|client|booking|reservation|reference|ref|tracking|parcel
      |policy|contract|transaction|payment|member|membership|employee|passport|licen[cs]e|iban|card|pnr|id|ssn
      |bestellung|rechnung|kundennummer|konto|vertrag|commande|facture|compte|dossier|pedido|factura|cuenta|ordine|fattura
      |conto|fatura|conta|bestelling|factuur|rekening)
      (?:\ (?:number|no\.?|nr\.?|id|code|num[eé]ro|n[uú]mero|nummer))?\ ?(?:is|:|ist|est|es)?\ ?[\#:]?\ ?
      (?=[A-Z0-9-]{0,30}\d[A-Z0-9-]{0,30}\d)(?!(?:19|20)\d\d(?![\w-]))[A-Z0-9-]{4,40}\b""",
    re.VERBOSE | re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z]{2}")
_LONG_NUMBER: Final = re.compile(r"(?<![\w.,])\+?\d(?:[ ()./-]{0,2}\d){8,18}(?![\w])")
_NAME_IS: Final = re.compile(
    r"\b(?:my name is|my name's|this is .{1,40} speaking|ich hei(?:ss|ß)e|mein name ist|je m'appelle|mon nom est"
    r"|me llamo|mi nombre es|mi chiamo|il mio nome|me chamo|meu nome|ik heet|mijn naam is)\b",
    re.IGNORECASE,
)
_I_AM: Final = re.compile(r"\b(?:I am|I'm|Ich bin|Je suis|Soy|Sono|Sou|Ik ben) ([A-Z][a-zà-ÿ]{1,30})\b(?! [A-Z]{2})")
_OWN: Final = re.compile(
    r"\b(?:what(?:'s| is| are| was)|where(?:'s| is)|show(?: me)?|check|tell me|when is|look up|list)"
    r" my (?:\w{1,20} )?(?:name|e-?mail|phone number|address|balance|birthday|salary|"
    r"appointments?|orders?|schedule|calendar|meetings?|score|grades?|location|medications?|prescriptions?)\b"
    r"|\bwho am i\b",
    re.IGNORECASE,
)


def _is_personal(text: str) -> bool:
    if _ADDRESS.search(text) or _NUMBERED.search(text) or _LONG_NUMBER.search(text):
        return True
    if _NAME_IS.search(text) or _OWN.search(text):
        return True
    found = _I_AM.search(text)
    return found is not None and not _is_no_name(found[1].lower())


def _is_no_name(word: str) -> bool:
    """A word of the language, a nationality or a faith: "I am Indian" is nobody's name."""
    return word in STOPS or word in SIDES or word.endswith(("ish", "ian", "can", "ese", "ist", "im"))


_TIME_WORDS: Final = re.compile(
    r"""\b(?:
      today(?:'s)?|tonight(?:'s)?|yesterday(?:'s)?|tomorrow(?:'s)?|nowadays|currently|right\ now|as\ of
      |at\ the\ moment|so\ far\ this
      |up[ -]to[ -]date|latest|newest|breaking|upcoming
      |(?:this|last|past|next|coming)\ (?:week|weekend|month|year|quarter|season|night|morning|evening|afternoon
         |monday|tuesday|wednesday|thursday|friday|saturday|sunday)(?:'s)?
      |current\ (?:weather|temperature|time|date|day|year|month|prices?|rates?|exchange|value|scores?|standings
         |news|events|affairs|situation|state|status|version|release|president|prime|ceo|leader|king|queen|champion
         |government|population|traffic|stock|market|interest|inflation|record|holder|season)
      |weather|forecast|(?:stock|share|bitcoin|btc|crypto|gold|oil|gas|petrol)\ prices?|price\ of\ (?:bitcoin|gold|oil)
      |exchange\ rate\ (?:today|now)|live\ (?:score|scores|results?|stream|news)|headlines
      |(?:the|any|some|top|world|local|more)\ news|what\ time\ is\ it
      |what\ day\ is\ it|what\ year\ is\ it
      |what(?:'s|\ is)\ the\ (?:time|date)\b(?!\ [a-z])
      |heute|gestern|morgen|jetzt|derzeit|aktuell(?:e|er|es|en)?|neueste[rns]?|diese\ woche|dieses\ jahr|wetter
      |nachrichten
      |aujourd'hui|demain|hier\ soir|maintenant|actuellement|cette\ semaine|cette\ année|météo|actualités
      |hoy|mañana|ayer|ahora|actualmente|esta\ semana|este\ año|noticias
      |oggi|domani|ieri|adesso|attualmente|questa\ settimana|quest'anno|notizie
      |hoje|amanhã|ontem|agora|atualmente|esta\ semana|este\ ano|notícias
      |vandaag|gisteren|momenteel|huidige|deze\ week|dit\ jaar|nieuws
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)

_OWN_TEXT: Final = re.compile(
    r"""\b(?:translate|rewrite|rephrase|paraphrase|proof-?read|summari[sz]e|correct|fix|complete|continue|finish|edit|improve
        |shorten|reverse|capitali[sz]e|format|repeat|echo|print|output|type|write|convert|encode|decode|classify|analy[sz]e
        |count|spell|pronounce|transcribe|übersetze|korrigiere|traduis|traduire|traduce|corrige|traduci|correggi|traduza
        |vertaal)\b[^:\n]{0,60}:[ \n\t]{0,4}\S
      |\b(?:this|the\ following|above|below)\ (?:sentence|text|message|question|prompt|phrase|string
        |paragraph|greeting|input|query|request)\b
      |\bis\ this\ (?:an?\ )?(?:greeting|sentence|question|capitali[sz]ed|polite|punctuat|grammatical)
      |\b(?:words|letters|characters|vowels|consonants|syllables|spaces|commas|tokens|capitals)\ (?:are|is|do|does)\b
      |"(?=[^"\n]{0,400}[ \t]{2})[^"\n]{2,800}"|(?<!\w)'(?=[^'\n]{0,400}[ \t]{2})[^'\n]{2,800}'(?!\w)
    """,
    re.VERBOSE | re.IGNORECASE,
)

EXACT_ONLY: Final = (
    Wording(
        Bypass.PERSONAL,
        "an order, an address, a number or a name makes it one person's, and an answer would tell another of them",
        _is_personal,
    ),
    Wording(
        Bypass.TIME,
        "the answer is another one at another time, and a paraphrase may be asked long after",
        lambda text: _TIME_WORDS.search(text) is not None,
    ),
    Wording(
        Bypass.VERBATIM,
        "spaces, capitals and manners are no mere wording where a question is about its own text",
        lambda text: _OWN_TEXT.search(text) is not None,
    ),
)
"""Wordings whose answers are nobody else's, after questions that are too long."""
