"""Ways of generating, a file each, and how several work together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fac_datasets.errors import OptionError
from fac_datasets.files.variants import subclasses_in
from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit

METHODS: dict[str, Method] = {
    method.name: method for method in sorted((kind() for kind in subclasses_in(__name__, Method)), key=lambda m: m.turn)
}
"""Every method by name, the cheap ones first."""

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

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """Why they cannot be used for this target now; empty where they can."""
        return next(filter(None, (method.cannot(pursuit, asker) for method in self.methods)), "")

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
    for joined in AUTO if names == "auto" else names.split(","):
        wanted = [name.strip() for name in joined.split("+")]
        unknown = [name for name in wanted if name not in METHODS]
        if unknown:
            raise OptionError(f"there is no way of generating {unknown[0]!r}; there are {['auto', *METHODS]}")
        methods = [METHODS[name] for name in dict.fromkeys(wanted)]
        if not any(method.asks for method in methods):
            methods.insert(0, METHODS["prompted"])
        found.append(Way(tuple(methods)))
    return found
