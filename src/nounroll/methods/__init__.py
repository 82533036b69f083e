"""Methods of training: SMT, DMT, BPTT, and chains of them such as "smt+dmt"."""

from nounroll.methods.bptt import BPTT, BPTTSettings
from nounroll.methods.dmt import DMT, DMTSettings
from nounroll.methods.smt import SMT, SMTSettings

__all__ = ["BPTT", "DMT", "METHODS", "SMT", "BPTTSettings", "DMTSettings", "SMTSettings", "parse_chain"]

METHODS = ("smt", "dmt", "bptt")


def parse_chain(method: str) -> tuple[str, ...]:
    """ "smt+dmt" -> ("smt", "dmt").

    Raises:
        ValueError: a link is unknown, or dmt comes without smt before it.
    """
    links = tuple(link.strip() for link in str(method).split("+"))
    unknown = [link for link in links if link not in METHODS]
    if unknown:
        raise ValueError(f"method is {method!r}; it must be a chain of {', '.join(METHODS)}, such as smt+dmt")
    if "dmt" in links and "smt" not in links[: links.index("dmt")]:
        raise ValueError(f"method is {method!r}; dmt needs smt before it: there is no teacher otherwise")
    if len(set(links)) < len(links):
        raise ValueError(f"method is {method!r}; each link may come once")
    return links
