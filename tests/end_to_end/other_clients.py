"""SDKs that live in an environment of their own: today's `openai` for Python, and `openai` for Node.

`make test` installs both. Where they are absent, what needs them is skipped and says so.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.gateway_process import KEY, ROOT
from tests.openai_upstream import CALL, FLOATS, TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Service

CLIENTS = ROOT / "tests" / "clients"
WITHIN_S = 60.0


class Client(NamedTuple):
    """A program that runs smoke checks, and what must have been installed for it."""

    command: tuple[str, ...]
    needs: Path

    def start(self, base_url: str, *checks: str, model: str = "gpt-5-mini") -> subprocess.Popen[str]:
        if not self.needs.exists():
            pytest.skip(f"{self.needs.relative_to(ROOT)} is absent; `make test` makes it")
        # No proxy of this machine's is to stand between.
        environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        return subprocess.Popen(
            [*self.command, *checks],
            env=environ | {"BASE_URL": base_url, "KEY": KEY, "MODEL": model},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def report(self, base_url: str, *checks: str, model: str = "gpt-5-mini") -> dict[str, Any]:
        """What the checks saw."""
        with self.start(base_url, *checks, model=model) as process:
            out, err = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0, err
        report: dict[str, Any] = json.loads(out)
        return report

    def leave(self, service: Service) -> bool:
        """Whether the provider was told within a second that this client left its stream, and lives on."""
        with self.start(service.base_url, "versions", "leave") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            assert lines[1] == "left\n", lines
            hung_up = service.hung_up_within(1.0)
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(WITHIN_S) == 0
        return hung_up


# What both tell of tests/openai_upstream.py.
TOLD: dict[str, Any] = {
    "chat": {"text": TEXT, "finish": "stop", "usage": True},
    "async_chat": [TEXT, TEXT],
    "stream": {"text": TEXT, "usage": [], "last": [0, 18]},
    "stream_helper": TEXT,
    "tools": [[CALL["name"], json.loads(CALL["arguments"])]] * 2,
    "structured": {"city": "Paris", "degrees": 21},
    "embeddings": [list(FLOATS)] * 2,
    "completion": TEXT,
    "responses": [TEXT, TEXT],
    "models": ["gpt-5-mini", "gpt-5-mini"],
    "request_id": [1, "req_", "gpt-5-mini", "1"],
    "errors": {
        "400": ["BadRequestError", 400, "invalid_value", "invalid_request_error", "temperature", "req_"],
        "401": ["AuthenticationError", 401, "invalid_api_key", "authentication_error", None, "req_"],
        "404": ["NotFoundError", 404, "model_not_found", "invalid_request_error", "model", "req_"],
        "422": ["UnprocessableEntityError", 422, "code_422", "invalid_request_error", "messages", "req_"],
        "429": ["RateLimitError", 429, "upstream_rate_limit", "rate_limit_error", None, "req_"],
        "500": ["InternalServerError", 502, "upstream_error", "api_error", None, "req_"],
    },
    "broken_stream": "upstream_incomplete",
}

BIN = ROOT / ".venv-clients" / "bin"
NODE_FOLDER = CLIENTS / "node"
CURRENT = Client((str(BIN / "python"), str(CLIENTS / "smoke.py")), BIN.parent / ".stamp")
NODE = Client((str(BIN / "node"), str(NODE_FOLDER / "smoke.mjs")), NODE_FOLDER / "node_modules" / ".stamp")
