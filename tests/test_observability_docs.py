"""What the pages on traces, metrics, logs, boards and costs show is so: sums, commands, policies, links."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from gateway.__main__ import parser
from gateway.config import examine_text
from gateway.config.problems import Severity
from gateway.signals import conventions
from gateway.signals.catalogue import FAMILIES
from gateway.signals.profiles import PROFILES
from policies.pricing import UnpricedReason
from policies.redaction import redact
from policies.route_rules import Content
from policies.tariffs import PriceSource
from tests.gateway_process import ROOT, gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, forever, request, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer, Step

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
COST = (DOCS / "cost.md").read_text()
TRACING = (DOCS / "tracing.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
OURS = ("chargeback.md", "cost.md", "live.md", "observability.md", "tracing.md")
"""Pages whose commands and policies no other test reads."""
CI_KEY = "sk-a-key-for-tests-only-0123456789"
ADMIN_TOKEN = "a-token-for-tests-of-twenty"
SECRETS = {"CI_KEY": CI_KEY, "POINTSMAN_ADMIN_TOKEN": ADMIN_TOKEN}
REST = """
providers: {up: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none}}
deployments: {small: {provider: up, model: m, price: {input: 1, output: 1}}}
routes: [{model: small, targets: [small]}]
"""


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def commands_of(text: str) -> list[list[str]]:
    """Each `pointsman ...` of the page's blocks, as words; what it is piped into is another matter."""
    found = []
    for language in ("console", "sh", ""):
        for block in blocks(text, language):
            lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
            typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] or lines
            found += [line for line in typed if line.startswith("pointsman ")]
    return [shlex.split(re.split(r" [|>] |  #", line)[0], comments=True) for line in found]


COMMANDS = [(page, words) for page in (*OURS, "README.md") for words in commands_of(PAGES.get(page, README))]
POLICIES = [(page, text) for page in OURS for text in blocks(PAGES.get(page, ""), "yaml")]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{page} {' '.join(words)}" for page, words in COMMANDS])
def test_each_command_is_one(page: str, words: list[str]) -> None:
    assert parser().parse_args(words[1:]).run is not None, page


@pytest.mark.parametrize(("page", "text"), POLICIES, ids=[f"{page} {at}" for at, (page, _) in enumerate(POLICIES)])
def test_each_policy_passes_the_checks(page: str, text: str, tmp_path: Path) -> None:
    said = yaml.safe_load(text)
    rest = {name: value for name, value in yaml.safe_load(REST).items() if name not in said}
    if "providers" in said and "deployments" not in said:
        rest["deployments"] = {
            "small": {"provider": next(iter(said["providers"])), "model": "m", "price": {"input": 1}}
        }
    environ = {name: f"made-up-{name.lower()}-0123456789" for name in re.findall(r"\$\{env:(\w+)\}", text)}
    whole = f"{text}\n{yaml.safe_dump(rest) if rest else ''}"
    config, problems = examine_text(whole, tmp_path / "policy.yaml", environ)
    assert config is not None, (page, problems)
    assert [problem for problem in problems if problem.severity is Severity.ERROR] == []


def test_nothing_was_lost_on_the_way_here() -> None:
    assert {words[1] for _, words in COMMANDS} >= {"top", "tail", "trace", "usage"}
    assert {page for page, _ in POLICIES} == {"chargeback.md", "cost.md", "observability.md", "tracing.md"}


# --- the worked example ---


class Provider:
    """Answers with the usage that a test says next."""

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}

    def step(self) -> Step:
        async def answers(peer: Peer) -> None:
            await request()(peer)
            told = {"index": 0, "message": {"role": "assistant", "content": "Hello there."}, "finish_reason": "stop"}
            await send(answer(json.dumps({"id": "1", "model": "large-2", "choices": [told], **self.members}).encode()))(
                peer
            )

        return answers


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[GatewayProcess, Provider]]:
    """A gateway with the policy of docs/cost.md, before a provider that says what its pages say."""
    provider = Provider()
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(provider.step()))
        policy = yaml.safe_load(blocks(COST, "yaml")[0])
        policy["providers"]["acme"]["base_url"] = f"{upstream.url}/v1"
        async with gateway_process(policy, tmp_path, SECRETS) as gateway:
            yield gateway, provider


def steps(text: str) -> list[tuple[str, str]]:
    """Each command of the page's consoles with what it writes."""
    found = []
    for block in blocks(text, "console"):
        for one in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            command, _, written = one.partition("\n")
            found.append((command, written))
    return found


async def written_by(command: str, gateway: GatewayProcess) -> str:
    ours = f'pointsman() {{ "{sys.executable}" -m gateway "$@"; }}\n'
    for advertised, port in (("127.0.0.1:8080", gateway.port), ("127.0.0.1:8081", gateway.admin_port)):
        command = command.replace(advertised, f"127.0.0.1:{port}")
    if "pointsman trace" in command:  # the policy of this test leaves the port to the system
        command = command.replace("--config policy.yaml", f"--url http://127.0.0.1:{gateway.admin_port}")
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", ours + command,
        cwd=gateway.folder, env=environ | SECRETS | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return (out + err).decode().replace("\r", "")


async def test_the_worked_example_is_what_a_gateway_says(served: tuple[GatewayProcess, Provider]) -> None:
    gateway, provider = served
    provider.members = {"usage": json.loads(blocks(COST, "json")[0])}
    shown = steps(COST)
    assert len(shown) == 4

    for command, written in shown:
        assert (command, await written_by(command, gateway)) == (command, written)
        await gateway.rows(1)


def other_answers() -> list[tuple[str, str]]:
    section = COST.partition("The same deployment, with other answers:")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", section, re.MULTILINE)
    return [(told, amount) for told, amount in rows if not told.startswith(("the answer", "---"))]


async def test_other_answers_cost_what_the_page_says(served: tuple[GatewayProcess, Provider]) -> None:
    gateway, provider = served
    answers = other_answers()
    assert len(answers) == 6

    for at, (told, amount) in enumerate(answers, 1):
        members = [json.loads(one if one.startswith("{") else f"{{{one}}}") for one in re.findall("`([^`]+)`", told)]
        provider.members = {"usage": members[0], **(members[1] if len(members) > 1 else {})} if members else {}
        body = {"model": "large", "messages": [{"role": "user", "content": f"hello {at}"}]}
        head = (await gateway.ask(post("/v1/chat/completions", body, key=CI_KEY))).partition(b"\r\n\r\n")[0].decode()
        header = re.search(r"^x-pointsman-cost-usd: (\S+)", head, re.MULTILINE)
        assert head.startswith("HTTP/1.1 200"), head
        assert ("absent" if header is None else header[1]) == amount, told
    rows = await gateway.rows(len(answers))
    assert [row["unpriced_reason"] for row in rows if row["cost_nanousd"] is None] == ["no_service_rate"]
    assert rows[-1]["estimated"]


@pytest.mark.parametrize("source", PriceSource)
def test_each_source_is_told(source: PriceSource) -> None:
    assert f"| `{source}` |" in COST


def test_buckets_have_no_rate_where_the_page_says_so() -> None:
    """Each reason for having no price is a rate that the table says has no other in its place."""
    section = COST.partition("## Buckets and rates")[2].partition("\n## ")[0]
    unpriced = set(re.findall(r"`(\w+)`(?:, in USD)? \| unpriced \|$", section, re.MULTILINE))
    assert unpriced == {
        "input", "input_audio", "cache_write", "cache_write_1h", "output", "output_audio", "output_image", "search",
    }  # fmt: skip
    assert len(UnpricedReason) == 8, "a new reason wants a word on the page"


# --- what traces show ---


def test_every_profile_is_told_of_and_no_other() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:nothing|`)", TRACING, re.MULTILINE)) - set(Content) == set(PROFILES)


def test_every_level_of_content_is_told_of_with_what_it_shows() -> None:
    shown = dict(re.findall(r"^\| `(none|hash|redacted|full)` \| `?([^|`]+)`? \|$", TRACING, re.MULTILINE))
    assert set(shown) == set(Content)
    said = "mail jane@example.org, key sk-abcdefghijklmnop, password: hunter22, I am Jane Smith"
    assert redact(said) == shown["redacted"]


def test_each_attribute_of_ours_is_one() -> None:
    told = re.sub(r"(pointsman\.[\w.]+)\.\{([\w,]+)\}", spelt_out, TRACING)
    named = {name.rstrip(".") for name in re.findall(r"\bpointsman\.[a-z_.]+", told)}
    shapes = (vars(conventions), vars(conventions.Attr), vars(conventions.Mark), vars(conventions.Happened))
    known = {value for shape in shapes for value in shape.values() if isinstance(value, str)}
    assert len(named) > 20
    assert [name for name in sorted(named) if not any(one == name or one.startswith(f"{name}.") for one in known)] == []


def spelt_out(found: re.Match[str]) -> str:
    """`a.{b,c}` as `a.b a.c`."""
    return " ".join(f"{found[1]}.{one}" for one in found[2].split(","))


# --- what pages point at ---


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", *(f"docs/{name}" for name in PAGES)])
def test_what_a_page_points_at_is_there(page: str) -> None:
    path = ROOT / page
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        file = path.parent / target if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file.read_text())):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", [*OURS, "dashboards.md", "prices.md", "logs.md", "runbook.md"])
def test_each_metric_that_a_page_names_is_one(page: str) -> None:
    ends = ("", "_bucket", "_sum", "_count")
    known = {f"{name}{end}" for name in FAMILIES for end in ends}
    named = {name.rstrip("_") for name in re.findall(r"\bpointsman_[a-z_]+", PAGES.get(page, ""))}
    assert [name for name in named - known if not any(one.startswith(name) for one in known)] == []
