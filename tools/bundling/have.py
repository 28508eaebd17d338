"""What the other machine has, and what of it need not be brought."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path

from environment.failures import Failure

from .pip_packaging import InvalidVersion, Requirement, SpecifierSet, Version, canonicalize_name
from .target import Target

# Distributions that hold the same modules: one that is there takes the place of the pinned one, whatever its version.
STAND_INS = {
    "mmcv": ("onedl-mmcv",),
    "mmdet": ("onedl-mmdetection",),
    "mmengine": ("onedl-mmengine",),
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
}
ALIAS = {other: name for name, others in STAND_INS.items() for other in others}
ALWAYS = ("mmdet-losses", "ninja", "packaging", "pip", "setuptools", "wheel")  # setup.sh works with these
EXTRAS = ("openmmlab", "test", "tools")  # of this package


def read_list(path: Path) -> dict[str, str]:
    """Read the output of `pip list` or `pip freeze`.

    Args:
        path: The file.

    Returns:
        Distribution name, in its canonical form, to version; '' where a line does not say the version.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"--have must be a file with the output of `pip list` or `pip freeze`, and {path} cannot be read ({error})."
        ) from None
    found = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith(("#", "[notice]", "WARNING", "Package ")) or set(line) <= {"-", " "}:
            continue
        name, version = read_line(line)
        if not name:
            raise Failure(f"--have must be the output of `pip list` or `pip freeze`, and {path} has the line {line!r}.")
        found[canonicalize_name(name)] = version
    if not found:
        raise Failure(f"--have must be the output of `pip list` or `pip freeze`, and {path} names no distribution.")
    return found


def read_line(line: str) -> tuple[str, str]:
    """Return name and version of a line; both are '' where it is none."""
    name = r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)"
    if match := re.fullmatch(rf"{name}\s*===?\s*(\S+)", line):
        return match[1], match[2]
    if match := re.fullmatch(rf"{name}\s+@\s+(\S+)", line):  # from a URL or a file, which may be a wheel
        wheel = re.search(r"/[^/-]+-([^/-]+)-[^/]+\.whl\b", match[2])
        return match[1], wheel[1].replace("%2B", "+") if wheel else ""
    if match := re.fullmatch(rf"-e\s+\S+#egg={name}\S*", line):
        return match[1], ""
    if match := re.fullmatch(rf"{name}\s+(\d\S*)(?:\s+/.*)?", line):
        return match[1], match[2]
    return "", ""


def check_torch(have: dict[str, str], target: Target, path: Path) -> None:
    """Raise Failure where the list is of another torch."""
    if "torch" not in have:
        raise Failure(
            f"{path} lists no torch, and the bundle holds none: install torch {target.torch} on the other machine "
            "first, or give the list of the Python that has it."
        )
    if have["torch"].partition("+")[0] != target.torch:
        raise Failure(f"{path} lists torch {have['torch']}, and --torch is {target.torch}: give the one that is there.")


def asked_versions(wheels: Iterable[Path], target: Target) -> dict[str, SpecifierSet]:
    """What distributions ask of the versions of others, the package's extras included.

    Args:
        wheels: The wheels of all that an environment has.
        target: The machine, for which environment markers are read.

    Returns:
        Canonical name of a pin to what is asked of its version.
    """
    asked: dict[str, SpecifierSet] = defaultdict(SpecifierSet)
    for wheel in wheels:
        name, requirements = metadata(wheel)
        extras = ("", *EXTRAS) if name == "mmdet-losses" else ("",)
        for requirement in map(Requirement, requirements):
            marker = requirement.marker
            if marker is None or any(marker.evaluate(target.markers(extra)) for extra in extras):
                other = canonicalize_name(requirement.name)
                asked[ALIAS.get(other, other)] &= requirement.specifier
    return asked


def metadata(wheel: Path) -> tuple[str, list[str]]:
    """Canonical name of a wheel's distribution, and what it requires."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            headers = HeaderParser().parsestr(archive.read(name).decode())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise Failure(f"{wheel} is no wheel ({error}): delete it, and pip's copy with `pip cache purge`.") from None
    return canonicalize_name(headers["Name"]), headers.get_all("Requires-Dist") or []


def left_out(wheels: dict[str, Path | None], have: dict[str, str], target: Target) -> dict[str, tuple[str, str]]:
    """Which distributions are there in a version that will do for those that are brought.

    What is left out asks for nothing: its place takes another version, which stands on what is there.

    Args:
        wheels: The wheels of all that an environment needs, by canonical name; None for mmcv, which has none yet.
        have: What is there.
        target: The machine.

    Returns:
        Name of what need not be brought to the name of what is there, and to what is asked of its version.
    """
    there: dict[str, tuple[str, str]] = {}
    while True:
        asked = asked_versions((wheel for name, wheel in wheels.items() if wheel and name not in there), target)
        more = {}
        for name in wheels.keys() - there.keys() - set(ALWAYS):
            stand_in = next((other for other in STAND_INS.get(name, ()) if other in have), None)
            if stand_in:
                more[name] = (stand_in, "")
            elif name in have and satisfies(have[name], asked.get(name)):
                more[name] = (name, str(asked.get(name, "")))
        if not more:
            return dict(sorted(there.items()))
        there.update(more)


def satisfies(version: str, specifiers: SpecifierSet | None) -> bool:
    if not specifiers:
        return True
    try:
        return specifiers.contains(Version(version), prereleases=True)
    except InvalidVersion:  # also where the list does not say it
        return False
