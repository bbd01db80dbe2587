"""What a server counts of its releases and of its online store, for Prometheus."""

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from ranking.serving.golden import GoldenRequests
from ranking.serving.loading import Loading
from ranking.serving.metrics import histogram
from ranking.serving.refreshing import Refresher
from ranking.serving.shadow import Shadow
from ranking.serving.store_calls import StoreCalls


def release_metrics(loading: Loading, golden: GoldenRequests, shadow: Shadow) -> Iterator[Metric]:
    """Of releases that were loaded, of their golden requests, and of the one in shadow."""
    yield _outcomes("trichord_releases", "Releases that were loaded", loading.counts())
    yield _outcomes("trichord_golden_requests", "Requests that try a new release", golden.counts())
    if shadow.release is None:
        return
    yield _outcomes("trichord_shadow_requests", "Requests for the shadow release", shadow.counts())
    without = CounterMetricFamily(
        "trichord_shadow_fallbacks", "Compared answers that had to do without something", labels=["side", "name"]
    )
    for labels, count in shadow.fallbacks().items():
        without.add_metric(labels, count)
    yield without
    seconds, overlaps = shadow.times()
    yield histogram("trichord_shadow_answer_seconds", "Time of compared answers", "side", seconds)
    yield histogram("trichord_shadow_overlap", "Share of items in both lists", "release", {shadow.release: overlaps})


def store_metrics(calls: Mapping[str, StoreCalls], refresher: Refresher) -> Iterator[Metric]:
    """Of calls of the online store, by what they are."""
    counted = CounterMetricFamily("trichord_store_calls", "Calls of the online store", labels=["call", "outcome"])
    breaker = GaugeMetricFamily("trichord_store_breaker_open", "Whether the store is not asked", labels=["call"])
    for name, one in calls.items():
        breaker.add_metric([name], float(one.open))
        for outcome, count in one.counts().items():
            counted.add_metric([name, outcome], count)
    yield counted
    yield breaker
    owed = GaugeMetricFamily("trichord_store_owed", "Users and items whose online features are behind")
    owed.add_metric([], refresher.owes)
    yield owed


def _outcomes(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["outcome"])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
