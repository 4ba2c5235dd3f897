"""The stack of deploy/observability and Grafana's provisioning, as far as they can be checked without containers."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dashboards.alerting.grafana import PROMETHEUS_UID
from dashboards.building.values import Source
from dashboards.linting.logql import STREAM_LABELS
from dashboards.write import HERE
from gateway.__main__ import main

STACK = HERE.parent / "deploy" / "observability"
PROVISIONING = HERE / "provisioning"
SCHEMA = HERE.parent / "tests" / "grafana" / "node_modules" / "dclint" / "schemas" / "compose.schema.json"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus has promtool")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


COMPOSE = read(STACK / "compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COLLECTOR = read(STACK / "collector.yaml")
DATASOURCES = read(PROVISIONING / "datasources" / "pointsman.yml")["datasources"]


@pytest.mark.skipif(not SCHEMA.is_file(), reason="`make test` installs the schema")
def test_the_compose_file_is_as_its_specification_says() -> None:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert list(validator.iter_errors({"services": {"gateway": {"imgae": "x"}}})) != []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_and_heard_on_loopback_only(name: str) -> None:
    service = SERVICES[name]
    image = service["image"]
    assert "build" in service or re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image), image
    for port in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port
    assert "privileged" not in service
    assert all("docker.sock" not in mount for mount in service.get("volumes", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_is_there(name: str) -> None:
    for mount in SERVICES[name].get("volumes", ()):
        source, *_ = mount.split(":")
        if source.startswith("."):
            assert (STACK / source).exists(), mount
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    for secret in SERVICES[name].get("secrets", ()):
        assert COMPOSE["secrets"][secret]["file"] == f"./secrets/{secret}"
    for other in SERVICES[name].get("depends_on", {}):
        needed = SERVICES[name]["depends_on"][other]["condition"]
        assert needed != "service_healthy" or "healthcheck" in SERVICES[other]


def test_secrets_are_files_that_git_ignores() -> None:
    assert "secrets/" in (STACK / ".gitignore").read_text().split()
    texts = [path.read_text() for path in STACK.iterdir() if path.suffix in {".yml", ".yaml"}]
    assert all(not re.search(r"(?i)(password|token|secret)\w*:\s*[\"']?\w{16,}", text) for text in texts)


def test_the_policy_is_one_that_a_gateway_takes(tmp_path: Path) -> None:
    text = (STACK / "pointsman.yaml").read_text()
    for name in re.findall(r"/run/secrets/(\w+)", text):
        assert name in SERVICES["gateway"]["secrets"]
        (tmp_path / name).write_text(f"made-up-{name}-of-thirty-two-characters\n")
    policy = tmp_path / "pointsman.yaml"
    policy.write_text(text.replace("/run/secrets", str(tmp_path)).replace("sqlite:////data", f"sqlite:///{tmp_path}"))
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(["check", str(policy)])
    assert code == 0, said.getvalue()


def test_the_log_goes_where_the_collector_listens() -> None:
    logging = SERVICES["gateway"]["logging"]
    port = logging["options"]["fluentd-address"].rpartition(":")[2]
    assert f"127.0.0.1:{port}:{port}" in SERVICES["collector"]["ports"]
    assert COLLECTOR["receivers"]["fluentforward"]["endpoint"].endswith(f":{port}")


@needs_promtool
@pytest.mark.parametrize("path", [STACK / "prometheus.yml", HERE / "prometheus.yml"], ids=["stack", "alone"])
def test_prometheus_takes_its_configuration(path: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    text = path.read_text().replace("/run/secrets/admin_token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copytree(HERE / "rules", tmp_path / "rules")
    words = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"{len(list((HERE / 'rules').iterdir()))} rule files found" in done.stdout


def test_prometheus_scrapes_what_there_is_by_the_names_of_services() -> None:
    config = read(STACK / "prometheus.yml")
    hosts = {
        target.partition(":")[0] for job in config["scrape_configs"] for target in job["static_configs"][0]["targets"]
    }
    assert hosts - {"127.0.0.1"} <= SERVICES.keys()
    assert config["scrape_configs"][0]["job_name"] == "pointsman"
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    interval = config["global"]["scrape_interval"]
    assert DATASOURCES[0]["jsonData"]["timeInterval"] == interval
    assert read(HERE / "prometheus.yml")["global"]["scrape_interval"] == interval


def test_the_collectors_pipelines_name_parts_that_are_configured() -> None:
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= COLLECTOR[kind].keys()
    used = {
        part for pipeline in COLLECTOR["service"]["pipelines"].values() for parts in pipeline.values() for part in parts
    }
    assert used == {*COLLECTOR["receivers"], *COLLECTOR["processors"], *COLLECTOR["exporters"]}
    assert set(COLLECTOR["service"]["extensions"]) == COLLECTOR["extensions"].keys()


def test_loki_indexes_what_queries_choose_streams_by() -> None:
    (rule,) = read(STACK / "loki.yaml")["limits_config"]["otlp_config"]["resource_attributes"]["attributes_config"]
    assert rule["action"] == "index_label"
    assert set(rule["attributes"]) == STREAM_LABELS
    told = {entry["key"] for entry in COLLECTOR["processors"]["resource/env"]["attributes"]}
    assert told | set(COLLECTOR["processors"]["groupbyattrs/labels"]["keys"]) == STREAM_LABELS


def test_addresses_of_the_stack_agree() -> None:
    ports = {name: {port.rpartition(":")[2] for port in service.get("ports", ())} for name, service in SERVICES.items()}
    policy = read(STACK / "pointsman.yaml")
    told = [source["url"] for source in DATASOURCES] + [policy["telemetry"]["otlp"]["endpoint"]]
    for url in told:
        host, _, port = url.removeprefix("http://").partition(":")
        assert port in ports[host]
    tempo = read(STACK / "tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert COLLECTOR["exporters"]["otlphttp/tempo"]["endpoint"].rpartition(":")[2] == tempo.rpartition(":")[2]
    assert COLLECTOR["exporters"]["otlphttp/loki"]["endpoint"] == f"http://loki:{ports['loki'].copy().pop()}/otlp"


def test_datasources_name_each_other_and_alerts_name_one() -> None:
    uids = {source["uid"]: source["type"] for source in DATASOURCES}
    assert set(uids.values()) == {source.value for source in Source}
    assert uids[PROMETHEUS_UID] == "prometheus"
    named = re.findall(r"datasourceUid': '([\w-]+)'", str(DATASOURCES))
    assert len(named) == 3
    assert set(named) <= uids.keys()
    # A lone dollar sign would be filled in from the environment.
    assert all(
        "$" not in text.replace("$$", "")
        for text in re.findall(r"(?:url|query): .*", (PROVISIONING / "datasources" / "pointsman.yml").read_text())
    )


def test_boards_lie_where_grafana_looks_for_them() -> None:
    (provider,) = read(PROVISIONING / "dashboards" / "pointsman.yml")["providers"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert mounts["../../dashboards/json"] == provider["options"]["path"]
    assert mounts["../../dashboards/provisioning"] == "/etc/grafana/provisioning"
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (HERE / "json" / home.name).is_file()
    assert provider["allowUiUpdates"] is False


def test_the_readme_says_what_was_not_run() -> None:
    checked, _, not_run = (STACK / "README.md").read_text().partition("**Not run:**")
    assert not_run.split(".")[0].split() == ["Grafana,", "Tempo,", "Loki", "and", "the", "collector", "themselves"]
    assert "`tests/dashboards/test_stack.py`" in checked
