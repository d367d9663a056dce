"""The pages for machines: `/healthz` and `/metrics` (Prometheus text format)."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from chappe.dialects.base import HttpRequest, HttpResponse, plain
from chappe.gateway.metrics import Sample


class Collected:
    """Samples in the form prometheus_client prints."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for sample in self._samples:
            label_names = [name for name, _ in sample.labels]
            family = families.get(sample.name)
            if family is None:
                kind = CounterMetricFamily if sample.is_counter else GaugeMetricFamily
                family = families[sample.name] = kind(sample.name, sample.help, labels=label_names)
            family.add_metric([value for _, value in sample.labels], sample.value)  # type: ignore[attr-defined]
        yield from families.values()


def metrics_page(
    samples: Callable[[], Awaitable[Sequence[Sample]]],
) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    async def page(_request: HttpRequest) -> HttpResponse:
        registry = CollectorRegistry()
        registry.register(Collected(await samples()))
        headers = ((b"content-type", CONTENT_TYPE_LATEST.encode()),)
        return HttpResponse(headers=headers, body=generate_latest(registry))

    return page


def health_page(is_well: Callable[[], Awaitable[bool]]) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """200 while the gateway can keep a message, 503 while it cannot."""

    async def page(_request: HttpRequest) -> HttpResponse:
        return plain("ok\n") if await is_well() else plain("the database does not answer\n", 503)

    return page
