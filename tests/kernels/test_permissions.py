"""Kernels that somebody else could have written are not loaded, and those that are written nobody else can change."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from mmdet_losses.kernels import build, permissions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")
SEVEN = 'extern "C" int seven() { return 7; }'
FORGED = 'extern "C" int seven() { return 666; }'


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that MMDET_LOSSES_CACHE names, with a home and a temporary folder beside it."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "boxes.cpp").write_text(SEVEN)
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.setattr(build, "SOURCES", tmp_path / "sources")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("MMDET_LOSSES_CACHE", str(tmp_path / "chosen"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    build.tell_shared.cache_clear()
    return tmp_path / "chosen"


def at_home(chosen: Path) -> Path:
    return chosen.parent / "home/.cache/mmdet_losses/kernels"


def forge(path: Path) -> None:
    """Put a library that is whole where that of the source would be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".cpp")
    source.write_text(FORGED)
    subprocess.run([*build.compiler()[0], "-shared", "-fPIC", "-o", path, source], check=True)
    source.unlink()
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())
    assert build.is_whole(path)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file or folder be somebody else's; without the right to do so, everything."""
    user = os.geteuid()
    if user:
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    else:
        os.chown(path, 12345, -1)


def load_and_hear() -> tuple[int, list[str]]:
    """What the kernel that is loaded returns, and what is said of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = build.load("boxes").seven()
    return value, [str(one.message) for one in said]


def test_what_is_one_s_own_is_used(chosen: Path) -> None:
    """The other tests would pass without this if nothing kept were used."""
    forge(build.library_path("boxes"))
    assert load_and_hear() == (666, [])


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("folder", ["", "kernels"])
def test_a_folder_that_others_can_write(chosen: Path, folder: str, mode: int) -> None:
    path = build.library_path("boxes")
    forge(path)
    (chosen / folder).chmod(mode)
    value, (said,) = load_and_hear()
    assert value == 7
    assert f"{chosen / folder} ({stat.filemode(stat.S_IFDIR | mode)})" in said
    assert "MMDET_LOSSES_CACHE" in said and ". " not in said
    assert (at_home(chosen) / path.name).exists()
    assert load_and_hear() == (7, [])


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_can_write(chosen: Path, mode: int) -> None:
    path = build.library_path("boxes")
    forge(path)
    path.chmod(mode)
    value, (said,) = load_and_hear()
    assert value == 7
    assert f"{path} ({stat.filemode(stat.S_IFREG | mode)})" in said
    assert not path.stat().st_mode & 0o022
    assert load_and_hear() == (7, [])
    assert not at_home(chosen).exists()


def test_a_file_of_somebody_else(chosen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build.library_path("boxes")
    forge(path)
    give_away(path, monkeypatch)
    if os.getuid():
        with pytest.raises(build.BuildError, match="belongs to user"):
            build.load("boxes")
    else:
        value, (said,) = load_and_hear()
        assert value == 7
        assert f"{path} belongs to user 12345" in said
        assert path.stat().st_uid == 0


def test_a_folder_of_somebody_else(chosen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(build.library_path("boxes"))
    give_away(chosen, monkeypatch)
    if os.getuid():
        with pytest.raises(build.BuildError, match="belongs to user"):
            build.load("boxes")
    else:
        value, (said,) = load_and_hear()
        assert value == 7
        assert f"{chosen} belongs to user 12345" in said


def test_a_link_into_a_folder_that_others_can_write(chosen: Path) -> None:
    """Wherever on the way the link is, and however it is written."""
    elsewhere = chosen.parent / "elsewhere"
    path = build.library_path("boxes")
    forge(elsewhere / "kernels" / path.name)
    elsewhere.chmod(0o777)
    chosen.symlink_to("sources/../elsewhere")
    value, (said,) = load_and_hear()
    assert value == 7
    assert str(elsewhere) in said
    chosen.unlink()
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere / "kernels" / path.name)
    value, (said,) = load_and_hear()
    assert value == 7
    assert str(path) in said and str(elsewhere) in said
    assert not path.is_symlink()


def test_a_link_into_a_folder_of_one_s_own_is_followed(chosen: Path) -> None:
    elsewhere = chosen.parent / "elsewhere"
    forge(elsewhere / "kernels" / build.library_path("boxes").name)
    chosen.symlink_to(elsewhere)
    assert load_and_hear() == (666, [])


def test_a_link_to_itself(chosen: Path) -> None:
    chosen.symlink_to(chosen)
    with pytest.raises(build.BuildError, match="symbolic links"):
        build.load("boxes")


def test_a_folder_like_tmp(chosen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a file is its owner's: one's own is used, and another's cannot be removed."""
    path = build.library_path("boxes")
    forge(path)
    path.parent.chmod(0o1777)
    assert load_and_hear() == (666, [])
    path.chmod(0o666)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        value, (said,) = load_and_hear()
    assert value == 7
    assert str(path) in said
    assert (at_home(chosen) / path.name).exists()


def test_nowhere_to_keep_it(chosen: Path) -> None:
    """A temporary folder serves, and is gone; one that others can write does not."""
    for folder in (chosen, chosen.parent / "home"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    value, said = load_and_hear()
    assert value == 7
    assert len(said) == 2
    assert not list((chosen.parent / "tmp").iterdir())
    (chosen.parent / "tmp").chmod(0o777)
    with pytest.raises(build.BuildError, match="tmp "):
        build.load("boxes")


def test_nobody_else_can_write_what_is_made(chosen: Path) -> None:
    before = os.umask(0)
    try:
        assert load_and_hear() == (7, [])
    finally:
        os.umask(before)
    made = [chosen, *chosen.rglob("*")]
    assert len(made) == 3
    assert not any(one.stat().st_mode & 0o022 for one in made)
    assert load_and_hear() == (7, [])


def test_what_lies_above_the_home_directory_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "above" / "home"
    home.mkdir(parents=True)
    (tmp_path / "above").chmod(0o777)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(tmp_path / "above") in permissions.others_can_write(home / "kernels")
    monkeypatch.setenv("HOME", str(home))
    assert not permissions.others_can_write(home / "kernels")
    home.chmod(0o777)
    assert str(home) in permissions.others_can_write(home / "kernels")
    (tmp_path / "link").symlink_to(tmp_path / "above" / "home")
    home.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert not permissions.others_can_write(tmp_path / "link" / "kernels")


class Entry:
    """An entry of the databases of users and groups."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    ("group", "members", "lists", "shared"),
    [
        ("me", [], [], False),
        ("me", ["me"], [], False),
        ("me", ["me", "you"], [], True),
        ("staff", [], [], True),
        ("me", [], ["system.posix_acl_access"], True),
    ],
)
def test_the_group_that_a_user_has_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], lists: list[str], shared: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "listxattr", lambda entry: lists)
    monkeypatch.setattr("pwd.getpwuid", lambda user: Entry(pw_name="me", pw_uid=user, pw_gid=1000))
    monkeypatch.setattr("grp.getgrgid", lambda number: Entry(gr_name=group, gr_mem=members))
    found = Entry(st_mode=stat.S_IFDIR | 0o775, st_gid=1000)
    assert permissions.is_shared(tmp_path, found) is shared
    assert permissions.is_shared(tmp_path, Entry(st_mode=stat.S_IFDIR | 0o775, st_gid=1001))


def test_systems_without_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    assert permissions.others_can_write(tmp_path)
    monkeypatch.delattr(os, "geteuid")
    assert not permissions.others_can_write(tmp_path)
