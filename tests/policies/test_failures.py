from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.failures import (
    BY_KIND,
    Remedy,
    blames_credential,
    blames_request,
    named_wait_s,
    refused_capabilities,
    remedy,
)
from policies.route_rules import Capability
from policies.vocabulary import Failure, FailureKind

failures = st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    status=st.none() | st.integers(100, 599),
    code=st.none()
    | st.sampled_from(["content_filter", "context_length_exceeded", "insufficient_quota", "odd", "invalid_api_key"]),
    retry_after_s=st.none() | st.floats(),
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Remedy.NEVER),
        (401, Remedy.LEAVE),
        (403, Remedy.LEAVE),
        (404, Remedy.DECLARED),
        (405, Remedy.NEVER),
        (408, Remedy.AGAIN),
        (413, Remedy.NEVER),
        (422, Remedy.NEVER),
        (429, Remedy.AGAIN),
        (500, Remedy.AGAIN),
        (502, Remedy.AGAIN),
        (503, Remedy.AGAIN),
        (504, Remedy.AGAIN),
        (520, Remedy.MOVE),
        (529, Remedy.AGAIN),
        (302, Remedy.LEAVE),
        (None, Remedy.LEAVE),
    ],
)
def test_status_decides(status: int | None, expected: Remedy) -> None:
    assert remedy(Failure(FailureKind.STATUS, status=status)) is expected


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("content_filter", 500, Remedy.CONTENT),
        ("content_policy_violation", 400, Remedy.CONTENT),
        ("context_length_exceeded", 400, Remedy.CONTEXT),
        ("insufficient_quota", 429, Remedy.LEAVE),
        ("enforced_spend_limit_reached", 429, Remedy.LEAVE),
        ("rate_limit_exceeded", 429, Remedy.AGAIN),
    ],
)
def test_code_comes_before_status(code: str, status: int, expected: Remedy) -> None:
    assert remedy(Failure(FailureKind.STATUS, status=status, code=code)) is expected


def test_quota_with_a_named_wait_is_a_rate_limit() -> None:
    failure = Failure(FailureKind.STATUS, status=429, code="insufficient_quota", retry_after_s=2.0)
    assert remedy(failure) is Remedy.AGAIN
    assert not blames_credential(failure)


def test_every_kind_has_a_rule() -> None:
    assert set(BY_KIND) == set(FailureKind)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (None, None, Remedy.MOVE),
        (200, None, Remedy.MOVE),
        (429, None, Remedy.AGAIN),
        (None, "overloaded_error", Remedy.AGAIN),
        (None, "invalid_request_error", Remedy.NEVER),
        (None, "authentication_error", Remedy.LEAVE),
        (503, "invalid_request_error", Remedy.AGAIN),
    ],
)
def test_error_inside_a_stream_is_judged_by_its_status_else_by_its_word(
    status: int | None, code: str | None, expected: Remedy
) -> None:
    assert remedy(Failure(FailureKind.IN_BAND, status=status, code=code)) is expected


def test_a_word_does_not_overrule_a_status_that_was_given() -> None:
    """OpenAI says `invalid_request_error` under 401 when no key was sent."""
    failure = Failure(FailureKind.STATUS, status=401, code="invalid_request_error")
    assert remedy(failure) is Remedy.LEAVE
    assert blames_credential(failure)


@pytest.mark.parametrize(("code", "blamed"), [(None, False), ("moderation", False), ("invalid_api_key", True)])
def test_a_403_blames_the_credential_only_where_it_says_so(code: str | None, *, blamed: bool) -> None:
    failure = Failure(FailureKind.STATUS, status=403, code=code)
    assert remedy(failure) is Remedy.LEAVE
    assert blames_credential(failure) is blamed


def test_a_stray_status_does_not_override_the_kind() -> None:
    assert remedy(Failure(FailureKind.CONNECT, status=400)) is Remedy.AGAIN
    assert not blames_request(Failure(FailureKind.TRUNCATED, status=400))


@given(failures)
def test_blame_falls_on_one_side_only(failure: Failure) -> None:
    assert not (blames_request(failure) and blames_credential(failure))
    if remedy(failure) is Remedy.AGAIN:
        assert not blames_request(failure)


@given(failures)
def test_named_wait_is_a_sane_number(failure: Failure) -> None:
    wait_s = named_wait_s(failure)
    assert wait_s >= 0
    assert not math.isnan(wait_s)


@pytest.mark.parametrize(
    ("status", "message", "param", "lacks"),
    [
        (400, "registry/llama does not support tools", None, {"tools"}),
        (404, "No endpoints found that support tool use.", None, {"tools"}),
        (404, "No endpoints found that support image input", None, {"images"}),
        (400, '"auto" tool choice requires --enable-auto-tool-choice to be set', None, {"tools"}),
        (400, "Unsupported parameter: not available with this model.", "logprobs", {"logprobs"}),
        (422, "Unrecognized request argument supplied", "tools[0].function", {"tools"}),
        (400, "'response_format' of type 'json_schema' is not supported", None, {"json_mode", "json_schema"}),
        (400, "Only one completion is supported, got `n` = 2", None, {"n"}),
        (400, "Invalid schema for function 'f' in tools", "tools[0].function.parameters", set()),
        (400, "This model does not exist", None, set()),
        (500, "tools are not supported", None, set()),
        (429, "tools are not supported", None, set()),
    ],
)
def test_a_refusal_names_what_the_model_lacks(status: int, message: str, param: str | None, lacks: set[str]) -> None:
    failure = Failure(FailureKind.STATUS, message, status, param=param)
    assert refused_capabilities(failure) == {Capability(name) for name in lacks}


def test_what_is_too_long_is_no_lack_of_a_capability() -> None:
    message = "The tools are not supported in so long a context"
    failure = Failure(FailureKind.STATUS, message, 400, "context_length_exceeded")
    assert refused_capabilities(failure) == frozenset()
