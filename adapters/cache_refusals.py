"""The first words of answers that decline to answer, in the languages where they are most often met.

An answer is only left out of the cache for them, so that a likeness costs a hit and a miss costs no more than one
refusal kept for its time.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINNING_CHARS: Final = 240
_APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u00a0": " "})
_REFUSALS: Final = re.compile(
    r"""[\s"'*_>#-]*(?:
    (?:(?:i'm|i\ am|we're|we\ are)\ (?:very\ |so\ |really\ )?(?:sorry|afraid)|sorry|(?:my\ )?apologies
        |i\ apologi[sz]e)\b.{0,40}?\b(?:i|we)(?:\ am|'m|\ are|'re)?
        \ (?:can't|cannot|can\ not|can\ only|won't|unable|not\ able|don't|do\ not|must)
    |(?:unfortunately,?\ )?(?:i|we)\ (?:can't|cannot|can\ not|won't|will\ not)\ (?:help|assist|provide|comply|fulfil
        |answer|do\ that|discuss|share|create|generate|engage|support|continue|access|participate|write|browse)
    |(?:i'm|i\ am)\ (?:unable|not\ able|not\ allowed|not\ comfortable)\b
    |i\ (?:must|have\ to)\ (?:decline|refuse)
    |as\ an?\ (?:ai|artificial\ intelligence|(?:large\ )?language\ model)\b
    |(?:i'm|i\ am)\ (?:just\ |only\ )?an?\ (?:ai|(?:large\ )?language\ model)\b
    |(?:es\ )?tut\ mir\ leid,?\ .{0,40}?\b(?:kann|darf|nicht)\b
    |ich\ kann\ (?:dir\ |ihnen\ )?(?:dabei|damit|das)\b.{0,20}nicht
    |als\ (?:ki|künstliche\ intelligenz|sprachmodell)\b
    |(?:je\ suis\ )?d[ée]sol[ée]e?,?\ .{0,20}?je\ ne\b|je\ ne\ (?:peux|suis)\ pas\b
    |en\ tant\ qu'(?:ia|intelligence)
    |lo\ siento,?\ .{0,20}?no\ (?:puedo|podemos)|no\ puedo\ (?:ayudar|asistir|proporcionar|cumplir)
    |mi\ dispiace,?\ .{0,20}?non\ posso|(?:desculpe|sinto\ muito|lamento),?\ .{0,20}?n[ãa]o\ posso
    |het\ spijt\ me,?\ .{0,20}?(?:kan|niet)\b|(?:извините|к\ сожалению|простите),?\ .{0,20}?не\ мог
    |(?:很|非常)?(?:抱歉|对不起|對不起).{0,8}?(?:无法|無法|不能|不可以)|(?:作为|作為).{0,4}(?:ai|人工智能|语言模型)
    |申し訳(?:ありません|ございません)|죄송(?:합니다|하지만)
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def begins_like_refusal(text: str) -> bool:
    """Whether the first words decline to answer."""
    return _REFUSALS.match(text[:_BEGINNING_CHARS].translate(_APOSTROPHES)) is not None
