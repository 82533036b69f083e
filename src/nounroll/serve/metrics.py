"""Counters of a server, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nounroll.serve.pool import Pool


class Metrics:
    """Counters of one server, in a separate registry."""

    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nounroll_requests", "Requests answered, by HTTP status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "nounroll_request_seconds", "From a request's head to the end of its answer.", registry=self.registry
        )
        self.steps = Counter("nounroll_steps", "Batched steps of the network.", registry=self.registry)
        self.elements = Counter("nounroll_elements", "Inputs read, of all sessions.", registry=self.registry)
        taken = Gauge("nounroll_slots_taken", "Memories in use.", registry=self.registry)
        taken.set_function(lambda: pool.taken)
        leaked = Gauge(
            "nounroll_slots_leaked", "Free memories that were not cleared: always 0.", registry=self.registry
        )
        leaked.set_function(pool.leaks)

    def text(self) -> bytes:
        return generate_latest(self.registry)
