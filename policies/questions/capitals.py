"""Words whose capital says nothing, so that a plain form does without it."""

from __future__ import annotations

from typing import Final

from policies.questions.frequent_words import COMMON
from policies.questions.words import STOPS

# Words that are something else as a name, so that a capital at the beginning of a sentence may matter.
_NAMES_TEXT: Final = """
polish turkey china march may august april june apple windows word bill mark will rose grace nice reading bath cork
mobile orange jobs gates bush trump brown white black green swift rust go ruby python java shell amazon target chase
visa discover frank jack jean rob sue pat drew art earnest faith hope joy dawn summer autumn ivy lily daisy iris olive
pearl amber ginger sandy rocky lance grant miles wade chip buck gene guy max major earl duke dean hunter mason carter
cook baker smith miller taylor potter fisher king bishop pope cliff glen heath lane brook ford church wood stone rice
berry bean lamb wolf fox bird swan crane finch robin jay martin phoenix orlando jordan chad cuba mali niger guinea
jersey cologne champagne brazil delhi bali lima nile oracle slack zoom teams excel access outlook edge safari chrome
spark kafka flask django express react angular vue dart perl scala julia basic signal stripe square uber lyft gap dove
tide galaxy pixel echo alexa prime fire meta alphabet steam epic unity blender it us who english french german italian
spanish dutch welsh irish scotch swiss danish catholic mass lent easter god lord john american british london york
january february july september november december united german super day house park young river king light love
""".strip()
_NAMES: Final = frozenset(_NAMES_TEXT.split())
LOWERED_ANYWHERE: Final = STOPS - _NAMES - {"a", "s", "t", "d", "m", "u"}
_FIRST: Final = 400
LOWERED_AT_START: Final = (frozenset(COMMON[:_FIRST]) | STOPS) - _NAMES
"""What begins a sentence is lowered only where it is so common that nobody reads a name; names begin soon after."""
