"""Pictures in a window, where there is a display."""

from __future__ import annotations

from matplotlib.figure import Figure
from tool_runtime.errors import ToolError

NONE = "--show: there is no display for a window; write a file with --out, or set MPLBACKEND to a backend that has one"


def empty() -> Figure:
    """An empty figure of a window.

    Raises:
        ToolError: Where there is no display.
    """
    import matplotlib.pyplot as plt
    from matplotlib.backend_bases import FigureManagerBase

    try:
        figure = plt.figure()
    except ImportError as error:
        raise ToolError(NONE) from error
    if figure.canvas.manager is None or type(figure.canvas).manager_class is FigureManagerBase:
        plt.close(figure)
        raise ToolError(NONE)
    return figure


def show() -> None:
    """Open the windows of all figures, and wait until they are closed."""
    import matplotlib.pyplot as plt

    plt.show()
