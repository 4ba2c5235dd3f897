"""Random tokens held to random schemas: whatever comes out is JSON and obeys."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters.llama_cpp_job import Sampling, ToolSpec
from adapters.schema import InvalidRequest
from gateway.local.choosing.constraint import Constraint
from gateway.local.choosing.grammar import Grammar
from gateway.local.choosing.json_schema import grammar_for_schema, grammar_for_tools
from gateway.local.choosing.sampling import Chooser
from gateway.local.choosing.vocabulary import Vocabulary

END = 256
_LONGER = [
    b'{"',
    b'":',
    b'", "',
    b"}}",
    b"]}",
    b'"}',
    b"true",
    b"null",
    b"  ",
    b"\n  ",
    b'\\"',
    b"12",
    b"caf\xc3",
    b"\xa9",
]


class Tokens:
    """Bytes, an end, a control token, and pieces as trained vocabularies have them: across borders of all kinds."""

    vocab_size = 258 + len(_LONGER)

    def piece(self, token: int) -> bytes:
        return bytes((token,)) if token < END else b"" if token < 258 else _LONGER[token - 258]

    def ends_text(self, token: int) -> bool:
        return token == END


MODEL = Tokens()
VOCABULARY = Vocabulary(MODEL)
# Without a liking for what closes something, random text would hardly ever end.
LEANING = np.zeros(MODEL.vocab_size, np.float32)
LEANING[[*b'"}]', END]] = 6.0
LEANING[list(b"[{\\")] = -2.0


def write(grammar: str, sampling: Sampling, seed: int) -> str | None:
    """A random text of the grammar; None where it has become too long to wait for."""
    rng = np.random.default_rng(seed)
    chooser = Chooser(MODEL, sampling, seed=seed, constraint=Constraint(Grammar(grammar), VOCABULARY))
    text = b""
    for _ in range(3000):
        row = (rng.standard_normal(MODEL.vocab_size) * 3).astype(np.float32) + LEANING
        token = chooser.choose(row)
        if token == END:
            return text.decode()
        text += MODEL.piece(token)
    return None


NAMES = st.sampled_from(["a", "b", 'q"', "é", "long name", "\\", "", "x/y", "\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "é", '"', "\\n", "\n", "ab"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
BOUNDS = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(sorted)
NUMBERS = st.integers(-1200, 1200)


def _leaf(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["string", "number", "integer", "boolean", "null", "enum", "const", "format", "any"]))
    if kind == "enum":
        return {"enum": draw(st.lists(VALUES, min_size=1, max_size=4))}
    if kind == "const":
        return {"const": draw(VALUES)}
    if kind == "format":
        return {"type": "string", "format": draw(st.sampled_from(["date", "time", "date-time", "uuid"]))}
    if kind == "any":
        return {}
    made: dict[str, Any] = {"type": kind}
    if kind == "string" and draw(st.booleans()):
        made["minLength"], made["maxLength"] = draw(BOUNDS)
    if kind in ("integer", "number"):
        names = st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
        made |= draw(st.dictionaries(names, NUMBERS, max_size=2))
    return made


def _node(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        kind = draw(st.sampled_from(["object", "array", "tuple", "dictionary", "anyOf", "types"]))
        if kind == "object":
            properties = draw(st.dictionaries(NAMES, inner, max_size=4))
            required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
            return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        if kind == "array":
            least, most = draw(BOUNDS)
            return {"type": "array", "items": draw(inner), "minItems": least, "maxItems": most}
        if kind == "tuple":
            return {"type": "array", "prefixItems": draw(st.lists(inner, min_size=1, max_size=3)), "items": False}
        if kind == "dictionary":
            return {"type": "object", "additionalProperties": draw(inner)}
        if kind == "anyOf":
            return {"anyOf": draw(st.lists(inner, min_size=1, max_size=3))}
        return {"type": draw(st.lists(st.sampled_from(["integer", "null", "boolean"]), min_size=1, unique=True))}

    return build()


SCHEMAS = st.recursive(st.composite(_leaf)(), _node, max_leaves=8)
SAMPLINGS = st.sampled_from([Sampling(), Sampling(temperature=0), Sampling(top_p=0.7, top_k=0), Sampling(top_k=5)])


@settings(max_examples=150, deadline=None)
@given(SCHEMAS, SAMPLINGS, st.integers(0, 2**32))
def test_random_answers_obey_random_schemas(schema: dict[str, Any], sampling: Sampling, seed: int) -> None:
    try:
        grammar = grammar_for_schema(json.dumps(schema), strict=True)
    except InvalidRequest:
        assume(False)
    text = write(grammar, sampling, seed)
    assume(text is not None)
    assert text is not None
    jsonschema.Draft202012Validator(schema or {"type": "object"}).validate(json.loads(text))


@settings(max_examples=40, deadline=None)
@given(SCHEMAS, st.integers(0, 2**32))
def test_random_calls_obey_their_parameters(schema: dict[str, Any], seed: int) -> None:
    try:
        grammar = grammar_for_tools((ToolSpec("find", "", json.dumps(schema)), ToolSpec("stop-it", "", None)))
        text = write(grammar, Sampling(), seed)
    except InvalidRequest:
        assume(False)
    assume(text is not None)
    assert text is not None
    name, _, arguments = text.partition("\n")
    assert name in ("find", "stop-it")
    parameters = schema if name == "find" and schema else {"type": "object"}
    value = json.loads(arguments)
    # Outside of strict mode ranges that no grammar holds are left to the caller.
    if not any(bound in json.dumps(schema) for bound in ("imum",)):
        jsonschema.Draft202012Validator(parameters).validate(value)


@pytest.mark.parametrize("seed", range(10))
def test_json_mode_writes_objects(seed: int) -> None:
    text = write(grammar_for_schema("{}", strict=False), Sampling(), seed)
    assert text is None or isinstance(json.loads(text), dict)
