"""Provider wire formats, translated: pure bytes and values in and out; nothing here ever sees a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adapters.openai import OpenAIAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.base import Adapter

ADAPTERS: Final[Mapping[str, Adapter]] = {
    "openai": OpenAIAdapter(),
    "openai_itself": OpenAIAdapter(chat_limit="max_completion_tokens"),
}
