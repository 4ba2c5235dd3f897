from __future__ import annotations

import pytest

from gateway.config.cel_check import check
from gateway.config.cel_names import PRINCIPAL, REQUEST
from gateway.config.cel_syntax import CelError


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("principal.team == 'free'", "_pm_value_principal_team == 'free'"),
        ("has(request.tools)", "_pm_has_request_tools"),
        ("size(request.tools) == 0", "_pm_size_request_tools == 0"),
        ("request.tools.size() == 0", "_pm_size_request_tools == 0"),
        ("size(request.user) > 1", "size(_pm_value_request_user) > 1"),
        ("size(request.input) > 1", "size(_pm_value_request_input) > 1"),
        ("request['user'] == request . user", "_pm_value_request_user == _pm_value_request_user"),
        ("(request).stream", "_pm_value_request_stream"),
        ("has(request.metadata.tier)", "has(_pm_value_request_metadata.tier)"),
        ("request.metadata['a'] == 'x'", "_pm_value_request_metadata['a'] == 'x'"),
        (
            "principal.tags.exists(t, t == request.user)",
            "_pm_value_principal_tags.exists(t, t == _pm_value_request_user)",
        ),
        ("'request.user' == 'x'", "'request.user' == 'x'"),
    ],
)
def test_what_is_read_becomes_a_variable(text: str, rewritten: str) -> None:
    assert check(text).text == rewritten


def test_what_is_read_is_known_once() -> None:
    readings = check("request.user == 'a' || request.user == 'b' || has(request.user)").readings
    assert [reading.variable for reading in readings] == ["_pm_value_request_user", "_pm_has_request_user"]


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("request.tols == []", "request.tols is in no endpoint's body (did you mean 'tools'?)"),
        ("request.vendor_extension == 1", ""),
        ("request.model == 'x'", ""),
    ],
)
def test_an_unknown_member_that_is_near_a_known_one_is_doubted(text: str, doubt: str) -> None:
    assert check(text).doubt == doubt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user == 'x'", "there is no 'user' (did you mean 'request.user' or 'principal.user'?)"),
        ("usr == 'x'", "there is no 'usr': only request, principal and now"),
        ("principal.tem == 'x'", "principal has no 'tem' (did you mean 'team'?)"),
        ("principal.zebra == 'x'", f"principal has no 'zebra': it has {', '.join(PRINCIPAL)}"),
        ("has(principal.zebra)", f"principal has no 'zebra': it has {', '.join(PRINCIPAL)}"),
        ("size(request) > 1", "request is no value by itself: write request.NAME"),
        ("'tools' in request", "request is no value by itself: write request.NAME"),
        ("request[request.user] == 1", "a member of request or principal is named in the policy, such as request.user"),
        ("request['a b'] == 1", "a member of request or principal is named in the policy, such as request.user"),
        ("request.model", "must say yes or no, but gives string"),
        ("[true]", "must say yes or no, but gives list of bool"),
        ("request.stream && request.max_tokens", "'&&' takes conditions, but one side gives int"),
        ("false || 'x'", "'||' takes conditions, but one side gives string"),
        ("!request.n", "'!' takes conditions, but one side gives int"),
        ("request.n ? true : false", "'?' takes conditions, but one side gives int"),
        ("(request.stream ? 1 : 'a') == 1", "gives int or string after ?, which should be of one type"),
        ("-request.user == 1", "-string means nothing"),
        ("request.user.name == 'x'", "asks string for its member 'name', but only maps have members"),
        ("request.user[0] == 'x'", "looks with [ ] into string; only lists and maps have items"),
        ("request.tools['a'] == 'x'", "counts the items of a list by string"),
        ("request.user.all(x, true)", "all() goes over a list or a map, not over string"),
        ("request.tools.all(x, 1)", "the condition of all() must say yes or no, but gives int"),
        ("request.tools.map(x, 1, x) == []", "the condition of map() must say yes or no, but gives int"),
        ("request.tools.all(request, true)", "all() must call its items something other than 'request'"),
        ("request.tools.all(_pm_x, true)", "all() must call its items something other than '_pm_x'"),
        ("request.tools.all(x, x == 1) && x == 1", "there is no 'x': only request, principal and now"),
        ("request.model.matches(request.user)", "matches() takes a pattern that stands here, in quotes"),
        ("request.model.matches('a' + request.user)", "matches() takes a pattern that stands here, in quotes"),
    ],
)
def test_what_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        check(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("member", sorted(REQUEST))
def test_members_of_the_body_have_types_that_empty_values_stand_in_for(member: str) -> None:
    reading = check(f"request.{member} == request.{member}").readings[0]
    assert (reading.root, reading.member, reading.type) == ("request", member, REQUEST[member])


def test_macros_know_their_items() -> None:
    for text in (
        "request.tools.filter(t, t.type == 'function').size() > 1",
        "principal.tags.map(t, t + 'x') == ['ax']",
        "request.metadata.exists(key, key.startsWith('x'))",
        "request.foo.exists_one(x, x.all(y, y))",
    ):
        assert check(text).text.startswith("_pm_value_")
    with pytest.raises(CelError, match="compares string with int"):
        check("principal.tags.all(t, t == 1)")


def test_a_loop_in_a_loop_stays_within_its_items() -> None:
    check("request.messages.exists(m, m.tool_calls.exists(t, t.id == 'x'))")
    with pytest.raises(CelError, match=r"^all\(\) inside another may go over that one's items only"):
        check("request.messages.all(m, request.messages.all(n, n.role == m.role))")


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("request.headers['X-Tier'] == 'a'", "_pm_value_header_x_2d_tier == 'a'"),
        ("request['headers'].tier == 'a'", "_pm_value_header_tier == 'a'"),
        ("'x-tier' in request.headers", "_pm_has_header_x_2d_tier"),
        ("has(request.headers.tier)", "_pm_has_header_tier"),
        ("size(request.headers['tier']) > 1", "size(_pm_value_header_tier) > 1"),
        ("now.getHours() < 8", "_pm_value_now_getHours_20_UTC < 8"),
        ("now.getHours('Europe/Berlin') < 8", "_pm_value_now_getHours_20_Europe_2f_Berlin < 8"),
        (
            "now - timestamp('2026-01-01T00:00:00Z') > duration('1h')",
            "_pm_value_now_ - timestamp('2026-01-01T00:00:00Z') > duration('1h')",
        ),
    ],
)
def test_headers_and_the_time_become_variables_too(text: str, rewritten: str) -> None:
    assert check(text, {"x-tier", "tier"}).text == rewritten


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "request.headers['x-tir'] == 'a'",
            "the header 'x-tir' is not among server.when_headers, which conditions may read (did you mean 'x-tier'?)",
        ),
        (
            "'cookie' in request.headers",
            "the header 'cookie' is not among server.when_headers, which conditions may read",
        ),
        ("request.headers[request.user] == 'a'", "a header is named in the policy, such as request.headers['x-tier']"),
        ("request.user in request.headers", "a header is named in the policy, such as request.headers['x-tier']"),
        ("size(request.headers) > 1", "request.headers is read by name, such as request.headers['x-tier']"),
        ("request.headers.exists(h, true)", "request.headers is read by name, such as request.headers['x-tier']"),
        ("request.headers['x-tier'] > 1", "string > int means nothing"),
        (
            "now.getHours('Mars/Base') < 8",
            "there is no time zone 'Mars/Base' on this machine; write it as Europe/Berlin",
        ),
        (
            "now.getHours('../../etc/passwd') < 8",
            "there is no time zone '../../etc/passwd' on this machine; write it as Europe/Berlin",
        ),
        (
            "now.getHours(request.user) < 8",
            "getHours() takes a time zone in quotes, such as now.getHours('Europe/Berlin')",
        ),
        (
            "now.getHours('UTC', 'UTC') < 8",
            "getHours() takes a time zone in quotes, such as now.getHours('Europe/Berlin')",
        ),
        ("now.getHours() == 'a'", "compares int with string, which are never the same"),
        ("now > 5", "timestamp > int means nothing"),
        ("now", "must say yes or no, but gives timestamp"),
        ("principal.tags.exists(now, true)", "exists() must call its items something other than 'now'"),
        ("request.tokens == 'a'", "compares int with string, which are never the same"),
        ("principal.priority > 1", "string > int means nothing"),
    ],
)
def test_what_cannot_be_read_of_headers_and_the_time_is_refused(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        check(text, {"x-tier"})
    assert str(caught.value) == message


def test_any_header_may_be_read_where_that_was_checked_before() -> None:
    assert check("request.headers['cookie'] == ''", None).readings[0].member == "cookie"
