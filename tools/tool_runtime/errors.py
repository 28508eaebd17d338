"""Errors of the command-line tools: one sentence for the user, and no traceback."""

from __future__ import annotations

import os
import select
import sys
import types

TRACEBACK_VARIABLE = "MMDET_LOSSES_TRACEBACK"
BROKEN_PIPE = 141
"""Exit code of a program that SIGPIPE ends, as a shell says it."""


class ToolError(Exception):
    """An error that the user can put right: what was expected, what was given, what to do."""


def root_cause(error: BaseException) -> BaseException:
    """Return the first exception of a chain; the error itself where it has no cause."""
    seen = [error]
    while True:
        last = seen[-1]
        behind = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if behind is None or behind in seen:
            return last
        seen.append(behind)


def with_cause(message: str, error: BaseException) -> str:
    """Return a message about an error that also names the root cause.

    Libraries wrap errors: where a ``custom_imports`` fails, MMEngine only says that it failed, and the missing module
    is named by the cause alone.
    """
    cause = root_cause(error)
    lines = str(cause).strip().splitlines()
    if cause is error or (lines and lines[0] in message):
        return message
    return f"{message}; it began with {type(cause).__name__}{': ' if lines else ''}{lines[0] if lines else ''}"


class report_errors:
    """Context of a tool's ``main``: end the process with one message instead of a traceback.

    A :class:`ToolError` exits with code 2, and its message names the root cause. An interrupt (Ctrl-C) exits with 130.
    Every other exception is a defect and keeps its traceback. With the environment variable
    ``MMDET_LOSSES_TRACEBACK=1`` all of them keep it. Where nobody reads the output any more, as after ``| head``, the
    process ends without a word.

    Args:
        tool: Name that the message begins with.
    """

    def __init__(self, tool: str) -> None:
        self.tool = tool

    def __enter__(self) -> report_errors:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, BrokenPipeError):
            end_unread()
        if not isinstance(error, (ToolError, KeyboardInterrupt)):
            return
        if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            return
        if isinstance(error, ToolError):
            message, code = f"{self.tool}: error: {with_cause(str(error), error.__cause__ or error)}", 2
        else:
            message, code = f"{self.tool}: {str(error) or 'interrupted'}", 130
        rank = os.environ.get("RANK")
        print(message if rank is None else f"[rank {rank}] {message}", file=sys.stderr, flush=True)
        raise SystemExit(code) from None


def end_unread() -> None:
    """End the process where nobody reads its output any more.

    Raises:
        SystemExit: With the code of a program that SIGPIPE ended.
    """
    try:
        number, poll = sys.stdout.fileno(), select.poll()
    except (AttributeError, OSError, ValueError):  # no file at all, or Windows
        return
    poll.register(number, 0)
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        # what is left would be written, and fail, when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        raise SystemExit(BROKEN_PIPE)
