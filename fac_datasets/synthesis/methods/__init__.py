"""Ways of generating, a file each."""

from __future__ import annotations

from fac_datasets.errors import OptionError
from fac_datasets.files.variants import subclasses_in
from fac_datasets.synthesis.methods.base import Method

METHODS: dict[str, Method] = {
    method.name: method for method in sorted((kind() for kind in subclasses_in(__name__, Method)), key=lambda m: m.turn)
}
"""Every way by name, the cheap ones first."""


def methods_named(names: str) -> list[Method]:
    """The ways that a text names, such as `"prompted"`, `"prompted,guided"`, or all of them for `"auto"`.

    Raises:
        OptionError: there is no such way.
    """
    if names == "auto":
        return list(METHODS.values())
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in METHODS]
    if unknown:
        raise OptionError(f"there is no way of generating {unknown[0]!r}; there are {['auto', *METHODS]}")
    return [METHODS[name] for name in wanted]
