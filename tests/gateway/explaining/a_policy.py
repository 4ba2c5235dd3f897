"""A policy with a condition, a canary, residency and limits, and a change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import load

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

POLICY = """
providers:
  one: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: none}
deployments:
  small: {provider: one, model: small, region: eu-west-1, price: {input: 0.1, output: 0.2}, lacks: [images]}
  big: {provider: one, model: big, context_tokens: 128000, price: {input: 1, output: 2}}
  far: {provider: one, model: far, region: us}
routes:
  - {model: clever, when: "size(request.tools) > 0", targets: [big]}
  - model: clever
    strategy: weighted
    by: user
    targets: [{deployment: small, weight: 95}, {deployment: big, weight: 5}]
    fallbacks: [far]
  - {model: fixed, when: "now.getHours() < 12", targets: [small, far]}
keys:
  - {name: ci, secret: twenty-characters-at-least}
  - {name: euro, secret: twenty-characters-or-more, require: {region: eu}}
limits:
  - {per: key, requests: 60/min}
"""
HELLO = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def asking(model: str = "clever", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": HELLO, **more}


def policy(folder: Path, text: str = POLICY, name: str = "policy.yaml") -> Config:
    file = folder / name
    file.write_text(text)
    return load(file, {})
