from __future__ import annotations

from gateway.caching.learning import Where
from gateway.caching.served import REMEMBERED_MAX, Served, Serving

WHERE = Where("faq", "all", "minilm")


def test_what_was_served_is_known_by_request_and_by_meaning() -> None:
    served = Served()
    served.add("req_1", Serving("ce_1", "all"))
    served.add("req_2", Serving("ce_1", "all", WHERE))
    assert served.by_request("req_1") == Serving("ce_1", "all")
    assert served.by_entry("ce_1") == Serving("ce_1", "all", WHERE)
    assert (served.by_request("req_3"), served.by_entry("ce_2")) == (None, None)


def test_the_oldest_is_forgotten() -> None:
    served = Served()
    for number in range(REMEMBERED_MAX + 1):
        served.add(f"req_{number}", Serving(f"ce_{number}", "all", WHERE))
    assert served.by_request("req_0") is served.by_entry("ce_0") is None
    assert served.by_request("req_1") is not None
