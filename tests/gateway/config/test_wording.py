"""Every refusal is in plain words, at a place that the file has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config.model import Config
from gateway.config.tree import compose, unfold
from gateway.config.wording import known_keys, translated
from gateway.prices.lines import RATE_WORDS

if TYPE_CHECKING:
    from gateway.config.problems import Place

POLICY = """
providers:
  kind: {kind: litellm, settings: {a: b}}
  headers: {kind: openai, api_key: none, headers: {x: y}}
deployments:
  model: {provider: kind, price: {input: 1}}
routes:
  - {model: a, targets: [model, {deployment: model}], timeouts: {}}
server: {tls: {cert: a}}
"""


KEYED = ("api_key", "api_keys", "base_url", "breaker", "discount", "kind", "limits", "margin", "trace")


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ((), tuple(Config.model_fields)),
        (("server", "tls"), ("cert", "key")),
        (("providers", "kind"), (*KEYED, "settings")),
        (("providers", "headers"), (*KEYED, "headers", "max_connections", "forward_headers", "health")),
        (("providers", "kind", "settings"), ()),
        (("deployments", "model", "price"), (*RATE_WORDS, "above", "services", "from", "then")),
        (("routes", 0, "targets", 1), ("deployment", "route", "weight")),
        (("routes", 0, "timeouts"), ("connect", "first_token", "idle", "total", "write")),
    ],
)
def test_the_keys_of_each_place_are_known(place: Place, keys: tuple[str, ...]) -> None:
    """Also where an operator's name for something is a word of the language."""
    assert sorted(known_keys(place, unfold(compose(POLICY), str))) == sorted(keys)


PRINTABLE = "ab09 .:-*${}/"
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(PRINTABLE, max_size=5)
WORDS = sorted(
    {"providers", "deployments", "routes", "keys", "server", "telemetry", "x", "kind", "openai", "model", "targets"}
)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
        max_leaves=20,
    )
)
def test_whatever_is_refused_has_a_place_and_plain_words(values: object) -> None:
    tree = unfold(compose(json.dumps({"providers": values, "routes": values, "server": values})), str)
    try:
        Config.model_validate(tree.values)
    except ValidationError as error:
        for place, message in translated(error, tree):
            assert place[:-1] in tree.lines
            assert message.startswith(
                ("must", "is missing", "unknown key", "is not a", "is decided", "is a header", "has ")
            )
