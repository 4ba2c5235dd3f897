"""What a request may be charged for beside its tokens' plain rates: another tier of service, and searches of the web.

Only looked for where money is limited. How often a model searches is its own affair unless the request says a most; so
many as are usual at most are reserved for then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

SEARCHES_USUAL: Final = 10
SEARCHES_MAX: Final = 1000
STANDARD: Final = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
"""What asks for no other service. With `auto` a provider bills as its project is set up: taken for standard."""
_SERVICE_CHARS_MAX: Final = 40
_SEARCH: Final = b"web_search"

_text: Final = msgspec.json.Decoder(str)
_tools: Final = msgspec.json.Decoder(list[dict[str, Any]])
_count: Final = msgspec.json.Decoder(int)


class Extras(NamedTuple):
    """The service as answers would name it, "" for the standard one, and how many searches are reserved for."""

    service: str = ""
    searches: int = 0


NO_EXTRAS: Final = Extras()


def extras_of(request: InferenceRequest) -> Extras:
    """What the body asks for; what is malformed asks for nothing, and is the upstream's to refuse."""
    members = request.members
    if "service_tier" not in members and "web_search_options" not in members and "tools" not in members:
        return NO_EXTRAS
    found = Extras(_service(members.get("service_tier")), _searches(members))
    return found if any(found) else NO_EXTRAS


def _service(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        name = _text.decode(raw)
    except msgspec.DecodeError:
        return ""
    return "" if name in STANDARD or len(name) > _SERVICE_CHARS_MAX else name


def _searches(members: dict[str, msgspec.Raw]) -> int:
    """As many as the request lets the model make, where it says so."""
    searches = 0 if "web_search_options" not in members else SEARCHES_USUAL
    tools = members.get("tools")
    # An escaped letter would hide the word from the quick look; whoever writes one has it read in full.
    if tools is not None and (_SEARCH in bytes(tools) or b"\\u" in bytes(tools)):
        try:
            searches += sum(map(_uses, _tools.decode(tools)))
        except msgspec.DecodeError:
            return searches
    return min(searches, _most(members.get("max_tool_calls"), searches), SEARCHES_MAX)


def _uses(tool: dict[str, Any]) -> int:
    name = tool.get("type")
    if not isinstance(name, str) or not name.startswith("web_search"):
        return 0
    uses = tool.get("max_uses")
    return uses if isinstance(uses, int) and uses > 0 else SEARCHES_USUAL


def _most(raw: msgspec.Raw | None, otherwise: int) -> int:
    if raw is None:
        return otherwise
    try:
        return max(0, _count.decode(raw))
    except msgspec.DecodeError:
        return otherwise
