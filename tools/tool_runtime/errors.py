"""The error of the command line tools: one sentence to the user and no traceback."""

from __future__ import annotations

import os
import sys
import types

TRACEBACK_VARIABLE = "MMDET_LOSSES_TRACEBACK"


class ToolError(Exception):
    """Something that the user can put right: what was expected, what came, what to do."""


def root_cause(error: BaseException) -> BaseException:
    """The exception that a chain of them began with; the error itself where nothing is behind it."""
    seen = [error]
    while True:
        last = seen[-1]
        behind = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if behind is None or behind in seen:
            return last
        seen.append(behind)


def with_cause(message: str, error: BaseException) -> str:
    """A message about an error, which also names what the error began with.

    Libraries wrap errors: of a ``custom_imports`` that fails, MMEngine raises that it failed, and which module is
    missing stands only in the exception behind that.
    """
    cause = root_cause(error)
    lines = str(cause).strip().splitlines()
    if cause is error or (lines and lines[0] in message):
        return message
    return f"{message}; it began with {type(cause).__name__}{': ' if lines else ''}{lines[0] if lines else ''}"


class report_errors:
    """Context of a tool's ``main``: ends the process with one message instead of a traceback.

    A :class:`ToolError` exits with code 2, and its message names what the error behind it began with. An interruption
    (Ctrl-C) exits with 130. Everything else is a defect, and keeps its traceback. Set the environment variable
    ``MMDET_LOSSES_TRACEBACK=1`` to see the traceback behind a message, too.

    Args:
        tool: name that starts the message.
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
