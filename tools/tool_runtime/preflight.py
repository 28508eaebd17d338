"""Checks of a config, before a model is built or a work directory is written to."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

import mmdet_losses
from mmdet_losses.building import scope_hint
from mmdet_losses.registry import LOSSES, STOCK

from .errors import ToolError

LIST_COMMAND = "python tools/list_losses.py"
PACKAGE = Path(mmdet_losses.__file__).parent


def suggest(name: str, names: Iterable[str]) -> str:
    """Return ``'; did you mean A or B?'``; empty where no name is close."""
    by_lower: dict[str, str] = {}
    for known in names:
        by_lower.setdefault(known.lower(), known)
    close = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(by_lower[key] for key in close)}?" if close else ""


def check_option_keys(cfg: Config, options: dict[str, Any]) -> None:
    """Stop at a ``--cfg-options`` key that misspells one of the config, which MMEngine would silently add.

    Args:
        cfg: The config before the options are merged.
        options: Dotted keys and their values.

    Raises:
        ToolError: Where a key is missing that is not the last of its path, and a very similar one exists.
    """
    runner_names = set(inspect.signature(Runner.__init__).parameters)
    for path in options:
        node: Any = cfg
        for key in path.split(".")[:-1]:
            if not isinstance(node, dict | Config):
                break
            if key not in node:
                close = get_close_matches(key, list(node.keys()), n=1, cutoff=0.9)
                if close and not (node is cfg and key in runner_names):
                    raise ToolError(f"--cfg-options {path}: the config has no {key!r}; did you mean {close[0]!r}?")
                break
            node = node[key]


def find_losses(node: Any, path: str = "model") -> Iterator[tuple[str, dict]]:
    """Yield every loss of a model config as ``(dotted path, dict)``: a dict with ``type`` whose key contains "loss"."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    for key, value in items:
        child = f"{path}.{key}"
        if isinstance(key, str) and "loss" in key and isinstance(value, dict) and "type" in value:
            yield child, value
        yield from find_losses(value, child)


def use_stock_losses(model: Any) -> None:
    """Name MMDetection's own class, in place, for every loss of a model config that it has under that name."""
    outer: tuple[str, ...] = ()
    for path, loss in find_losses(model):
        if path.startswith(outer):  # part of a loss that MMDetection does not have
            continue
        if loss["type"] in STOCK:
            loss["type"] = f"mmdet_losses.stock.{loss['type']}"
        outer += (f"{path}.",)


def check_losses(cfg: Config) -> None:
    """Build every loss of ``cfg.model`` once, by itself, to find unknown names and wrong options first.

    Raises:
        ToolError: With the loss's path in the config, and what is accepted there.
    """
    scope = cfg.get("default_scope", "mmdet")
    for path, loss in find_losses(cfg.get("model", {})):
        name = loss["type"]
        # In another toolbox's scope bare names are another registry's, which says itself what it does not have.
        if isinstance(name, str) and (scope == "mmdet" or "." in name) and MODELS.get(name) is None:
            known = {*LOSSES, *(key for key in MODELS.module_dict if "Loss" in key)}
            raise ToolError(f"{path}: unknown loss {name!r}{suggest(name, known)} ({LIST_COMMAND} lists all)")
        try:
            MODELS.build({"_scope_": scope, **loss})
        except (TypeError, ValueError, AssertionError, KeyError) as error:
            reason = str(error.args[0]) if error.args else f"{name} does not accept {dict(loss)}"
            raise ToolError(f"{path}: {reason}") from error


@contextmanager
def config_errors(config: str) -> Iterator[None]:
    """Turn errors of a wrong config or missing data, inside MMEngine or this package, into a :class:`ToolError`.

    Only errors of the user's input: a missing file, a name that no registry has, an argument that a class of the config
    does not take, a failed check of this package at construction. Other errors propagate.

    Args:
        config: Path of the config, for the message.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ToolError(f"{config}: {missing_file(error)}") from error
    except KeyError as error:
        message = str(error.args[0]) if error.args else ""
        if " is not in the " in message and " registry" in message:
            name, _, rest = message.partition(" is not in the ")
            registry = rest.split(" registry", 1)[0]
            scope, _, kind = registry.partition("::")
            hint = ""
            if kind == "model":
                told = scope_hint(name, scope)
                hint = f". {told}" if told else suggest(name, MODELS.module_dict)
            raise ToolError(f"{config}: no {name!r} in the registry {registry}{hint}") from error
        raise
    except TypeError as error:
        if raised_in(error.__traceback__)[0].endswith("registry/build_functions.py"):
            raise ToolError(f"{config}: {error}") from error
        raise
    except (ValueError, AssertionError) as error:
        if error.args and is_input_check(error):
            raise ToolError(f"{config}: {error}") from error
        raise


def missing_file(error: FileNotFoundError) -> str:
    """Return the message for a missing file."""
    if error.filename is None:
        return str(error)
    return (
        f"{error.filename} does not exist (looked in {Path(error.filename).absolute().parent}); "
        "set the place of the data with --cfg-options data_root=DIR, or in the config"
    )


def raised_in(traceback: TracebackType | None) -> tuple[str, str]:
    """Return file and function of the innermost frame."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "", ""
    code = traceback.tb_frame.f_code
    return code.co_filename.replace("\\", "/"), code.co_name


def is_input_check(error: Exception) -> bool:
    """Return whether ``error`` is about the config: raised by this package while something is built or loaded, or an
    assertion with a message in MMDetection or MMEngine."""
    file, function = raised_in(error.__traceback__)
    if Path(file).is_relative_to(PACKAGE):
        inner = Path(file).relative_to(PACKAGE).parts[0]
        return inner not in ("functional", "modules") or function == "__init__"
    return isinstance(error, AssertionError) and ("/mmdet/" in file or "/mmengine/" in file)
