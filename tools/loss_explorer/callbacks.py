"""What the page does: one callback for everything that an event changes, others for the descent, curves and files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dash import Dash, Input, Output, Patch, State, ctx, html, no_update
from dash.exceptions import PreventUpdate
from loss_views.notes import notes_of
from tool_runtime.errors import ToolError

from . import curves, page, tables
from .descent import places
from .events import BOXES, Fields, dragged, filled
from .figure import axes, labelled_arrows, seen, shapes, traces
from .losses import names, read_loss
from .state import DEFAULT, OF_MODIFIERS, SIDES, from_link, to_link
from .state import State as Position
from .values import rows

BOX_FIELDS = {f"{name}-{side}": name for name in BOXES for side in SIDES}
MODIFIER_FIELDS = ("on", "power", "inner_ratio", "focaler-d", "focaler-u", "focus")
OTHER_FIELDS = ("losses", "curves", "line", "curve_line", "arrows", "rule", "step", "tab")
PARTS = {**BOX_FIELDS, **dict.fromkeys(MODIFIER_FIELDS, "modifiers"), **{name: name for name in OTHER_FIELDS}}
"""What part of the state a component holds."""
TYPED = (*BOX_FIELDS, *MODIFIER_FIELDS[1:], "line", "curve_line")
"""Components whose text stays where it is wrong, to be put right."""
FIELDS: dict[str, str | list[str]] = {
    **{name: [f"{name}-{side}" for side in SIDES] for name in BOXES},
    **{name: name for name in (*OTHER_FIELDS, *MODIFIER_FIELDS) if "-" not in name},
    "focaler": ["focaler-d", "focaler-u"],
}
"""Components by the names of :class:`Fields`."""
SENT = {
    "stored": Output("state", "data"),
    "search": Output("location", "search"),
    "copied": Output("copy", "content"),
    "figure": Output("figure", "figure"),
    "numbers": Output("numbers", "children"),
    "left_out": Output("left-out", "children"),
    "message": Output("message", "children"),
    "drag": Output("drag", "data"),
    "loss_options": Output("losses", "options"),
    "curve_options": Output("curves", "options"),
    "arrow_options": Output("arrows", "options"),
    "no_boxes": Output("boxes", "hidden"),
    "no_curves": Output("logits", "hidden"),
}


def components(kind: type[Input] | type[Output]) -> dict[str, Any]:
    """The values of all fields, as inputs or as outputs."""
    return {
        name: [kind(one, "value") for one in ids] if isinstance(ids, list) else kind(ids, "value")
        for name, ids in FIELDS.items()
    }


KEEP_DRAGS = """
(moved, waiting) => Object.keys(moved || {}).some(key => key.startsWith('shapes['))
    ? {...waiting, ...moved} : dash_clientside.no_update
"""
"""Shapes that were dragged wait until they are answered, so that none is lost to what else happens meanwhile."""


def register(app: Dash) -> None:
    """Add the callbacks to the page."""
    app.clientside_callback(
        KEEP_DRAGS,
        Output("drag", "data", allow_duplicate=True),
        Input("figure", "relayoutData"),
        State("drag", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        output={"sent": SENT, "fields": components(Output)},
        inputs={
            "fields": components(Input),
            "drag": Input("drag", "data"),
            "search": Input("location", "search"),
            "stored": State("state", "data"),
            "href": State("location", "href"),
        },
    )
    def update(fields: dict[str, Any], drag: Any, search: Any, stored: Any, href: Any) -> dict[str, Any]:
        triggers = {str(trigger["prop_id"]).rpartition(".")[0] for trigger in ctx.triggered}
        before = None if stored is None else from_link(stored)[0]
        after, wrong = from_link(search)
        from_address = before is None or ("location" in triggers and bool(wrong or after != before))
        if not from_address:
            after, wrong = turned(before, Fields(**fields), drag, triggers)
            if after == before and not wrong and triggers <= {"location"}:
                raise PreventUpdate
        sent = said(before, after) | {"message": [html.P(f"{text[:1].upper()}{text[1:]}.") for text in wrong]}
        if not from_address and after != before:
            sent["search"] = to_link(after)
        if drag:
            sent["drag"] = {}
        sent["copied"] = (href or "").split("?")[0] + to_link(after)
        shown = {name: differing(ids, of_fields(after)[name], fields[name]) for name, ids in FIELDS.items()}
        if wrong and not from_address:
            shown |= {
                name: kept(ids) for name, ids in FIELDS.items() if (ids if isinstance(ids, str) else ids[0]) in TYPED
            }
        return {"sent": {name: sent.get(name, no_update) for name in SENT}, "fields": shown}

    @app.callback(
        Output("figure", "figure", allow_duplicate=True),
        Output("descended", "children"),
        Output("no-descent", "children"),
        Output("at", "children"),
        Input("state", "data"),
        Input("step", "drag_value"),
        State("descended", "children"),
        prevent_initial_call=True,
    )
    def follow(stored: str, step: Any, there: Any) -> tuple[Any, ...]:
        state = from_link(stored)[0]
        if not any(str(trigger["prop_id"]).startswith("state.") for trigger in ctx.triggered):
            state = filled(state, "step", Fields(step=step))
        if state.step == 0 and not there:
            raise PreventUpdate
        patch = Patch()
        if state.step == 0:
            patch["data"] = []
            return patch, [], "", "0"
        found, notes = places(state, state.step)
        patch["data"] = traces([place.label for place in found], [place.way for place in found])
        return patch, tables.descent_table(found, state.step), " ".join(notes), str(state.step)

    @app.callback(
        Output("panels", "children"),
        Output("notes", "children"),
        Output("drawn", "data"),
        Input("state", "data"),
        State("drawn", "data"),
    )
    def draw(stored: str | None, drawn: list[str] | None) -> tuple[Any, str, list[str]]:
        state = DEFAULT if stored is None else from_link(stored)[0]
        if state.tab != "curves" or list(state.curves) == drawn:
            raise PreventUpdate
        return page.panels(state.curves), curves.notes(state.curves), list(state.curves)

    @app.callback(
        Output("file", "data"),
        Input("json", "n_clicks"),
        Input("csv", "n_clicks"),
        State("state", "data"),
        prevent_initial_call=True,
    )
    def save(json_clicks: Any, csv_clicks: Any, stored: str) -> dict[str, str]:
        state = from_link(stored)[0]
        found = rows(state.chosen(), state.modifiers, state.pred, state.target)
        if ctx.triggered_id == "csv":
            return {"content": tables.as_csv(found), "filename": "boxes.csv", "type": "text/csv"}
        text = tables.as_json(state, found, places(state, state.step)[0])
        return {"content": text, "filename": "boxes.json", "type": "application/json"}


def turned(before: Position, fields: Fields, drag: Any, triggers: set[str]) -> tuple[Position, list[str]]:
    """The state after something on the page changed, and what is wrong with the change."""
    after, wrong = before, []
    parts = {PARTS[name] for name in triggers if name in PARTS}
    for part in sorted(unanswered(before, fields) - parts):
        with suppress(ToolError):
            after = filled(after, part, fields)
    try:
        after = dragged(after, drag)
        for part in sorted(parts):
            after = filled(after, part, fields)
    except ToolError as error:
        wrong.append(str(error))
    return after, wrong


def unanswered(before: Position, fields: Fields) -> set[str]:
    """Parts whose fields are not as the state has them, since another event came before their answer."""
    wanted = of_fields(before)
    found = set()
    for name, ids in FIELDS.items():
        sent = differing(ids, wanted[name], getattr(fields, name))
        if isinstance(ids, str):
            ids, sent = [ids], [sent]
        if any(one is not no_update for one in sent):
            found.add(PARTS[ids[0]])
    return found - {"line", "curve_line"}


def said(before: Position | None, after: Position) -> dict[str, Any]:
    """What the page shows of a state beside its fields, as far as it is new."""
    sent: dict[str, Any] = {"stored": to_link(after)}
    if before is None or before.tab != after.tab:
        sent |= {"no_boxes": after.tab != "boxes", "no_curves": after.tab != "curves"}
    chosen = after.chosen()
    if before is None or before.losses != after.losses:
        sent["loss_options"] = options("bbox", after.losses)
        sent["arrow_options"] = [{"label": loss.label, "value": place} for place, loss in enumerate(chosen)]
    if before is None or before.curves != after.curves:
        sent["curve_options"] = options("cls", after.curves)
    found = rows(chosen, after.modifiers, after.pred, after.target)
    sent["numbers"] = tables.values_table(found, after)
    without = {loss.label: after.modifiers.left_out(loss) for loss in chosen}
    notes = [
        *notes_on(after.losses),
        *(f"{label} goes without {' and '.join(names)}." for label, names in without.items() if names),
    ]
    sent["left_out"] = " ".join(notes)
    view = seen(after.target, after.pred)
    patch = Patch()
    patch["layout"]["shapes"] = shapes(after)
    patch["layout"]["annotations"] = labelled_arrows(
        after.pred, found[after.arrows] if found else None, view[2] - view[0]
    )
    if before is not None and before.step and aside(before) != aside(after):
        patch["data"] = []  # until the descent from here is known
    for axis, limits in axes(view).items():
        patch["layout"][axis]["range"] = limits
    sent["figure"] = patch
    return sent


def aside(state: Position) -> Position:
    """The state without what does not change a descent."""
    return replace(state, arrows=0, step=0, tab=DEFAULT.tab, curves=())


@lru_cache(maxsize=64)
def notes_on(texts: tuple[str, ...]) -> tuple[str, ...]:
    """What has to be said of the losses, such as the size of the image that they take by default."""
    return tuple(notes_of([read_loss(text, "bbox") for text in texts]))


def options(slot: str, texts: tuple[str, ...]) -> list[dict[str, str]]:
    """Entries of a list of losses: all that are registered, and the lines that were added."""
    lines = [text for text in texts if text not in names(slot)]
    return [{"label": read_loss(text, slot).label, "value": text} for text in lines] + [
        {"label": name, "value": name} for name in names(slot)
    ]


def of_fields(state: Position) -> dict[str, Any]:
    """What the fields hold; None where the state says nothing, and a field stays as it is."""
    on = state.modifiers
    return {
        **{name: list(getattr(state, name)) for name in (*BOXES, "losses", "curves")},
        **{name: getattr(state, name) for name in ("arrows", "rule", "step", "tab")},
        **{name: getattr(on, name) for name in ("power", "inner_ratio", "focaler", "focus")},
        **{"line": "", "curve_line": "", "on": [name for name in OF_MODIFIERS if getattr(on, name) is not None]},
    }


def differing(ids: str | list[str], wanted: Any, there: Any) -> Any:
    """What a field is sent: nothing where it is there already."""
    if wanted is None:
        return kept(ids)
    if isinstance(ids, list):
        return [differing(one, value, old) for one, value, old in zip(ids, wanted, there, strict=True)]
    return no_update if wanted == there or (wanted == "" and not there) else wanted


def kept(ids: str | list[str]) -> Any:
    """Fields that stay as they are."""
    return [no_update] * len(ids) if isinstance(ids, list) else no_update
