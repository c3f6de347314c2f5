"""The dashboard shows all metrics of a running server, and no others."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, breaks_off
from tests.support.metrics import Metrics
from tests.support.server import ROOT, Server
from tests.support.stream import Response, chat, get, post

DASHBOARD = json.loads((ROOT / "deploy/grafana.json").read_text())
OPERATIONS = (ROOT / "docs/operations.md").read_text()
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


@pytest.fixture(scope="module")
def exported() -> Iterator[dict[str, set[str]]]:
    """The names of all metrics, without what histograms add to them, with the names of their labels.

    The server has met every kind of event before, since it does not export a metric that has no value yet.
    """
    with RawUpstream() as dead:
        dead.stop()
    with (
        RawUpstream(breaks_off(HELLO)) as upstream,
        Server(upstream=f"{dead.url},{upstream.url}") as server,
    ):
        metrics = Metrics(server)
        for _ in range(2):
            with server.connect() as sock:
                sock.sendall(post("/v1/chat/completions", chat()))
                Response(sock).body()
        with server.connect() as sock:
            sock.sendall(get("/unknown"))
            Response(sock).body()
        metrics.wait_until_added(2, "streams_ended_total")
        labels: dict[str, set[str]] = {}
        for sample in metrics.samples():
            name = base_name(sample.name)
            labels[name] = labels.get(name, set()) | sample.labels.keys() - {"le"}
        yield labels


def base_name(name: str) -> str:
    return re.sub("_(bucket|sum|count)$", "", name)


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_it_shows_every_metric_and_no_other(exported):
    shown = {base_name(name) for query in queries() for name in re.findall(r"sluice_\w+", query)}
    assert shown == exported.keys()


def test_it_groups_by_labels_that_exist(exported):
    for query in queries():
        (name,) = re.findall(r"sluice_\w+", query)
        by = re.findall(r"by \(([^)]*)\)", query)
        wanted = {label for labels in by for label in labels.split(", ")} - {"le"}
        assert wanted <= exported[base_name(name)]


def test_each_panel_has_a_title_a_description_and_a_place():
    panels = DASHBOARD["panels"]
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)


def test_the_handbook_explains_every_metric_and_no_other(exported):
    explained = set(re.findall(r"sluice_\w+", OPERATIONS))
    assert {base_name(name) for name in explained} == exported.keys()
