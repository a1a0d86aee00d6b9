"""Ways of generating, a file each, and how several work together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fac_datasets.errors import OptionError
from fac_datasets.files.variants import subclasses_in
from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method
from fac_datasets.synthesis.pursuit import Pursuit, Try

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker

logger = logging.getLogger(__name__)

METHODS: dict[str, Method] = {
    method.name: method for method in sorted((kind() for kind in subclasses_in(__name__, Method)), key=lambda m: m.turn)
}
"""Every method by name, the cheap ones first."""

AUTOMATIC = "auto"
"""Names the ways that are tried by what they are worth."""

AUTO = ("prompted", "span_seeded", "edited", "guided", "steered", "steered+guided", "magpie")
"""Ways among which `auto` chooses."""


@dataclass(frozen=True)
class Way:
    """Methods that work together."""

    methods: tuple[Method, ...]

    @property
    def name(self) -> str:
        """Their names, joined by `+`."""
        return "+".join(method.name for method in self.methods)

    @property
    def turn(self) -> int:
        """How dear they are together, beside other ways."""
        return max(method.turn for method in self.methods)

    def lacks(self, asker: Asker) -> str:
        """What they lack for every target, and what would help; empty where they lack nothing."""
        return next(filter(None, (method.lacks(asker) for method in self.methods)), "")

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """Why they cannot be used for this target now; empty where they can."""
        reasons = (method.cannot(pursuit, asker) for method in self.methods)
        return self.lacks(asker) or next(filter(None, reasons), "")

    def wish(self, pursuit: Pursuit, asker: Asker) -> Wish:
        """What they ask for."""
        wish = Wish()
        for method in self.methods:
            wish = method.shape(wish, pursuit, asker)
        return wish


def ways_named(names: str) -> list[Way]:
    """The ways that a text names.

    Args:
        names: of methods, joined by `+` where they work together, and by commas where they are tried one after the
            other; or `"auto"`. Methods that only change what is asked for are joined to `prompted`.

    Raises:
        OptionError: there is no such method.

    Example:
        >>> [way.name for way in ways_named("prompted, steered+guided")]
        ['prompted', 'prompted+steered+guided']
    """
    found = []
    for joined in AUTO if names == AUTOMATIC else names.split(","):
        wanted = [name.strip() for name in joined.split("+")]
        unknown = [name for name in wanted if name not in METHODS]
        if unknown:
            raise OptionError(f"there is no way of generating {unknown[0]!r}; there are {[AUTOMATIC, *METHODS]}")
        methods = [METHODS[name] for name in dict.fromkeys(wanted)]
        if not any(method.asks for method in methods):
            methods.insert(0, METHODS["prompted"])
        found.append(Way(tuple(methods)))
    return found


def usable(names: str, asker: Asker, pursuits: Sequence[Pursuit] | None = None) -> list[Way]:
    """The ways that a text names and that can be used for some target, now or once something was tried for it.

    Those that `"auto"` leaves out are told in the log.

    Args:
        names: see `ways_named`.
        asker: says what the generator can do.
        pursuits: the targets at their start; None where they are not known yet.

    Raises:
        OptionError: there is no such method, or one that is named can be used for no target.
    """
    ways = ways_named(names)
    reasons = {way.name: way.lacks(asker) or _never(way, ways, asker, pursuits or ()) for way in ways}
    left_out: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if reason:
            left_out.setdefault(reason, []).append(name)
    for reason, several in left_out.items():
        if names != AUTOMATIC:
            raise OptionError(f"the way of generating {several[0]!r} can be used for no target: {reason}")
        logger.info("auto leaves out %s: %s", " and ".join(several), reason)
    return [way for way in ways if not reasons[way.name]]


def _never(way: Way, ways: Sequence[Way], asker: Asker, pursuits: Sequence[Pursuit]) -> str:
    """Why a way can be used for none of some targets; empty where it can for one of them."""
    reason = ""
    for pursuit in pursuits:
        reason = way.cannot(pursuit, asker)
        if reason and any(not other.cannot(pursuit, asker) for other in ways):
            # What others write is something that it may need.
            written = Try(pursuit.like, 1.0, "", 0, 0)
            reason = way.cannot(replace(pursuit, tries=[written]), asker)
        if not reason:
            return ""
    return reason
