"""Training methods: SMT, DMT, truncated and full BPTT, chains of them such as "smt+dmt", and a baseline."""

from nounroll.cells.base import AUTO
from nounroll.methods.adapt import Adapt, AdaptSettings
from nounroll.methods.base import METHODS, Method
from nounroll.methods.bptt import BPTT
from nounroll.methods.dmt import DMT
from nounroll.methods.dmt_settings import DMTSettings
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

ADAPT = "adapt"  # starts from a trained student and its old task; never part of a chain
TRANSFORMER = "transformer"  # trains no recurrent network; never part of a chain


def parse_chain(method: str) -> tuple[str, ...]:
    """ "smt+dmt" -> ("smt", "dmt"), and "transformer" -> ("transformer",).

    Raises:
        ValueError: a method is unknown, or occurs twice.
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
    """Refuse a chain whose method needs a trained teacher, such as dmt, without smt before it or a given teacher.

    Raises:
        ValueError: the chain has such a method.
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
    """List the settings that a method reads: groups, and ``readout_width``, without the settings of data and length.

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
    """Return the class of a method of a chain.

    Raises:
        ValueError: the name is unknown.
    """
    alone: dict[str, type[Method]] = {ADAPT: Adapt, TRANSFORMER: TransformerMethod}
    return alone.get(name) or METHODS.load(name)


def _links(method: str) -> list[type[Method]]:
    return [method_class(name) for name in parse_chain(method)]
