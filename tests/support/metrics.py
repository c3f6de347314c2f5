"""Reads a server's metrics."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.server import Server, wait_until
from tests.support.stream import Response, get


class Metrics:
    """The metrics of a server. Their names are given without the prefix ``sluice_``."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = self.samples()

    def text(self) -> str:
        with self._server.connect() as sock:
            sock.sendall(get("/metrics"))
            return Response(sock).body().decode()

    def samples(self) -> list[Sample]:
        families = text_string_to_metric_families(self.text())
        return [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples with this name and these labels."""
        return _sum(self.samples(), name, labels)

    def added(self, name: str, **labels: str) -> float:
        """How much the value has grown since this object was made."""
        return self.value(name, **labels) - _sum(self._before, name, labels)

    def wait_until_added(self, count: float, name: str, **labels: str) -> None:
        wait_until(
            lambda: self.added(name, **labels) == count,
            explain=lambda: f"{name} {labels}: {self.added(name, **labels)} more, not {count}",
        )

    def wait_for(self, value: float, name: str, **labels: str) -> None:
        wait_until(
            lambda: self.value(name, **labels) == value,
            explain=lambda: f"{name} {labels}: {self.value(name, **labels)}, not {value}",
        )

    def label_values(self, name: str, label: str) -> set[str]:
        return {each.labels[label] for each in self.samples() if each.name == f"sluice_{name}"}


def _sum(samples: list[Sample], name: str, labels: dict[str, str]) -> float:
    return sum(
        sample.value
        for sample in samples
        if sample.name == f"sluice_{name}" and labels.items() <= sample.labels.items()
    )
