from __future__ import annotations

import pytest

from gateway.caching.told import told
from gateway.call import Cached
from policies.cache_rules import Bypass, Level


@pytest.mark.parametrize(
    ("cached", "header"),
    [
        (Cached(level=Level.EXACT, entry_id="ce_1", age_s=31.4), "hit; level=exact; age=31; id=ce_1"),
        (
            Cached(level=Level.SEMANTIC, entry_id="ce_1", risk=0.00421),
            "hit; level=semantic; age=0; p=0.0042; id=ce_1",
        ),
        (Cached(entry_id="ce_2", risk=0.3), "miss; id=ce_2"),
        (Cached(entry_id="ce_2", closed=Bypass.PERSONAL), "miss; closed=personal; id=ce_2"),
        (Cached(), "miss"),
        (Cached(bypass=Bypass.TEMPERATURE), "bypass; reason=temperature"),
    ],
)
def test_what_became_of_a_call_is_one_line(cached: Cached, header: str) -> None:
    assert told(cached) == header
