"""What one attempt used, in tokens, and what that cost, in nano-USD by component."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from policies.tariffs import Price


class Correction(StrEnum):
    """Why a count is not what an upstream told."""

    NEGATIVE = "negative"
    TOO_LARGE = "too_large"
    PART_ABOVE_WHOLE = "part_above_whole"


class UsageDetails(NamedTuple):
    """What few answers have. Each count is a part of one of `Usage`: 1 h writes of cache writes, cached audio of cached
    input, the rest of input or output. `service` is the tier that the upstream says it has billed, "" for the standard
    one; `billed_nanousd` what it says that the answer cost; `searches` what it looked up, each at a price.

    `corrected` has a word for each count that was told otherwise and could not be: for metrics, since it costs nothing.
    """

    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    cached_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    searches: int = 0
    service: str = ""
    billed_nanousd: int | None = None
    corrected: tuple[Correction, ...] = ()


# Usage and Cost are made for every call, and a named tuple costs a third of a frozen dataclass to make.
class Usage(NamedTuple):
    """Tokens of one attempt. Totals are inclusive: input holds cached and cache-written, output holds reasoning.

    `details` is None where an answer has text alone, in standard service, and does not name its cost.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    details: UsageDetails | None = None


class Cost(NamedTuple):
    """What one attempt cost, in nano-USD by component; `total_nanousd` is their sum.

    `request_nanousd` is what is paid for the request as such, or all of it where the provider names but a sum;
    `tool_nanousd` what it looked up. `upstream_nanousd` is what the provider is expected to bill where a margin makes
    the sum another one, else None.
    """

    input_nanousd: int
    cached_input_nanousd: int
    cache_write_nanousd: int
    output_nanousd: int
    price: Price
    request_nanousd: int = 0
    tool_nanousd: int = 0
    upstream_nanousd: int | None = None

    @property
    def total_nanousd(self) -> int:
        input_, cached, written, output, _, request, tool, _ = self
        return input_ + cached + written + output + request + tool
