"""Methods of training: SMT, DMT, truncated and whole BPTT, and chains of them such as "smt+dmt"; and a baseline."""

from nounroll.methods.adapt import Adapt, AdaptSettings
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
    "parse_chain",
    "settings_read",
]

METHODS = ("smt", "dmt", "tbptt", "bptt")
ADAPT = "adapt"  # begins with a trained student and its old task: it stands alone, never in a chain
AUTO = "auto"  # a method or a cell that is chosen by short trials
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
    """Whether a method has a teacher."""
    return not {"smt", "dmt"}.isdisjoint(parse_chain(method))


def check_taught(method: str) -> None:
    """Refuse a chain in which dmt comes without smt before it, where no teacher is given.

    Raises:
        ValueError: it does.
    """
    links = () if method == AUTO else parse_chain(method)
    if "dmt" in links and "smt" not in links[: links.index("dmt")]:
        raise ValueError(
            f"method is {method!r}; dmt needs smt before it: there is no teacher otherwise, unless one is given"
            " (teacher=, or train --from RUN)"
        )


def settings_read(method: str) -> set[str]:
    """What a run of a method reads of a recipe: groups of settings, and ``readout_width``; data and length aside.

    Raises:
        ValueError: see ``parse_chain`` and ``check_taught``.
    """
    check_taught(method)
    links = set(parse_chain(method))
    if TRANSFORMER in links:
        return {"training", "teacher"}
    return {"training", "readout_width", "cell", *(links - {"bptt"}), *({"teacher"} if "smt" in links else ())}
