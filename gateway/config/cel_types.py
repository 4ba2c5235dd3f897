"""The types of CEL, and what its operators and functions take and give. The library decides most of it only by failing.

`Type("dyn")` is what only the request decides; it fits everywhere, and is found out when the expression is evaluated.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.config.cel_syntax import CelError
from gateway.config.problems import did_you_mean


class Type(NamedTuple):
    """`of` is the type of a list's items or a map's values."""

    name: str
    of: Type | None = None

    def __str__(self) -> str:
        return self.name if self.of is None or self.of == DYN else f"{self.name} of {self.of}"

    @property
    def items(self) -> Type:
        return self.of or DYN


DYN: Final = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL = Type("string"), Type("bytes"), Type("null")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")
LIST, MAP = Type("list"), Type("map")
NUMBERS: Final = frozenset({"int", "uint", "double"})
ORDERED: Final = NUMBERS | {"string", "bytes", "bool", "timestamp", "duration"}
EMPTY: Final[dict[str, object]] = {
    "bool": False,
    "int": 0,
    "double": 0.0,
    "string": "",
    "list": (),
    "map": {},
    "dyn": None,
}
"""What a member that was not sent reads as, as CEL has it for the fields of protocol buffers."""

_KEYS: Final = frozenset({"string", "int", "uint", "bool", "dyn"})
_OF_DATES: Final = ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfYear", "getDayOfWeek")
_OF_TIMES: Final = ("getHours", "getMinutes", "getSeconds", "getMilliseconds")
PARTS_OF_TIME: Final = frozenset({*_OF_DATES, *_OF_TIMES})
_TEXT: Final = (("string", "string"),)
# Name: the argument types that it takes, by overload ("*": any), and its result. A method's target is an argument too.
FUNCTIONS: Final[dict[str, tuple[tuple[tuple[str, ...], ...], Type]]] = {
    "size": ((("string",), ("bytes",), ("list",), ("map",)), INT),
    "int": ((("int",), ("uint",), ("double",), ("string",)), INT),
    "uint": ((("int",), ("uint",), ("double",), ("string",)), UINT),
    "double": ((("int",), ("uint",), ("double",), ("string",)), DOUBLE),
    "string": ((("string",), ("bytes",), ("int",), ("uint",), ("double",), ("timestamp",), ("duration",)), STRING),
    "bytes": ((("string",),), BYTES),
    "timestamp": ((("string",),), TIMESTAMP),
    "duration": ((("string",),), DURATION),
    "dyn": ((("*",),), DYN),
}
METHODS: Final[dict[str, tuple[tuple[tuple[str, ...], ...], Type]]] = {
    "size": FUNCTIONS["size"],
    "contains": (_TEXT, BOOL),
    "startsWith": (_TEXT, BOOL),
    "endsWith": (_TEXT, BOOL),
    "matches": (_TEXT, BOOL),
    **dict.fromkeys(_OF_DATES, ((("timestamp",),), INT)),
    **dict.fromkeys(_OF_TIMES, ((("timestamp",), ("duration",)), INT)),
}


def called(name: str, types: tuple[Type, ...], *, is_method: bool) -> Type:
    """What a function gives for arguments of these types. Raises `CelError`."""
    table = METHODS if is_method else FUNCTIONS
    if name not in table:
        if name in METHODS or name in FUNCTIONS:
            raise CelError(f"{name}() is written {f'{name}(x)' if is_method else f'x.{name}(...)'}")
        known = sorted({*METHODS, *FUNCTIONS, "all", "exists", "exists_one", "filter", "map", "has"})
        raise CelError(f"there is no function {name}(){did_you_mean(name, known)}")
    overloads, result = table[name]
    if not any(len(wanted) == len(types) and all(map(_fits, wanted, types)) for wanted in overloads):
        given = ", ".join(map(str, types)) or "nothing"
        wanted = " or ".join(", ".join(overload) for overload in overloads)
        raise CelError(f"{name}() takes {wanted}, not {given}")
    return result


def _fits(wanted: str, given: Type) -> bool:
    return wanted in ("*", given.name) or given == DYN


def compared(sign: str, left: Type, right: Type) -> Type:
    """`==`, `!=`, `<` and the like. Raises `CelError`."""
    if sign in ("==", "!="):
        if NULL in (left, right) and not _comparable(left, right):
            raise CelError("compares with null, which this never is; has(request.NAME) tells whether it was sent")
        if not _comparable(left, right):
            raise CelError(f"compares {left} with {right}, which are never the same")
    elif DYN not in (left, right) and not (_comparable(left, right) and left.name in ORDERED and right.name in ORDERED):
        raise CelError(f"{left} {sign} {right} means nothing")
    return BOOL


def _comparable(left: Type, right: Type) -> bool:
    if DYN in (left, right) or {left.name, right.name} <= NUMBERS:
        return True
    return left.name == right.name and _comparable(left.items, right.items)


def contained(item: Type, holder: Type) -> Type:
    """`in`. Raises `CelError`."""
    if holder.name == "string":
        raise CelError("'in' looks into a list or a map; for a part of a text write x.contains(y)")
    if holder != DYN and holder.name not in ("list", "map"):
        raise CelError(f"'in' looks into a list or a map, not into {holder}")
    if holder.name == "map" and item.name not in _KEYS:
        raise CelError(f"'in' looks for {item} among the keys of a map, where it never is")
    inside = holder.items
    if holder.name == "list" and not _comparable(item, inside):
        raise CelError(f"'in' looks for {item} in a {holder}, where it never is")
    return BOOL


def reckoned(sign: str, left: Type, right: Type) -> Type:
    """`+ - * / %`. Raises `CelError`."""
    names = (left.name, right.name)
    if DYN in (left, right):
        return DYN
    if sign == "-" and names == ("timestamp", "timestamp"):
        return DURATION
    if sign in "+-" and names == ("timestamp", "duration"):
        return TIMESTAMP
    kinds = {"+": NUMBERS | {"string", "bytes", "list", "duration"}, "-": NUMBERS | {"duration"}, "%": {"int", "uint"}}
    if left.name == right.name and left.name in kinds.get(sign, NUMBERS):
        return left if left == right else Type(left.name)
    hint = "; turn one into the other with int() or double()" if set(names) <= NUMBERS and len(set(names)) == 2 else ""
    raise CelError(f"{left} {sign} {right} means nothing{hint}")


def joined(types: list[Type]) -> Type:
    """The one type of several values, or `dyn`."""
    return types[0] if types and all(kind == types[0] for kind in types) else DYN
