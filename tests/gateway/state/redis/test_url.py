from __future__ import annotations

import pytest

from gateway.state.redis.url import RedisUrl, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", RedisUrl("redis", (("cache", 6379),), "", "", {}, {}, tls=False)),
        (
            "redis://me:p%40ss@[::1]:7000/3?client_name=pm",
            RedisUrl(
                "redis",
                (("::1", 7000),),
                "",
                "",
                {"username": "me", "password": "p@ss", "client_name": "pm", "db": 3},
                {},
                tls=False,
            ),
        ),
        (
            "rediss://:secret@cache?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
            RedisUrl(
                "rediss",
                (("cache", 6379),),
                "",
                "",
                {"password": "secret", "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
                {},
                tls=True,
            ),
        ),
        ("unix:///run/redis.sock", RedisUrl("unix", (), "/run/redis.sock", "", {}, {}, tls=False)),
        (
            "redis+sentinel://a,b:26380/main/2?sentinel_password=x&tls=true",
            RedisUrl(
                "redis+sentinel", (("a", 26379), ("b", 26380)), "", "main", {"db": 2}, {"password": "x"}, tls=True
            ),
        ),
        (
            "redis+cluster://u:p@a:1,b:2",
            RedisUrl("redis+cluster", (("a", 1), ("b", 2)), "", "", {"username": "u", "password": "p"}, {}, tls=False),
        ),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: RedisUrl) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://cache", "begins with one of redis://"),
        ("redis://:hunter2@", "names a host"),
        ("redis://a,b", "names one server"),
        ("redis://:hunter2@a:port", "has a port that is none"),
        ("redis://:hunter2@a/zero", "a number, not 'zero'"),
        ("redis://a?socket_timeout=1", "knows no 'socket_timeout'"),
        ("redis://a?tls=maybe", "tls in a Redis URL is true or false"),
        ("redis+sentinel://a:1", "ends with the name"),
        ("redis+cluster://a/1", "database 0 only"),
        ("redis://a?sentinel_password=x", "knows no 'sentinel_password'"),
        ("unix://", "names a socket"),
    ],
)
def test_nonsense_is_refused_without_repeating_a_password(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        parse(url)
    assert "hunter2" not in str(refused.value)
