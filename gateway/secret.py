"""A value that nobody may see by accident: wherever a `Secret` is shown, logged or serialised, it is `***`."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

MASK: Final = "***"


class Secret:
    """A credential. Only `reveal` gives it out, so a search for that word finds every place that sees one."""

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret does not change")

    def __eq__(self, other: object) -> bool:
        """Equal to another secret with the same value, in time that says nothing about it; never to a plain text."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    # Every way that the interpreter has of taking an object's state apart goes through one of these two.
    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A text in the policy file becomes a secret; whatever dumps the model writes the mask."""
        from pydantic_core import core_schema  # noqa: PLC0415 - keeps this module free of pydantic

        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.no_info_before_validator_function(_plain, core_schema.str_schema(min_length=1)),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds, to be judged next
    return value.reveal() if isinstance(value, Secret) else value
