"""The page on a port of this machine."""

from __future__ import annotations

import socket
import threading
import webbrowser
from pathlib import Path

from dash import Dash
from tool_runtime.errors import ToolError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from . import callbacks, page

LARGEST_REQUEST = 1_000_000
"""Bytes."""


class QuietHandler(WSGIRequestHandler):
    """Prints nothing of the requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def build() -> Dash:
    """The page; all that the browser loads comes from here."""
    app = Dash(
        "loss_explorer",
        title=page.TITLE,
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        add_log_handler=False,
    )
    app.layout = page.page()
    callbacks.register(app)
    app.server.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    return app


def bound(host: str, port: int) -> socket.socket:
    """A socket on the port.

    Raises:
        ToolError: Where it cannot be had.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        one = socket.socket(family, kind, proto)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)
        one.listen(128)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ToolError(
            f"cannot listen on {host} port {port} ({reason}): choose another with --port, or 0 for one that is free"
        ) from None
    return one


def server(host: str, port: int) -> BaseWSGIServer:
    """The page as a server that waits to be started; its ``port`` is the one that it has."""
    with bound(host, port) as one:
        port = one.getsockname()[1]
        application = build().server
        return make_server(host, port, application, threaded=True, request_handler=QuietHandler, fd=one.fileno())


def serve(host: str, port: int, *, browser: bool = False) -> None:
    """Show the page until Ctrl-C."""
    with server(host, port) as waiting:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{waiting.port}/"
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if browser:
            threading.Timer(0.5, webbrowser.open, (address,)).start()
        waiting.serve_forever()
