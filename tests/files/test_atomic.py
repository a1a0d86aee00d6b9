"""The cache folder, where nobody knows the user's home or nothing can be written there."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from fac_datasets.errors import OutputError
from fac_datasets.files.atomic import cache_folder


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without an entry in passwd, and no variable that tells of a home."""

    def unknown(user: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for variable in ("HOME", "XDG_CACHE_HOME", "FAC_DATASETS_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_error_says_how_to_name_a_cache_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Could not determine home directory.* FAC_DATASETS_CACHE"):
        cache_folder("digests")
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("homeless")
def test_without_a_home_a_named_cache_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    assert cache_folder("digests") == tmp_path / "cache" / "digests"


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"file/digests cannot be made .*FAC_DATASETS_CACHE"):
        cache_folder("digests")
