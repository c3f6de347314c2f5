"""A metric of one process: plain numbers by the values of the labels, and how those of several processes are merged."""

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from operator import add

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

Labels = tuple[str, ...]
Value = list[float]
"""One number; of a histogram, the count of each of its buckets and then the sum."""


class Metric:
    """A metric with the values that this process has.

    name: without the prefix and without ``_total``
    labels: their names
    values: by the values of the labels
    """

    merge: Callable[[float, float], float] = staticmethod(add)
    outlives_worker = True
    """Whether its values count after the process that had them has ended."""

    def __init__(self, name: str, help_: str, *labels: str) -> None:
        self.name = f"sluice_{name}"
        self.help = help_
        self.label_names = labels
        self.values: dict[Labels, Value] = {}
        if not labels:
            self.values[()] = self.zero()

    def zero(self) -> Value:
        return [0.0]

    def labels(self, *labels: str) -> Value:
        """Return the value with these labels, which may be changed in place."""
        value = self.values.get(labels)
        if value is None:
            value = self.values[labels] = self.zero()
        return value

    def family(self, values: Mapping[Labels, Value]) -> Family:
        raise NotImplementedError


class Counter(Metric):
    def add(self, amount: float, *labels: str) -> None:
        self.labels(*labels)[0] += amount

    def family(self, values: Mapping[Labels, Value]) -> Family:
        family = CounterMetricFamily(self.name, self.help, labels=self.label_names)
        for labels, (value,) in values.items():
            family.add_metric(labels, value)
        return family


class Gauge(Metric):
    """merge: makes one value of those of two workers"""

    outlives_worker = False

    def __init__(
        self, name: str, help_: str, *labels: str, merge: Callable[[float, float], float] = add
    ) -> None:
        super().__init__(name, help_, *labels)
        self.merge = merge

    def set(self, value: float, *labels: str) -> None:
        self.labels(*labels)[0] = float(value)

    def family(self, values: Mapping[Labels, Value]) -> Family:
        family = GaugeMetricFamily(self.name, self.help, labels=self.label_names)
        for labels, (value,) in values.items():
            family.add_metric(labels, value)
        return family


class Histogram(Metric):
    """bounds: the upper end of each bucket; there is one bucket more, without an end"""

    def __init__(self, name: str, help_: str, bounds: tuple[float, ...], *labels: str) -> None:
        self.bounds = (*bounds, float("inf"))
        super().__init__(name, help_, *labels)

    def zero(self) -> Value:
        return [0.0] * (len(self.bounds) + 1)

    def add_all(self, counts: Iterable[float], total: float, *labels: str) -> None:
        """Add values that are sorted into the buckets already. total: their sum."""
        value = self.labels(*labels)
        value[:] = map(add, value, [*counts, total])

    def family(self, values: Mapping[Labels, Value]) -> Family:
        family = HistogramMetricFamily(self.name, self.help, labels=self.label_names)
        ends = [*map(repr, self.bounds[:-1]), "+Inf"]
        for labels, (*counts, total) in values.items():
            buckets = list(zip(ends, accumulate(counts), strict=True))
            family.add_metric(labels, buckets, sum_value=total)
        return family


def merged(
    values: Iterable[Mapping[Labels, Value]], merge: Callable[[float, float], float]
) -> dict[Labels, Value]:
    """Return the values of several processes as one. Those of another form, by another version of the code, are left out."""
    result: dict[Labels, Value] = {}
    for each in values:
        for labels, value in each.items():
            before = result.get(labels)
            if before is None:
                result[labels] = value
            elif len(before) == len(value):
                result[labels] = list(map(merge, before, value))
    return result
