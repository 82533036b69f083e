"""What a server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nounroll_requests", "Requests answered, by HTTP status.", ["status"], registry=self.registry
        )
        self.steps = Counter("nounroll_steps", "Batched steps of the network.", registry=self.registry)
        self.elements = Counter("nounroll_elements", "Inputs read, of all sessions.", registry=self.registry)
        self.slots = Gauge("nounroll_slots_taken", "Memories in use.", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
