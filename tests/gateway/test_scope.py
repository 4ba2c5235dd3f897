import logging

import pytest

from gateway.scope import Scope


def test_exits_run_once_last_taken_first() -> None:
    scope, seen = Scope(), []
    scope.defer(lambda: seen.append("first"))
    scope.defer(lambda: seen.append("second"))
    scope.close()
    scope.close()
    assert seen == ["second", "first"]


def test_an_exit_deferred_after_closing_runs_at_once() -> None:
    scope, seen = Scope(), []
    scope.close()
    scope.defer(lambda: seen.append("late"))
    assert seen == ["late"]


def test_an_exit_that_raises_is_logged_and_the_others_still_run(caplog: pytest.LogCaptureFixture) -> None:
    scope, seen = Scope(), []
    scope.defer(lambda: seen.append("given back"))
    scope.defer(lambda: 1 / 0)
    with caplog.at_level(logging.ERROR):
        scope.close()
    assert seen == ["given back"]
    assert "an exit failed" in caplog.text
