"""The tables of the page, and the files in which their numbers are saved."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from dash import html

from .descent import Place
from .state import SIDES, State, to_link
from .values import Row, overlap_of

DIGITS = 6
"""Significant digits of a number in a table."""
NONE = "-"


def written(value: float | None) -> str:
    return NONE if value is None else f"{value:.{DIGITS}g}"


def table(caption: str, header: Sequence[str], body: Sequence[Sequence[Any]], name: str) -> html.Table:
    """A table whose first column names the rows."""
    head = html.Tr([html.Th(text, scope="col") for text in header])
    lines = [html.Tr([html.Th(first, scope="row"), *map(html.Td, rest)]) for first, *rest in body]
    return html.Table(
        [html.Caption(html.Span(caption)), html.Thead(head), html.Tbody(lines)], id=name, className="numbers"
    )


def values_table(rows: Sequence[Row], state: State) -> html.Table:
    """What the losses say of the boxes as they stand."""
    body = [
        [
            row.label,
            html.Strong(written(row.value)),
            written(row.overlap),
            html.Span(" + ".join(f"{name} {written(value)}" for name, value in row.terms.items()) or NONE),
            written(row.factor),
            *map(written, row.gradient),
        ]
        for row in rows
    ]
    on = state.modifiers.said()
    caption = f"IoU {written(overlap_of(state.pred, state.target))}. Value = factor * (overlap cost + terms)."
    caption += f" With {on}." if on else ""
    header = ("loss", "value", "overlap cost", "terms", "factor", *(f"∂/∂{side}" for side in SIDES))
    return table(caption, header, body, "values")


def descent_table(places: Sequence[Place], step: int) -> html.Table:
    """Where the losses have brought the prediction."""
    body = [
        [place.label, written(place.value), written(place.iou), written(place.error), *map(written, place.way[-1])]
        for place in places
    ]
    caption = f"After step {step}. Error = |x - X| + |y - Y| + |w - W| + |h - H| in pixels."
    return table(caption, ("loss", "value", "IoU", "error", *SIDES), body, "places")


def as_json(state: State, rows: Sequence[Row], places: Sequence[Place]) -> str:
    """Position, config lines and all numbers."""
    here = {
        "link": to_link(state),
        "target": state.target,
        "prediction": state.pred,
        "iou": overlap_of(state.pred, state.target),
        "losses": [
            {
                **{"loss": row.label, "config": row.line, "value": row.value, "overlap_cost": row.overlap},
                **{"terms": row.terms, "factor": row.factor},
                "gradient": dict(zip(SIDES, row.gradient, strict=True)),
            }
            for row in rows
        ],
        "descent": {
            "rule": state.rule,
            "step": state.step,
            "losses": [
                {
                    **{"loss": place.label, "value": place.value, "iou": place.iou, "error": place.error},
                    "box": place.way[-1],
                }
                for place in places
            ],
        },
    }
    return json.dumps(here, indent=1) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """A line for each loss."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["loss", "config", "value", "overlap_cost", "terms", "factor", *(f"d_{side}" for side in SIDES)])
    for row in rows:
        terms = "; ".join(f"{name}={value!r}" for name, value in row.terms.items())
        writer.writerow([row.label, row.line, row.value, row.overlap, terms, row.factor, *row.gradient])
    return text.getvalue()
