"""The chart, the Compose file and the units of a fleet: read as their engines would, without them.

The templates keep to values, ``quote`` and ``toYaml | indent``, which a few lines can carry out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "remit"
POLICY = "remit: 1\ndefault: deny\nrules:\n  - {id: reading, tools: [read_file], effect: allow}\n"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")


def rendered(text: str, values: dict[str, Any]) -> str:
    """A template of the chart with its values; anything that this cannot carry out is an error."""

    def value_of(path: str) -> Any:
        found: Any = {"Values": values, "Release": {"Name": "fleet"}}
        for name in path.removeprefix(".").split("."):
            found = found[name]
        return found

    def carried_out(match: re.Match[str]) -> str:
        if found := re.fullmatch(r"toYaml (\S+) \| indent (\d+)", match[1]):
            lines = yaml.safe_dump(value_of(found[1])).splitlines()
            return "\n".join(" " * int(found[2]) + line for line in lines)
        if found := re.fullmatch(r"(\.\S+)( \| quote)?", match[1]):
            value = value_of(found[1])
            return f'"{value}"' if found[2] else str(value)
        raise AssertionError(f"not a value: {match[0]}")

    return _ACTION.sub(carried_out, text)


@pytest.fixture(scope="module")
def resources() -> dict[tuple[str, str], dict[str, Any]]:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = {}
    for template in sorted((CHART / "templates").iterdir()):
        for each in yaml.safe_load_all(rendered(template.read_text(), values)):
            assert each["apiVersion"]
            found[each["kind"], each["metadata"]["name"]] = each
    return found


def accepted(text: str, folder: Path) -> None:
    """The server's own check of a configuration, in other folders."""
    for place in ("/etc/remit", "/var/lib/remit", "/run/remit"):
        text = text.replace(place, f"{folder}{place}")
    (folder / "etc/remit/policy").mkdir(parents=True)
    (folder / "var/lib/remit").mkdir(parents=True)
    (folder / "etc/remit/policy/remit.yaml").write_text(POLICY)
    written = folder / "etc/remit/remit.toml"
    written.write_text(text)
    command = [sys.executable, "-m", "remit", "serve", "--check", "--config", str(written)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_chart_is_a_chart() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    assert chart["name"] == CHART.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])


def test_every_value_is_used_and_every_use_has_a_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    text = "".join(each.read_text() for each in (CHART / "templates").iterdir())
    used = {path.split(".")[0] for path in re.findall(r"\.Values\.([\w.]+)", text)}
    assert used == set(values)


def test_resources_find_each_other(resources: dict[tuple[str, str], dict[str, Any]]) -> None:
    deployment = resources["Deployment", "fleet"]
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    selectors = (
        deployment["spec"]["selector"]["matchLabels"],
        resources["Service", "fleet"]["spec"]["selector"],
        resources["PodDisruptionBudget", "fleet"]["spec"]["selector"]["matchLabels"],
    )
    assert all(selector.items() <= labels for selector in selectors)
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        assert {each["name"] for each in container["volumeMounts"]} <= volumes.keys()
    assert ("ConfigMap", volumes["config"]["configMap"]["name"]) in resources
    (port,) = resources["Service", "fleet"]["spec"]["ports"]
    (container,) = pod["spec"]["containers"]
    assert port["targetPort"] in {each["name"] for each in container["ports"]}
    assert (
        resources["PodDisruptionBudget", "fleet"]["spec"]["minAvailable"]
        < deployment["spec"]["replicas"]
    )


def test_pods_are_locked_up(resources: dict[tuple[str, str], dict[str, Any]]) -> None:
    pod = resources["Deployment", "fleet"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_pods_get_longer_than_the_server_drains(
    resources: dict[tuple[str, str], dict[str, Any]],
) -> None:
    pod = resources["Deployment", "fleet"]["spec"]["template"]["spec"]
    drain = re.search(
        r'drain = "(\d+)s"', resources["ConfigMap", "fleet-config"]["data"]["remit.toml"]
    )
    assert drain is not None
    assert pod["terminationGracePeriodSeconds"] > int(drain[1])


def test_the_server_accepts_what_the_chart_configures(
    resources: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    accepted(resources["ConfigMap", "fleet-config"]["data"]["remit.toml"], tmp_path)


def test_the_server_accepts_what_compose_configures(tmp_path: Path) -> None:
    accepted((DEPLOY / "compose" / "remit.toml").read_text(), tmp_path)


def test_compose_names_what_is_there() -> None:
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    services, node = compose["services"], compose["services"]["node"]
    build = node["build"]
    assert (DEPLOY / "compose" / build["context"] / build["dockerfile"]).resolve().is_file()
    assert set(node["depends_on"]) <= set(services)
    for service in services.values():
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
    mounted = dict(each.split(":")[:2] for each in node["volumes"])
    assert (DEPLOY / "compose" / "remit.toml").samefile(DEPLOY / "compose" / "./remit.toml")
    assert mounted["./remit.toml"] == "/etc/remit/remit.toml"
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert node["ports"][0].startswith("127.0.0.1:")


def unit(name: str) -> ConfigParser:
    found = ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string((DEPLOY / name).read_text())
    return found


def test_the_unit_of_a_node_is_that_of_a_server_but_for_its_name() -> None:
    node, server = dict(unit("remit@.service")["Service"]), dict(unit("remit.service")["Service"])
    different = {key for key in node.keys() | server.keys() if node.get(key) != server.get(key)}
    assert different == {
        "Environment", "ExecStart", "ExecStartPre", "LoadCredential", "RuntimeDirectory",
        "StateDirectory",
    }  # fmt: skip
    assert all("%i" in node[key] for key in different - {"Environment", "LoadCredential"})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("name", ["remit.service", "remit@.service"])
def test_systemd_accepts_the_units(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text()
    written = tmp_path / name
    written.write_text(re.sub(r"/opt/remit/bin/remit", "/bin/true", text))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(written)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if name.partition("@")[0] in line] == []
