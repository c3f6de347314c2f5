"""deploy/kubernetes.yaml fits the settings, the image, and the order in which a pod ends."""

import re

import pytest
import yaml

from flask_sluice.gateway.environment import read_settings
from flask_sluice.gateway.settings import Settings
from tests.support.server import ROOT

OBJECTS = {
    document["kind"]: document
    for document in yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text())
}
POD = OBJECTS["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text()
GUNICORNS_GRACE_SECONDS = 10
"""gunicorn's graceful_timeout is so much longer than the drain (flask_sluice.server.configuration)."""


def settings() -> Settings:
    """What the container's environment sets, with long enough keys for those that are secrets."""
    variables = {
        variable["name"]: variable.get("value", "a-key-that-a-secret-holds")
        for variable in CONTAINER["env"]
    }
    return read_settings(variables)


def test_environment_is_accepted_by_the_settings():
    assert settings().upstream


def test_pod_may_end_after_the_drain_delay_and_the_drain():
    stop_seconds = settings().drain_delay_seconds + settings().drain_seconds
    grace_seconds = POD["spec"]["terminationGracePeriodSeconds"]
    assert grace_seconds > stop_seconds + GUNICORNS_GRACE_SECONDS


def test_readiness_fails_before_the_port_closes():
    probe = CONTAINER["readinessProbe"]
    seen_after_seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert seen_after_seconds < settings().drain_delay_seconds


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/healthz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")],
)
def test_probe_asks_the_port_where_the_image_listens(probe, path):
    assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "http"}
    (port,) = CONTAINER["ports"]
    (bind,) = re.findall(r"SLUICE_BIND=\S+:(\d+)", CONTAINERFILE)
    assert (port["name"], str(port["containerPort"])) == ("http", bind)
    assert f"EXPOSE {bind}\n" in CONTAINERFILE


def test_pod_runs_as_the_images_user_and_may_write_nothing():
    (uid, gid) = re.findall(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)[0]
    pod = POD["spec"]["securityContext"]
    assert pod["runAsNonRoot"]
    assert (str(pod["runAsUser"]), str(pod["runAsGroup"])) == (uid, gid)
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in POD["spec"]


def test_selectors_find_the_pods_and_one_is_left_when_nodes_are_emptied():
    labels = POD["metadata"]["labels"]
    deployment, budget = OBJECTS["Deployment"]["spec"], OBJECTS["PodDisruptionBudget"]["spec"]
    assert deployment["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert budget["selector"]["matchLabels"] == labels
    assert budget["minAvailable"] < deployment["replicas"]
    assert OBJECTS["Service"]["spec"]["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"]
