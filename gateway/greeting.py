"""What a person who has just started the gateway does next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

TEXT: Final = """
Pointsman is listening on {base_url}  (health and metrics: {admin_url})

  curl {base_url}/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{base_url}", api_key="{key}")
  reply = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Say hello."}}])
  print(reply.choices[0].message.content)

The key: {key_line}
"""
WATCHING: Final = """To watch it, from here: pointsman top, pointsman tail, pointsman trace --last
"""


def greeting(base_url: str, admin_url: str, model: str, key_file: Path | None, *, is_open: bool = False) -> str:
    """The curl line and the SDK snippet that work right now. The key is shown only when `key_file` was asked for;
    a gateway that `is_open` asks for none.
    """
    key, key_line = "$POINTSMAN_KEY", "one of those that it was given"
    if is_open:
        key, key_line = "none", "any will do, as there are no keys yet and nobody but this machine can call"
    elif key_file is not None and key_file.exists():
        key = key_file.read_text().strip()
        key_line = f"{key}  (kept in {key_file})"
    return TEXT.format(base_url=base_url, admin_url=admin_url, model=model, key=key, key_line=key_line)


def greet(text: str) -> None:
    """To the terminal, past the log: it is for a person, and may hold the key."""
    sys.stdout.write(text)
    sys.stdout.flush()
