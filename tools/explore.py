#!/usr/bin/env python
"""Show a page where two boxes can be dragged, with what every loss says of them: value, terms, gradient and descent.

It is shown to this machine alone, unless --host says otherwise, loads nothing from elsewhere, and holds its whole state
in its address. A second tab has the curves of classification losses. It needs Dash: pip install 'mmdet-losses[lab]'.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from tool_runtime.errors import ToolError, report_errors

HOST, PORT = "127.0.0.1", 8050


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=HOST, help=f"address to listen on ({HOST}: this machine alone)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port ({PORT}); 0 takes one that is free")
    parser.add_argument("--open", action="store_true", help="open a browser")
    return parser


def main() -> None:
    args = build_parser().parse_args()
    if not 0 <= args.port <= 65535:
        raise ToolError(f"--port must be from 0 to 65535, got {args.port}")
    if find_spec("dash") is None:
        raise ToolError("the page needs Dash: pip install 'mmdet-losses[lab]'")
    from loss_explorer.serve import serve

    serve(args.host, args.port, browser=args.open)


if __name__ == "__main__":
    with report_errors("explore"):
        main()
