"""JSON schemas turned into grammars.

The grammar accepts a subset of what the schema accepts, so that all generated text is valid against it: properties come
in their declared order, undeclared ones only where none are declared. What a grammar cannot express (`multipleOf`,
`pattern`, ranges between fractions) is refused under `strict` and left to the caller's own validation otherwise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from adapters.schema import InvalidRequest
from gateway.local.choosing.gbnf import GrammarTooLarge, RuleBook, json_literal, literal
from gateway.local.choosing.number_ranges import integers_of, numbers_of

if TYPE_CHECKING:
    from adapters.llama_cpp_job import ToolSpec

MAX_SCHEMA_CHARS = 256 * 1024
MAX_DEPTH = 64
MAX_ENUM = 1000
MAX_REPEAT = 1000

_UNENFORCED = frozenset(
    (
        "not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas",
        "minProperties", "maxProperties", "uniqueItems", "contains", "minContains", "maxContains", "multipleOf",
        "pattern", "unevaluatedProperties", "unevaluatedItems",
    )
)  # fmt: skip
_ANNOTATIONS = frozenset(
    ("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated")
)
_PLAIN_OBJECT = frozenset(("type", "properties", "required", "additionalProperties"))
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_PLAIN_TYPES = {"integer": "int", "number": "number", "boolean": "boolean", "null": "null"}
_FORMATS = {"date": "date", "time": "time", "date-time": 'date "T" time', "uuid": "uuid"}


def grammar_for_schema(schema: str, *, strict: bool) -> str:
    """The grammar of all JSON texts that the schema (as text) allows. Raises `InvalidRequest`."""
    book = RuleBook()
    return book.text(_root(schema, book, strict=strict))


def grammar_for_tools(tools: tuple[ToolSpec, ...]) -> str:
    """The grammar of one call: a tool's name, a line feed, its arguments. Raises `InvalidRequest`."""
    book = RuleBook()
    calls = []
    for tool in tools:
        arguments = "object" if tool.parameters is None else _root(tool.parameters, book, strict=False)
        calls.append(f'{literal(tool.name)} "\\n" {arguments}')
    return book.text(" | ".join(calls))


def _root(schema: str, book: RuleBook, *, strict: bool) -> str:
    try:
        return _Converter(_load(schema), book, strict=strict).root()
    except GrammarTooLarge:
        raise _refusal("it is too large") from None
    except RecursionError:
        raise _refusal("it is nested too deeply") from None
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise _refusal(f"it is not a valid JSON schema ({error})") from error


def _load(text: str) -> Any:  # noqa: ANN401 - any JSON value
    if len(text) > MAX_SCHEMA_CHARS:
        raise _refusal(f"it is longer than {MAX_SCHEMA_CHARS} characters")
    text.encode()
    schema = json.loads(text)
    # What is to be any object is written `{}` by us, and must not become any JSON value.
    return {"type": "object"} if schema == {} else schema


def _refusal(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The JSON schema cannot be used: {reason}.", "response_format", "invalid_json_schema")


class _Converter:
    """One schema on its way into a rule book. Every method returns an expression in the grammar's notation."""

    def __init__(self, schema: Any, book: RuleBook, *, strict: bool) -> None:  # noqa: ANN401 - any JSON value
        self._schema = schema
        self._book = book
        self._strict = strict
        self._referenced: dict[str, str] = {}
        self._depth = 0
        self._enum_values = 0

    def root(self) -> str:
        return self._rule(self._schema)

    def _rule(self, schema: Any) -> str:  # noqa: ANN401 - any JSON value
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise _refusal("`false` and values that are no schemas allow nothing")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refusal(f"it is nested more than {MAX_DEPTH} deep")
        self._check(schema)
        expression = self._expression(schema)
        self._depth -= 1
        return expression if expression.isalnum() else self._book.add(expression)

    def _check(self, schema: dict[str, Any]) -> None:
        if self._strict and (unenforced := sorted(_UNENFORCED & schema.keys())):
            raise _refusal(f"`{unenforced[0]}` cannot be enforced; remove it or set `strict` to false")

    def _expression(self, schema: dict[str, Any]) -> str:
        rest = {name: value for name, value in schema.items() if name not in _ANNOTATIONS}
        if "$ref" in rest:
            pointer = rest.pop("$ref")
            return self._rule({"allOf": [{"$ref": pointer}, rest]}) if rest else self._reference(pointer)
        if "const" in schema:
            return json_literal(schema["const"])
        if "enum" in schema:
            return self._enum(schema["enum"])
        if branches := rest.pop("anyOf", None) or rest.pop("oneOf", None):
            return " | ".join(self._rule({"allOf": [rest, branch]} if rest else branch) for branch in branches)
        if "allOf" in schema:
            return self._rule(self._merged([*rest.pop("allOf"), rest]))
        return self._typed(schema.get("type") or _implied_type(schema), schema)

    def _typed(self, kind: str | list[str] | None, schema: dict[str, Any]) -> str:
        if kind is None:
            return "value"
        if isinstance(kind, list):
            return " | ".join(self._rule({**schema, "type": one}) for one in kind)
        if kind in ("integer", "number") and any(bound in schema for bound in _BOUNDS):
            return self._bounded(kind, schema)
        if kind in _PLAIN_TYPES:
            return _PLAIN_TYPES[kind]
        built = {"object": self._object, "array": self._array, "string": _string}.get(kind)
        if built is None:
            raise _refusal(f"there is no type `{kind[:40]}`")
        return built(schema)

    def _reference(self, pointer: str) -> str:
        if pointer not in self._referenced:
            if pointer != "#" and not pointer.startswith("#/"):
                raise _refusal(f"the reference `{pointer[:100]}` leaves the schema")
            name = self._referenced[pointer] = self._book.reserve()
            self._book.define(name, self._rule(self._resolve(pointer)))
        return self._referenced[pointer]

    def _resolve(self, pointer: str) -> Any:  # noqa: ANN401 - any JSON value
        found = self._schema
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise _refusal(f"the reference `{pointer[:100]}` points nowhere")
        return found

    def _dereferenced(self, schema: dict[str, Any]) -> dict[str, Any]:
        for _ in range(MAX_DEPTH):
            if "$ref" not in schema:
                return schema
            schema = self._resolve(schema["$ref"])
        raise _refusal("its references go in circles")

    def _enum(self, values: list[Any]) -> str:
        self._enum_values += len(values)
        if not values or self._enum_values > MAX_ENUM:
            raise _refusal(f"its enums need 1 to {MAX_ENUM} values in all")
        return " | ".join(map(json_literal, values))

    def _merged(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """What obeys all parts, as one schema. More than one part can only be merged where all are plain objects."""
        read = [{k: v for k, v in self._dereferenced(part).items() if k not in _ANNOTATIONS} for part in parts]
        said = [part for part in read if part]
        if len(said) < 2:
            return said[0] if said else {}
        properties: dict[str, Any] = {}
        required: list[str] = []
        for part in said:
            if not part.keys() <= _PLAIN_OBJECT or part.get("type", "object") != "object":
                raise _refusal("its parts can only be combined where all of them are plain objects")
            for name, value in (part.get("properties") or {}).items():
                if properties.setdefault(name, value) != value:
                    raise _refusal(f"its parts disagree on the property `{name[:40]}`")
            required += part.get("required") or []
        if any(part.get("additionalProperties") is False and properties != part.get("properties") for part in said):
            raise _refusal("one of its parts forbids the properties of another")
        return {"type": "object", "properties": properties, "required": required}

    def _object(self, schema: dict[str, Any]) -> str:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        if not properties:
            return self._dictionary(schema.get("additionalProperties", True), required)
        if missing := required - properties.keys():
            properties = {**properties, **dict.fromkeys(sorted(missing), True)}
        # Two rules per property, from the last to the first: what may follow when nothing, or something, stands before.
        after_none = after_some = ""
        for name, value in reversed(properties.items()):
            member = self._book.add(f'{json_literal(name)} ws ":" ws {self._rule(value)} ws')
            first, next_ = f"{member} {after_some}", f'"," ws {member} {after_some}'
            if name not in required:
                # An empty alternative at a line's end would make llama.cpp read on into the next rule.
                first = f"{first} | {after_none}" if after_none else f"({first})?"
                next_ = f'("," ws {member})? {after_some}'
            after_none, after_some = self._book.add(first), self._book.add(next_)
        return f'"{{" ws {after_none} "}}"'

    def _dictionary(self, values: Any, required: set[str]) -> str:  # noqa: ANN401 - any JSON value
        if required:
            return self._object({"properties": dict.fromkeys(sorted(required), values), "required": list(required)})
        if values is True or values == {}:
            return "object"
        if values is False:
            return '"{" ws "}"'
        member = self._book.add(f'string ws ":" ws {self._rule(values)} ws')
        return f'"{{" ws ({member} ("," ws {member})*)? "}}"'

    def _array(self, schema: dict[str, Any]) -> str:
        least, most = _repeats(schema, "minItems", "maxItems")
        if prefix := schema.get("prefixItems"):
            return '"[" ws ' + ' "," ws '.join(f"{self._rule(item)} ws" for item in prefix) + ' "]"'
        if most == 0:
            return '"[" ws "]"'
        item = self._book.add(f"{self._rule(schema.get('items', True))} ws")
        more = f'("," ws {item}){{{max(least - 1, 0)},{"" if most is None else most - 1}}}'
        items = f"{item} {more}" if least else f"({item} {more})?"
        return f'"[" ws {items} "]"'

    def _bounded(self, kind: str, schema: dict[str, Any]) -> str:
        try:
            return integers_of(schema) if kind == "integer" else numbers_of(schema)
        except (ValueError, OverflowError) as error:
            if self._strict:
                raise _refusal(f"a range of numbers cannot be enforced: {error}") from None
            return _PLAIN_TYPES[kind]


def _string(schema: dict[str, Any]) -> str:
    if (format_ := schema.get("format")) in _FORMATS:
        return f'"\\"" {_FORMATS[format_]} "\\""'
    least, most = _repeats(schema, "minLength", "maxLength")
    if not least and most is None:
        return "string"
    return f'"\\"" char{{{least},{"" if most is None else most}}} "\\""'


def _repeats(schema: dict[str, Any], least_name: str, most_name: str) -> tuple[int, int | None]:
    least, most = int(schema.get(least_name) or 0), schema.get(most_name)
    if least > MAX_REPEAT or least < 0 or (most is not None and int(most) < least):
        raise _refusal(f"`{least_name}` must be between 0 and {MAX_REPEAT}, and no larger than `{most_name}`")
    if most is None:
        return least, None
    # A lower bound than asked for stays within the schema, and keeps the grammar small.
    return least, min(int(most), MAX_REPEAT)


def _implied_type(schema: dict[str, Any]) -> str | None:
    if schema.keys() & {"properties", "additionalProperties", "required"}:
        return "object"
    if schema.keys() & {"items", "prefixItems", "minItems", "maxItems"}:
        return "array"
    if schema.keys() & {"minLength", "maxLength"}:
        return "string"
    return None
