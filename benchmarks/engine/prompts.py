"""What the callers ask: seeded, so that every system gets the same words, and none twice."""

from __future__ import annotations

import random
from typing import NamedTuple

_SAID = """
river stone window garden winter letter market engine island music shadow forest kitchen bridge summer paper
ocean mountain teacher silver morning doctor village castle painter thunder basket candle mirror harbor valley
desert captain lantern orchard feather compass railway blanket pocket station library clock hammer wagon meadow
tower storm farmer sailor bakery violin chimney tunnel pepper ribbon saddle anchor cotton copper barrel temple
pigeon
"""
WORDS = _SAID.split()
STORY = "Write a long story of at least one thousand words, in many paragraphs, with all of these words: "


class Prompt(NamedTuple):
    system: str
    user: str

    def messages(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


def story(seed: str, words: int = 62) -> Prompt:
    """About 110 tokens with 62 words; the very beginning tells one from another."""
    rng = random.Random(seed)
    return Prompt(f"{rng.choice(WORDS)} {rng.randrange(10**6)}: You write stories.", STORY + _words(rng, words) + ".")


def handbook(seed: str, words: int = 960) -> str:
    """A system prompt of about 1,000 tokens that belongs to this seed alone."""
    rng = random.Random(seed)
    return f"{rng.choice(WORDS)} {rng.randrange(10**6)}: You answer by this handbook. " + _words(rng, words) + "."


def question(handbook_text: str, number: int) -> Prompt:
    rng = random.Random(f"question {number}")
    return Prompt(handbook_text, f"Question {number}: tell me a long story about {_words(rng, 5)}.")


def long_prompt(seed: str, words: int = 1470) -> Prompt:
    """About 1,500 tokens."""
    return story(seed, words)


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))
