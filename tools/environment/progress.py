"""Run the steps of a build: one line each, a sign of life, a full log, and one clear sentence on failure."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .failures import AGAIN, WRITABLE, Failure, diagnose, first_error


class Steps:
    """Numbered steps of one build, shown on stderr, with the output of their commands in a log file."""

    def __init__(self, total: int, log: Path, append: bool = False):
        self.total = total
        self.log = log
        self.number = 0
        self.title = ""
        self.inherit: tuple[int, ...] = ()  # file descriptors, of locks, that commands keep open
        self.live = sys.stderr.isatty()
        try:
            log.open("ab" if append else "wb").close()
        except OSError as error:
            raise Failure(f"{log} cannot be written ({error.strerror}): {WRITABLE}, {AGAIN}.") from None

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show one step, and how long it took."""
        self.number += 1
        self.title = title
        start = time.monotonic()
        self.show("...")
        try:
            yield
        except BaseException:
            if self.live:
                print(file=sys.stderr)
            raise
        self.show(f"done in {clock(time.monotonic() - start)}", last=True)

    def note(self, text: str) -> None:
        """Tell the user something within a step."""
        print(("\r\x1b[K" if self.live else "") + f"      {text}", file=sys.stderr, flush=True)

    def run(self, command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
        """Run a command with its output in the log; raise Failure when it does not succeed."""
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            begin = log.tell()
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
                pass_fds=self.inherit,
                preexec_fn=die_with_parent,
            )
            try:
                self.wait(child, begin)
            finally:
                if child.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
        if child.returncode:
            raise self.explain(begin, child.returncode)

    def wait(self, child: subprocess.Popen[bytes], begin: int) -> None:
        start = shown = time.monotonic()
        pause = 0.02
        while child.poll() is None:
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
            now = time.monotonic()
            if now - shown >= (0.5 if self.live else 30):
                shown = now
                self.show(f"{clock(now - start)}{self.compiled(begin)}", tick=True)

    def compiled(self, begin: int) -> str:
        """Ninja's own count, where the command is a build."""
        with self.log.open("rb") as log:
            log.seek(max(begin, log.seek(0, os.SEEK_END) - 65536))
            counts = re.findall(rb"^\s*\[(\d+)/(\d+)\] ", log.read(), re.MULTILINE)
        return ", {} of {} files".format(*(int(count) for count in counts[-1])) if counts else ""

    def show(self, text: str, last: bool = False, tick: bool = False) -> None:
        head = f"[{self.number}/{self.total}] {self.title}"
        if self.live:
            head = head[: shutil.get_terminal_size().columns - len(text) - 3]  # a wrapped line cannot be redrawn
            print(f"\r\x1b[K{head}: {text}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif tick:
            self.note(text)
        else:
            print(f"{head}: {text}", file=sys.stderr, flush=True)

    def explain(self, begin: int, code: int) -> Failure:
        output = self.log.read_bytes()[begin:].decode(errors="replace")
        tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-12:])
        meaning, of_the_build = diagnose(output, code)
        problem = f"step {self.number} ({self.title}) failed: {meaning}"
        message = f"{problem}\n  Log: {self.log}, which ends:\n{tail}"
        return Failure(message, of_the_build, first_error(output, code))


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nobody else would end it after a kill -9
