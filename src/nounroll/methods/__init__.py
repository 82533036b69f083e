"""Methods of training: SMT, DMT, truncated and whole BPTT, and chains of them such as "smt+dmt"; and a baseline."""

from nounroll.cells.base import AUTO
from nounroll.methods.adapt import Adapt, AdaptSettings
from nounroll.methods.base import METHODS, Method
from nounroll.methods.bptt import BPTT
from nounroll.methods.dmt import DMT, DMTSettings
from nounroll.methods.smt import SMT
from nounroll.methods.smt_settings import SMTSettings
from nounroll.methods.tbptt import TBPTT, TBPTTSettings
from nounroll.methods.transformer import TransformerMethod

__all__ = [
    "ADAPT",
    "AUTO",
    "BPTT",
    "DMT",
    "METHODS",
    "SMT",
    "TBPTT",
    "TRANSFORMER",
    "Adapt",
    "AdaptSettings",
    "DMTSettings",
    "SMTSettings",
    "TBPTTSettings",
    "TransformerMethod",
    "check_taught",
    "is_taught",
    "method_class",
    "parse_chain",
    "settings_read",
]

ADAPT = "adapt"  # begins with a trained student and its old task: it stands alone, never in a chain
TRANSFORMER = "transformer"  # trains no recurrent network: it stands alone, never in a chain


def parse_chain(method: str) -> tuple[str, ...]:
    """ "smt+dmt" -> ("smt", "dmt"), and "transformer" -> ("transformer",).

    Raises:
        ValueError: a link is unknown, or comes twice.
    """
    links = tuple(link.strip() for link in str(method).split("+"))
    if links in ((TRANSFORMER,), (ADAPT,)):
        return links
    unknown = [link for link in links if link not in METHODS]
    if unknown:
        raise ValueError(
            f"method is {method!r}; it must be a chain of {', '.join(METHODS)}, such as smt+dmt,"
            f" or {ADAPT} or the baseline {TRANSFORMER} alone"
        )
    if len(set(links)) < len(links):
        raise ValueError(f"method is {method!r}; each link may come once")
    return links


def is_taught(method: str) -> bool:
    """Return whether a method has a teacher."""
    return any(link.taught for link in _links(method))


def check_taught(method: str) -> None:
    """Refuse a chain in which dmt, say, comes without smt before it, where no teacher is given.

    Raises:
        ValueError: it does.
    """
    names = () if method == AUTO else parse_chain(method)
    for place, name in enumerate(names):
        before = [method_class(one) for one in names[: place + 1]]
        if before[-1].taught and not any(one.trains_teacher for one in before):
            raise ValueError(
                f"method is {method!r}; {name} needs smt before it: there is no teacher otherwise, unless one is given"
                " (teacher=, or train --from RUN)"
            )


def settings_read(method: str) -> set[str]:
    """List the settings that a method reads: groups, and ``readout_width``; data and length aside.

    Raises:
        ValueError: see ``parse_chain`` and ``check_taught``.
    """
    check_taught(method)
    if parse_chain(method) == (TRANSFORMER,):
        return {"training", "teacher"}
    links = dict(zip(parse_chain(method), _links(method), strict=True))
    taught = {"teacher"} if any(link.trains_teacher for link in links.values()) else set()
    return {"training", "readout_width", "cell"} | taught | {name for name, link in links.items() if link.has_settings}


def method_class(name: str) -> type[Method]:
    """The class of a link of a chain.

    Raises:
        ValueError: it is unknown.
    """
    alone: dict[str, type[Method]] = {ADAPT: Adapt, TRANSFORMER: TransformerMethod}
    return alone.get(name) or METHODS.load(name)


def _links(method: str) -> list[type[Method]]:
    return [method_class(name) for name in parse_chain(method)]
