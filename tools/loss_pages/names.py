"""Where Python names of docstrings and signatures lead: to the page that documents them, or to another project's."""

from __future__ import annotations

import sys
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

TORCH = "https://docs.pytorch.org/docs/stable"
ENGINE = "https://mmengine.readthedocs.io/en/latest/api/generated"
OUTSIDE = {
    "Module": f"{TORCH}/generated/torch.nn.Module.html",
    "Runner": f"{ENGINE}/mmengine.runner.Runner.html",
    "Tensor": f"{TORCH}/tensors.html#torch.Tensor",
    "torch.Tensor": f"{TORCH}/tensors.html#torch.Tensor",
    "torch.nn.Module": f"{TORCH}/generated/torch.nn.Module.html",
    "torch.nn.modules.module.Module": f"{TORCH}/generated/torch.nn.Module.html",
    "nn.Module": f"{TORCH}/generated/torch.nn.Module.html",
    "typing_extensions.Unpack": "https://docs.python.org/3/library/typing.html#typing.Unpack",
}
"""Addresses of names of other projects, which need no network when the site is built."""
INSIDE = {
    "Modifiers": ("losses/index", "modifiers-of-the-iou-family"),
    "OverlapModifiers": ("losses/index", "modifiers-of-the-iou-family"),
}
"""Pages and anchors of names whose options are described elsewhere."""
INVENTORIES = {
    "torch": ("https://docs.pytorch.org/docs/stable/", None),
    "mmengine": ("https://mmengine.readthedocs.io/en/latest/", None),
    "mmdet": ("https://mmdetection.readthedocs.io/en/latest/", None),
}
"""Where the lists of all names of other projects are, for builds with a network."""


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.TextElement
) -> nodes.Element | None:
    """A name that Sphinx does not find as it is written: by its last part, or in another project."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    page, anchor = INSIDE.get(target.rpartition(".")[2]) or documented(env.domaindata["py"]["objects"], target)
    if page:
        return make_refnode(app.builder, node["refdoc"], page, anchor, contnode, target)
    address = OUTSIDE.get(target) or of_python(target)
    if address:
        return nodes.reference("", "", contnode, internal=False, refuri=address, reftitle=target)
    return None


def documented(objects: dict[str, ObjectEntry], target: str) -> tuple[str, str]:
    """Page and anchor of the one object that a name can mean; empty where there are several or none.

    Docstrings name a class by the file that it is in, which is not where it is documented.
    """
    last = target.rpartition(".")[2]
    ends = (target, last) if target == last or target.startswith("mmdet_losses.") else (target,)
    for end in ends:
        found = {
            (entry.docname, entry.node_id)
            for name, entry in objects.items()
            if f".{name}".endswith(f".{end}") and not entry.aliased
        }
        if len(found) == 1:
            return found.pop()
    return "", ""


def of_python(target: str) -> str:
    """Address of a name of Python's library."""
    module = target.rpartition(".")[0]
    if module.partition(".")[0] in sys.stdlib_module_names:
        return f"https://docs.python.org/3/library/{module}.html#{target}"
    return ""


def skip(app: Sphinx, what: str, name: str, obj: Any, without: bool, options: Any) -> bool | None:
    """Fields of named tuples have no words of their own; the class says what they are."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def keep_words(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Remember what is said of an attribute, see :func:`put_back`."""
    app.env.temp_data["said"] = list(lines)


def put_back(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The words of an attribute as they were: napoleon takes those before a colon for its type."""
    if what in ("attribute", "data", "property"):
        lines[:] = app.env.temp_data["said"]
