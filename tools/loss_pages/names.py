"""Where Python names of docstrings and signatures lead: to the page that documents them, or to another project's."""

from __future__ import annotations

import sys
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
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
    objects = env.domaindata["py"]["objects"]
    last = target.rpartition(".")[2]
    if last in INSIDE:
        page, anchor = INSIDE[last]
        return make_refnode(app.builder, node["refdoc"], page, anchor, contnode, target)
    near = sorted({entry.node_id: (name, entry) for name, entry in objects.items() if ends_alike(name, target)}.items())
    found = [pair for _, pair in near] or [
        (name, entry) for name, entry in objects.items() if name.rpartition(".")[2] == last and not entry.aliased
    ]
    if len(found) == 1 and (target.startswith("mmdet_losses") or "." not in target or near):
        name, entry = found[0]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)
    address = OUTSIDE.get(target) or of_python(target)
    if address:
        return nodes.reference("", "", contnode, internal=False, refuri=address, reftitle=target)
    return None


def ends_alike(name: str, target: str) -> bool:
    """Whether a documented name ends with all of the target."""
    return name == target or name.endswith(f".{target}")


def of_python(target: str) -> str:
    """Address of a name of Python's library."""
    module = target.rpartition(".")[0]
    if module.partition(".")[0] in sys.stdlib_module_names:
        return f"https://docs.python.org/3/library/{module}.html#{target}"
    return ""


def keep_words(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Remember what is said of an attribute, see :func:`put_back`."""
    app.env.temp_data["said"] = list(lines)


def put_back(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The words of an attribute as they were: napoleon takes those before a colon for its type."""
    if what in ("attribute", "data", "property"):
        lines[:] = app.env.temp_data["said"]
