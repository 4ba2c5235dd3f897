"""The whole way from a file to a policy, or to all that is wrong with it."""

from __future__ import annotations

import os
import re
import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigProblems, Severity, examine, examine_text, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = """\
providers:
  openai: {kind: openai, api_key: "${env:KEY}"}
deployments:
  gpt: {provider: openai, model: gpt-4o}
routes:
  - {model: smart, targets: [gpt]}
"""

BAD = """\
version: 2
server: {listen: "0.0.0.0:80", drain: 5, tls: {crt: a}}
ledger: {url: "postgresql://u:hunter2@h/d"}
providers:
  openai: {kind: openai, api_key: "${env:NOPE}", base_ur: x}
  openai: {kind: openai}
deployments:
  gpt: {provider: opena, model: gpt-4o}
routes:
  - model: smart
    cache: {semantik: {}}
    targets: [gpt, gtp, {deployment: gpt, weight: x}]
limits: [{per: key}]
keys:
  - {name: a, secret: short, routes: [smrt]}
"""

PLAIN = "warning: is a secret in plain text; a reference such as ${env:NAME} keeps it out of the file"
NOTHING = "limits nothing: give one or more of requests, tokens, input_tokens, output_tokens, concurrent, cost"
FOUND = f"""\
p.yaml:1: version: must be 1
p.yaml:2: server.drain: must be a duration such as 250ms, 5s, 2m or 1h
p.yaml:2: server.tls.cert: is missing
p.yaml:2: server.tls.key: is missing
p.yaml:2: server.tls.crt: unknown key 'crt' (did you mean 'cert'?)
p.yaml:3: ledger.url: {PLAIN}
p.yaml:5: providers.openai.api_key: environment variable NOPE is not set
p.yaml:5: providers.openai.base_ur: unknown key 'base_ur' (did you mean 'base_url'?)
p.yaml:6: providers.openai: is set twice, first on line 5
p.yaml:8: deployments.gpt.provider: there is no provider 'opena' (did you mean 'openai'?)
p.yaml:11: routes[0].cache.semantik: unknown key 'semantik' (did you mean 'semantic'?)
p.yaml:12: routes[0].targets[2].weight: must be a whole number
p.yaml:12: routes[0].targets[1]: there is no deployment or route 'gtp' (did you mean 'gpt'?)
p.yaml:12: routes[0].targets[2].deployment: is the same deployment as routes[0].targets[0]
p.yaml:13: limits[0]: {NOTHING}
p.yaml:15: keys[0].secret: must have 20 to 512 characters (`pointsman keys generate` makes one)
p.yaml:15: keys[0].routes[0]: there is no route 'smrt' (did you mean 'smart'?)
p.yaml:15: keys[0].secret: {PLAIN}
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], Path]:
    """Writes a policy file into an own folder, which is also the working one."""
    monkeypatch.chdir(tmp_path)

    def write(content: str | bytes) -> Path:
        path = tmp_path / "p.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.relative_to(tmp_path)

    return write


def test_a_good_file_becomes_a_policy(policy: Callable[[str], Path], tmp_path: Path) -> None:
    config = load(policy("\ufeff" + GOOD), {"KEY": "sk-x"})
    assert config.routes[0].targets[0].deployment == "gpt"
    assert config.ledger.path == tmp_path / "pointsman.db"


def test_all_problems_come_in_one_run_in_the_order_of_the_file(policy: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load(policy(BAD), {})
    lines = str(caught.value).splitlines()
    assert lines == FOUND.splitlines()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_warnings_leave_a_policy_usable(policy: Callable[[str], Path]) -> None:
    config, problems = examine(policy(GOOD + "  - {model: b, targets: [gpt]}\n" + "keys: []\n"), {"KEY": "sk-x"})
    assert (config is not None, problems) == (True, ())
    config, problems = examine(policy(GOOD.replace('"${env:KEY}"', "sk-plain")), {})
    assert config is not None
    assert [problem.severity for problem in problems] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfea", "p.yaml:1: is not UTF-8 text"),
        (b"", "p.yaml:1: is empty"),
        (b"- a\n", "p.yaml:1: must be a mapping: providers, deployments, routes, ..."),
        (b"just text\n", "p.yaml:1: must be a mapping: providers, deployments, routes, ..."),
        (b"a: 1\n b: 2\n", "p.yaml:2: is not YAML: mapping values are not allowed in this context"),
        (b"#" * (2 << 20), "p.yaml:1: is larger than 1 MiB"),
    ],
)
def test_what_is_no_policy_at_all_has_one_problem(
    content: bytes, problem: str, policy: Callable[[bytes], Path]
) -> None:
    config, problems = examine(policy(content), {})
    assert (config, [str(found) for found in problems]) == (None, [problem])


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "nope.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        config, problems = examine(path, {})
        assert (config, [str(found) for found in problems]) == (None, [f"{path}:1: cannot be read: {why}"])


def test_names_in_a_file_cannot_forge_lines(policy: Callable[[str], Path]) -> None:
    _, problems = examine(policy(GOOD + '"x\\np.yaml:1: all is well\\e[2K": 1\n'), {"KEY": "k"})
    (problem,) = problems
    assert "\n" not in str(problem)
    assert "\x1b" not in str(problem)


CANARY = "canary-5ecret-v4lue-0123456789"


def scalars() -> list[tuple[int, int]]:
    """Where scalars stand in the annotated policy file."""
    return [found.span() for found in re.finditer(r"(?<=[:\[] )\"?[\w$./:{}*-]+\"?(?=[,}\]\n])", BAD)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    span=st.sampled_from(scalars()),
    form=st.sampled_from(["{}", "{}\\r\\n", "{} {}", "sk-pm-{}", "http://u:{}@h", "postgresql://{}"]),
)
def test_no_message_holds_what_a_reference_holds(span: tuple[int, int], form: str, tmp_path: Path) -> None:
    """A secret may be referred to from anywhere, wrongly too."""
    text = BAD[: span[0]] + '"${env:CANARY}"' + BAD[span[1] :]
    value = form.format(CANARY, CANARY).encode().decode("unicode_escape")
    _, problems = examine_text(text, tmp_path / "p.yaml", {"CANARY": value})
    assert problems
    assert CANARY not in "".join(str(problem) for problem in problems)


def test_the_traceback_of_a_bad_file_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(GOOD.replace("smart", "[]").replace("gpt-4o", "${env:KEY}"))
    with pytest.raises(ConfigProblems) as caught:
        load(tmp_path / "p.yaml", {"KEY": f"{CANARY} x"})
    assert CANARY not in "".join(traceback.format_exception(caught.value, chain=True))


def test_a_policy_may_come_through_a_pipe() -> None:
    read, write = os.pipe()
    os.write(write, GOOD.encode())
    os.close(write)
    try:
        from pathlib import Path  # noqa: PLC0415 - a name for types elsewhere in this file

        config, _ = examine(Path(f"/dev/fd/{read}"), {"KEY": "k"})
    finally:
        os.close(read)
    assert config is not None
