"""The common part of CEL as Python closures, some fifty times as fast as the library, which decides all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.config.cel_closures import (
    COMPARED,
    ON_TEXTS,
    Elsewhere,
    Piece,
    among,
    as_condition,
    both,
    choice,
    comparison,
    constant,
    either,
    has_member,
    inside,
    member,
    of_class,
    on_texts,
    opposite,
    reckoning,
    size,
)
from gateway.config.cel_readings import Read, reader
from gateway.config.cel_syntax import Kind, Node
from gateway.config.cel_types import BOOL, INT, STRING, Type

if TYPE_CHECKING:
    from gateway.config.cel_check import Checked

LiteralOf = Callable[[str], object]
"""What the text of a literal says, by the library."""

_CONSTANTS: Final = frozenset({"string", "int", "double", "bool", "null"})


def quick(checked: Checked, literal_of: LiteralOf) -> Read | None:
    """The whole condition as one closure, which may raise `Elsewhere`; None where some of it is the library's."""
    try:
        return as_condition(_Maker(checked, literal_of).piece(checked.tree))
    except Elsewhere:
        return None


class _Maker:
    """One walk over the tree."""

    def __init__(self, checked: Checked, literal_of: LiteralOf) -> None:
        self._checked = checked
        self._literal_of = literal_of

    def piece(self, node: Node) -> Piece:
        """Raises `Elsewhere` for what is none of these."""
        reading = self._checked.places.get((node.start, node.end))
        if reading is None:
            return _BY_KIND.get(node.kind, _Maker.elsewhere)(self, node)
        given = {"has": BOOL, "size": INT}.get(reading.what, reading.type)
        return Piece(reader(reading), given, sure=given.name != "dyn")

    def elsewhere(self, _: Node) -> Piece:
        raise Elsewhere

    def literal(self, node: Node) -> Piece:
        if node.name not in _CONSTANTS:
            raise Elsewhere
        return constant(self._literal_of(self._written(node)), Type(node.name))

    def _written(self, node: Node) -> str:
        return self._checked.source[node.start : node.end]

    def _type(self, node: Node) -> Type:
        return self._checked.types[node.start, node.end]

    def member(self, node: Node) -> Piece:
        """`x.name` and `x["name"]`."""
        holder, name = self.piece(node.parts[0]), node.name
        if node.kind is Kind.INDEX:
            index = self.piece(node.parts[1])
            if not index.is_constant or not isinstance(index.value, str):
                raise Elsewhere
            name = index.value
        return Piece(member(holder.ask, name), self._type(node), sure=False)

    def has(self, node: Node) -> Piece:
        (inner,) = node.parts
        return Piece(has_member(self.piece(inner.parts[0]).ask, inner.name), BOOL)

    def unary(self, node: Node) -> Piece:
        inner = self.piece(node.parts[0])
        if node.name == "!":
            return Piece(opposite(as_condition(inner)), BOOL)
        if not inner.is_constant:
            raise Elsewhere
        return constant(self._literal_of(self._written(node)), inner.type)

    def binary(self, node: Node) -> Piece:
        sign = node.name
        if sign == "in":
            return Piece(self._contained(*node.parts), BOOL)
        left, right = (self.piece(part) for part in node.parts)
        if sign in ("&&", "||"):
            together = both if sign == "&&" else either
            return Piece(together(as_condition(left), as_condition(right)), BOOL)
        if sign in COMPARED:
            return Piece(comparison(sign, left, right), BOOL)
        return Piece(reckoning(sign, left, right), left.type if left.sure else right.type)

    def _contained(self, item_node: Node, holder_node: Node) -> Read:
        item = self.piece(item_node)
        if holder_node.kind is Kind.LIST:
            parts = [self.piece(part) for part in holder_node.parts]
            kinds = {type(part.value) for part in parts}
            if not all(part.is_constant for part in parts) or kinds not in ({str}, {int}):
                raise Elsewhere
            return among(of_class(item, kinds.pop()), frozenset(part.value for part in parts))
        holder = self.piece(holder_node)
        if not holder.sure or (holder.type.name != "map" and holder.type != Type("list", STRING)):
            raise Elsewhere
        return inside(of_class(item, str), holder.ask)

    def called(self, node: Node) -> Piece:
        pieces = [self.piece(part) for part in node.parts]
        if node.name == "size" and pieces[0].sure and pieces[0].type.name in ("string", "list", "map"):
            return Piece(size(pieces[0]), INT)
        if node.kind is Kind.METHOD and node.name in ON_TEXTS:
            left, right = (of_class(piece, str) for piece in pieces)
            return Piece(on_texts(node.name, left, right), BOOL)
        raise Elsewhere

    def choice(self, node: Node) -> Piece:
        condition, yes, no = (self.piece(part) for part in node.parts)
        ask = choice(as_condition(condition), yes.ask, no.ask)
        return Piece(ask, yes.type, sure=yes.sure and no.sure and yes.type == no.type)


_BY_KIND: Final[dict[Kind, Callable[[_Maker, Node], Piece]]] = {
    Kind.LITERAL: _Maker.literal,
    Kind.MEMBER: _Maker.member,
    Kind.INDEX: _Maker.member,
    Kind.HAS: _Maker.has,
    Kind.UNARY: _Maker.unary,
    Kind.BINARY: _Maker.binary,
    Kind.CALL: _Maker.called,
    Kind.METHOD: _Maker.called,
    Kind.CHOICE: _Maker.choice,
}
