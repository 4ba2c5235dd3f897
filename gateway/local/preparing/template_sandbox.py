"""Jinja for foreign templates: nothing of Python in reach, and an allowance of time and text for each rendering.

Jinja's own sandbox keeps templates away from attributes; it does not keep them from taking for ever or from filling the
memory. So every loop, call, filter and operator passes through here, and pays from the allowance of the rendering that
it belongs to.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, cast

import jinja2
from jinja2 import nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import FILTERS
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jinja2.nodes import Node
    from jinja2.parser import Parser
    from jinja2.runtime import Context

MAX_SOURCE_CHARS: Final = 1 << 20
MAX_RENDER_S: Final = 2.0
MAX_TEXT_CHARS: Final = 8 << 20
MAX_TOTAL_CHARS: Final = 256 << 20
MAX_ITEMS: Final = 1 << 17
_LARGEST_INTEGER: Final = 1 << 64
_TICKS_BETWEEN_LOOKS: Final = 32
_CHARS_BETWEEN_LOOKS: Final = 1 << 20

ALLOWANCE: Final = "_pointsman_allowance"

_FILTERS: Final = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "from_json", "indent",
    "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace",
    "reverse", "round", "safe", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "unique",
    "upper", "wordcount", "batch", "slice", "groupby", "truncate", "striptags",
)  # fmt: skip
# Filters that make no more than they are given, and may be applied to all of a list at once.
_MAPPED: Final = frozenset(
    (
        "abs", "capitalize", "count", "default", "d", "first", "float", "int", "items", "last", "length", "list",
        "lower", "string", "title", "tojson", "trim", "upper",
    )
)  # fmt: skip
_TEXT_METHODS: Final = frozenset(
    (
        "capitalize", "casefold", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isascii",
        "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip",
        "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip",
        "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
    )
)  # fmt: skip
# Widths and precisions make megabytes of two letters; no chat template needs one of more than two digits.
_WIDE_FORMAT: Final = re.compile(r"[0-9]{3,}|\*|\{[^{}]*:[^{}]*\{")


class TooMuch(Exception):  # noqa: N818 - it says what the template wants
    """The template wants more than any chat template needs."""


class Allowance:
    """What one rendering may use. `chars` is what it was given to render: more of that allows for more."""

    def __init__(self, chars: int) -> None:
        self.text_chars = MAX_TEXT_CHARS + 4 * chars
        self._left_chars = MAX_TOTAL_CHARS + 64 * chars
        self._ends_s = time.thread_time() + MAX_RENDER_S
        self._ticks = 0
        self._unseen_chars = 0

    def tick(self) -> None:
        """One more step. Raises `TooMuch`."""
        self._ticks += 1
        if self._ticks >= _TICKS_BETWEEN_LOOKS:
            self._look()

    def spend(self, chars: int) -> None:
        """So much text is about to be made. Raises `TooMuch`."""
        self._left_chars -= chars
        self._unseen_chars += chars
        if chars > self.text_chars or self._left_chars < 0:
            raise TooMuch("it makes too much text")
        if self._unseen_chars > _CHARS_BETWEEN_LOOKS:
            self._look()

    def _look(self) -> None:
        # The thread's own time, which does not pass while others compute.
        self._ticks = self._unseen_chars = 0
        if time.thread_time() > self._ends_s:
            raise TooMuch(f"it takes more than {MAX_RENDER_S:.0f} seconds")


class _GenerationTag(Extension):
    """`{% generation %}` marks training targets in Hugging Face templates; here its content just passes through."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own interface

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Metered(NodeTransformer):
    """Sends loops, calls, filters, concatenations and new containers through functions of ours."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's own interface
        self.generic_visit(node)
        node.iter = _through("_each", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("_concat", nodes.List(node.nodes, lineno=node.lineno))

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("_weighed", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("_weighed", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("_weighed", node) if node.ctx == "load" else node

    def visit_Call(self, node: nodes.Call) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("_called", node.node, *_given(node))

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802
        # Jinja wants a plain call here; what is called passes through us all the same.
        self.generic_visit(node.call)
        node.call.node = _through("_passed", node.call.node)
        node.defaults = [self.visit(default) for default in node.defaults]
        node.body = [self.visit(one) for one in node.body]
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("_applied", node.node, nodes.Const(node.name), *_given(node))


def _through(name: str, node: nodes.Node | None, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(cast("nodes.Expr", node), name, list(args), [], None, None, lineno=node.lineno if node else 0)


def _given(node: nodes.Call | nodes.Filter) -> tuple[nodes.Expr, nodes.Expr]:
    """What a call is given, as a tuple and an object."""
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise jinja2.TemplateSyntaxError("arguments cannot be unpacked here", node.lineno)
    named = [nodes.Pair(nodes.Const(one.key), one.value) for one in cast("list[nodes.Keyword]", node.kwargs)]
    return nodes.Tuple(node.args, "load", lineno=node.lineno), nodes.Dict(named, lineno=node.lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles foreign templates so that each rendering keeps to the allowance in its context."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, filters: Mapping[str, Callable[..., Any]], names: Mapping[str, Callable[..., Any]]) -> None:
        extensions: list[type[Extension]] = [_GenerationTag, loopcontrols]
        super().__init__(trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=extensions)
        ours = {function.__name__: function for function in (_each, _concat, _weighed, _called, _passed, _applied)}
        self.filters = {name: FILTERS[name] for name in _FILTERS if name in FILTERS} | dict(filters) | ours
        self.globals = {"range": self.globals["range"], "dict": dict, "namespace": self.globals["namespace"], **names}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_SOURCE_CHARS:
            raise jinja2.TemplateSyntaxError("it is too long", 1)
        metered: nodes.Template = _Metered().visit(super()._parse(source, name, filename))
        return metered

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401 - Jinja's own interface
        if isinstance(obj, str) and attr not in _TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401 - Jinja's own interface
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and _WIDE_FORMAT.search(value.__self__):
            raise TooMuch("a format is too wide")
        return wrapped

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - Jinja's own interface
        allowance: Allowance = context[ALLOWANCE]
        allowance.tick()
        _foresee_operator(allowance, operator, left, right)
        return _checked(allowance, super().call_binop(context, operator, left, right))


@pass_context
def _called(context: Context, function: Any, given: tuple[object, ...], named: dict[str, object]) -> object:  # noqa: ANN401 - whatever a template calls
    """A call, which pays for what it makes."""
    allowance: Allowance = context[ALLOWANCE]
    allowance.tick()
    owner = getattr(function, "__self__", None)
    if isinstance(owner, str):
        _foresee(allowance, function.__name__, owner, (*given, *named.values()))
    sandbox = cast("Sandbox", context.environment)
    return _checked(allowance, sandbox.call(context, function, *given, **named))


@pass_context
def _passed(context: Context, function: object) -> object:
    """What a block calls."""
    allowance: Allowance = context[ALLOWANCE]
    allowance.tick()
    return function


@pass_context
def _applied(context: Context, value: object, name: str, given: tuple[object, ...], named: dict[str, object]) -> object:
    """A filter of Jinja's, which pays for what it makes."""
    allowance: Allowance = context[ALLOWANCE]
    allowance.tick()
    # Only now: what a template would do with other messages is of no concern.
    if name not in _FILTERS:
        raise jinja2.TemplateRuntimeError(f"there is no filter named {name[:40]!r}")
    _foresee(allowance, name, value, (*given, *named.values()))
    if name == "map" and given and given[0] not in _MAPPED:
        raise TooMuch(f"{str(given[0])[:20]} of everything is too much")
    return _checked(allowance, context.environment.call_filter(name, value, given, named, context=context))


def _foresee(allowance: Allowance, name: str, value: object, args: tuple[object, ...]) -> None:
    """Refuse what would make too much before it is made. Raises `TooMuch`."""
    if any(isinstance(arg, int) and abs(arg) > MAX_ITEMS for arg in args):
        raise TooMuch("a number is too large")
    chars = len(value) if isinstance(value, str) else 0
    if name == "replace" and len(args) > 1:
        old, new = str(args[0]), str(args[1])
        times = str(value).count(old) if len(str(args[1])) > len(old) else 0
        chars += times * len(new)
    elif name == "indent":
        width = args[0] if args and isinstance(args[0], int | str) else 4
        chars += str(value).count("\n") * (len(width) if isinstance(width, str) else width)
    elif name == "join":
        # A text's method joins its argument with itself; the filter joins its value with its argument.
        items, separator = (args[0], value) if isinstance(value, str) and args else (value, args[0] if args else "")
        chars += len(str(separator)) * len(items) if hasattr(items, "__len__") else len(str(separator)) * MAX_ITEMS
    elif name == "format" and _WIDE_FORMAT.search(str(value)):
        raise TooMuch("a format is too wide")
    allowance.spend(chars)


def _foresee_operator(allowance: Allowance, operator: str, left: object, right: object) -> None:
    """The same for operators."""
    if operator == "%" and isinstance(left, str) and _WIDE_FORMAT.search(left):
        raise TooMuch("a format is too wide")
    if operator == "**" and not (isinstance(right, int | float) and abs(right) <= 64):
        raise TooMuch("a number is too large")
    if operator in "+*":
        sizes = [len(side) if isinstance(side, str | list | tuple) else 0 for side in (left, right)]
        times = next((side for side in (left, right) if isinstance(side, int)), 1) if operator == "*" else 1
        allowance.spend(max(0, sum(sizes) * times))


def _checked(allowance: Allowance, made: object) -> object:
    """What was made, if it is not too much."""
    if isinstance(made, str):
        allowance.spend(len(made))
    elif isinstance(made, int) and not -_LARGEST_INTEGER < made < _LARGEST_INTEGER:
        raise TooMuch("a number is too large")
    elif isinstance(made, list | tuple | dict):
        _weigh(allowance, made)
    return made


def _weigh(allowance: Allowance, value: object) -> None:
    """Count what a container holds, again for each place that holds it: written out, it is that large."""
    waiting: list[Any] = [value]
    count = chars = 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            chars += len(one)
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        count += 1
        if len(waiting) + count > MAX_ITEMS or chars > allowance.text_chars:
            raise TooMuch("a list is too long")
    allowance.spend(count)


@pass_context
def _each(context: Context, value: Iterable[object]) -> Iterator[object]:
    """What a loop runs over, step by step."""
    if isinstance(value, Undefined):
        return iter(value)
    allowance: Allowance = context[ALLOWANCE]
    if isinstance(value, list | tuple | dict | str):
        # Known lengths spare Jinja's `loop.length` a copy.
        for _ in range(1 + len(value) // _TICKS_BETWEEN_LOOKS):
            allowance.tick()
    return _ticked(allowance, value)


def _ticked(allowance: Allowance, values: Iterable[object]) -> Iterator[object]:
    for value in values:
        allowance.tick()
        yield value


@pass_context
def _concat(context: Context, values: list[object]) -> str:
    allowance: Allowance = context[ALLOWANCE]
    allowance.tick()
    texts = [value if isinstance(value, str) else str(value) for value in values]
    allowance.spend(sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _weighed(context: Context, value: object) -> object:
    allowance: Allowance = context[ALLOWANCE]
    allowance.tick()
    _weigh(allowance, value)
    return value
