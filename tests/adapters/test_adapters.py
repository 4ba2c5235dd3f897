from __future__ import annotations

from adapters import ADAPTERS


def test_names_of_provider_kinds_lead_to_adapters() -> None:
    for name, adapter in ADAPTERS.items():
        assert adapter.classify(500, {}, b"").status == 500, name
    assert "openai" in ADAPTERS
