"""Secrets: nothing but `reveal` gives the value out."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING

import msgspec
import pytest
from pydantic import BaseModel, ValidationError

from gateway.secret import MASK, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE = "sk-canary-0123456789"


class Holder(BaseModel):
    key: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>40}".format,
        "{!r}".format,
        lambda secret: f"{secret}{secret!s}{secret:x}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - that is what is tested
        lambda secret: repr([secret, {"key": secret}]),
        lambda secret: json.dumps(secret, default=str),
        lambda secret: repr(copy.copy(secret)) + repr(copy.deepcopy({"key": secret})),
        lambda secret: repr(Holder(key=secret)),
        lambda secret: Holder(key=secret).model_dump_json(),
        lambda secret: str(Holder(key=secret).model_dump()),
        lambda secret: logging.LogRecord("x", 20, "f", 1, "key %s", (secret,), None).getMessage(),
    ],
)
def test_whatever_shows_it_shows_the_mask(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(VALUE))
    assert VALUE not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "take",
    [
        json.dumps,
        msgspec.json.encode,
        *(lambda secret, protocol=protocol: pickle.dumps(secret, protocol) for protocol in range(6)),
        vars,
        lambda secret: secret.__getstate__(),
        lambda secret: setattr(secret, "_value", "other"),
        lambda secret: delattr(secret, "_value"),
        len,
        lambda secret: secret + "",
    ],
)
def test_what_would_take_it_apart_fails_without_telling(take: Callable[[Secret], object]) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        take(Secret(VALUE))
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_reveal_gives_the_value() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_secrets_compare_by_value_with_each_other_only() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert len({Secret(VALUE), Secret(VALUE), Secret("ü")}) == 2
    assert Secret(VALUE) != Secret("ü")
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize("value", [VALUE, Secret(VALUE)])
def test_a_model_takes_a_text_or_a_secret(value: object) -> None:
    assert Holder.model_validate({"key": value}).key.reveal() == VALUE


@pytest.mark.parametrize("value", ["", 5, None, [VALUE]])
def test_a_model_refuses_what_is_no_text(value: object) -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate({"key": value})
