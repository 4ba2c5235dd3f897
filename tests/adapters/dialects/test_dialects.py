from __future__ import annotations

import adapters.dialects


def test_what_others_need_is_named_here() -> None:
    assert all(hasattr(adapters.dialects, name) for name in adapters.dialects.__all__)
    assert adapters.dialects.dialect_of("").name in adapters.dialects.DIALECTS
