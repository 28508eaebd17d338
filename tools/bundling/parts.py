"""Files in parts of a limited size. Standard library only: it runs on the other machine, too."""

from __future__ import annotations

import glob
import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path

from environment.failures import Failure

LIMIT = 64 * 2**20
HEADERS = 4096  # at most, of one file in a tar archive
END = 10240  # an archive is a multiple of this, and ends with two empty blocks


def pack(files: Iterable[Path], out: Path, limit: int = LIMIT) -> dict[str, str]:
    """Put files into as few tar archives as first fit finds, those that are too large in pieces.

    Args:
        files: The files, with different names.
        out: Folder of the archives.
        limit: Size that no archive exceeds, in bytes.

    Returns:
        Name of each archive to its SHA-256.
    """
    room = limit - 2 * END
    whole = room - HEADERS
    parts: list[tuple[int, list[tuple[Path, str, int, int]]]] = []
    for path in sorted(files, key=lambda path: (-path.stat().st_size, path.name)):
        size = path.stat().st_size
        starts = range(0, max(size, 1), whole)
        for number, start in enumerate(starts, 1):
            name = path.name if len(starts) == 1 else f"{path.name}.piece-{number:03d}"
            length = min(whole, size - start)
            for index, (used, entries) in enumerate(parts):
                if used + length + HEADERS <= room:
                    parts[index] = (used + length + HEADERS, [*entries, (path, name, start, length)])
                    break
            else:
                parts.append((length + HEADERS, [(path, name, start, length)]))
    sums = {}
    for number, (_, entries) in enumerate(parts, 1):
        archive = out / f"part-{number:02d}.tar"
        write(archive, entries)
        sums[archive.name] = checksum(archive)
    return sums


def write(archive: Path, entries: list[tuple[Path, str, int, int]]) -> None:
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, name, start, length in entries:
            header = tarfile.TarInfo(name)
            header.size = length
            with path.open("rb") as file:
                file.seek(start)
                tar.addfile(header, file)


def checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def unpack(folder: Path, sums: dict[str, str], out: Path) -> None:
    """Check all archives, unpack them and join the pieces of files; raise Failure where one is not as it was made."""
    for name, wanted in sums.items():
        path = folder / name
        if not path.is_file():
            raise Failure(f"{path} is missing, one of {len(sums)} parts of the bundle: copy it here, too.")
        if checksum(path) != wanted:
            raise Failure(f"{path} is not as it was when the bundle was made: copy it again.")
    out.mkdir(parents=True, exist_ok=True)
    for name in sums:
        with tarfile.open(folder / name) as tar:
            for member in tar.getmembers():
                content = tar.extractfile(member)
                if content is None or Path(member.name).name != member.name:
                    raise Failure(
                        f"{folder / name} holds {member.name!r}, which no bundle does: make the bundle again."
                    )
                with (out / member.name).open("wb") as file:
                    while block := content.read(2**20):
                        file.write(block)
    for first in sorted(out.glob("*.piece-001")):
        joined = first.with_suffix("")
        with joined.open("wb") as file:
            for piece in sorted(out.glob(glob.escape(joined.name) + ".piece-*"), key=piece_number):
                file.write(piece.read_bytes())
                piece.unlink()


def piece_number(path: Path) -> int:
    return int(path.suffix.rpartition("-")[2])
