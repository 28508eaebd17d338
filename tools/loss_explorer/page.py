"""The parts of the page, as Dash has them."""

from __future__ import annotations

from collections.abc import Sequence

from box_simulation.descent import RULES
from dash import dcc, html

from mmdet_losses.modules.boxes.focus import FOCUSES

from . import curves
from .figure import CONFIG, figure
from .losses import LONGEST
from .state import DEFAULT, SIDES, STEPS

TITLE = "What a box loss says"
ON_INTERVAL = (0.0, 0.95)
"""Focaler's as its authors' code has it."""
EXAMPLES = {"line": "dict(type='SIoULoss', power=3.0)", "curve_line": "dict(type='FocalLoss', gamma=3)"}
SPOKEN = {"power": "power (alpha-IoU)", "inner_ratio": "inner ratio", "focaler": "focaler d, u", "focus": "focus"}
HELP = (
    "Drag a box to move it, a side or a corner to resize it, or type coordinates; y points down, as in images. Arrows: "
    "where descent pushes each side of the prediction, with the derivative. The camera saves the picture."
)


def page() -> html.Main:
    return html.Main(
        [
            dcc.Location(id="location", refresh=False),
            dcc.Store(id="state"),
            dcc.Store(id="drawn"),
            dcc.Store(id="drag"),
            dcc.Download(id="file"),
            html.Header([html.H1(TITLE), sharing()]),
            html.Div(id="message", role="alert", className="message"),
            dcc.RadioItems(
                [{"label": "Boxes", "value": "boxes"}, {"label": "Classification curves", "value": "curves"}],
                DEFAULT.tab,
                id="tab",
                inline=True,
                className="tabs",
            ),
            boxes(),
            logits(),
        ]
    )


def sharing() -> html.Div:
    return html.Div(
        [
            dcc.Clipboard("Copy link", id="copy", className="button", copied_children="Copied", title="Copy link"),
            html.Button("Save JSON", id="json", className="button"),
            html.Button("Save CSV", id="csv", className="button"),
        ],
        className="sharing",
    )


def boxes() -> html.Div:
    return html.Div(
        [
            html.P(HELP, className="help"),
            html.Section([plot(), coordinates()], className="picture"),
            html.Section(
                [choice("losses", "line", "Losses", DEFAULT.losses), arrow_choice(), modifiers()], className="choice"
            ),
            html.Section([html.Div(id="numbers", className="scrolled"), html.P(id="left-out")], className="wide"),
            html.Section(
                [
                    descent(),
                    dcc.Loading(html.Div(id="descended", className="scrolled"), delay_show=300),
                    html.P(id="no-descent"),
                ],
                className="wide last",
            ),
        ],
        id="boxes",
        className="boxes",
    )


def plot() -> html.Div:
    return html.Div(dcc.Graph(id="figure", figure=figure(DEFAULT), config=CONFIG, responsive=True), className="figure")


def field(name: str, text: str, value: float) -> html.Div:
    """A number with its label."""
    return html.Div([html.Label(text, htmlFor=name), number(name, text, value)], className="field")


def coordinates() -> html.Div:
    rows = [
        html.Fieldset(
            [
                html.Legend(text),
                *(
                    field(f"{name}-{side}", side, value)
                    for side, value in zip(SIDES, getattr(DEFAULT, name), strict=True)
                ),
            ],
            className=f"box {name}",
        )
        for name, text in (("target", "Target (dashed)"), ("pred", "Prediction (solid)"))
    ]
    return html.Div(rows, className="coordinates")


def descent() -> html.Fieldset:
    marks = {step: str(step) for step in range(0, STEPS + 1, 50)}
    slider = dcc.Slider(
        id="step",
        min=0,
        max=STEPS,
        step=1,
        value=0,
        marks=marks,
        updatemode="mouseup",
        allow_direct_input=False,
        tooltip={"placement": "top"},
    )
    rule = dcc.Dropdown(
        id="rule",
        options=[{"label": f"{name}: {text}", "value": name} for name, text in RULES.items()],
        value=DEFAULT.rule,
        clearable=False,
        searchable=False,
        optionHeight="auto",
    )
    return html.Fieldset(
        [
            html.Legend("Descent from here, all losses"),
            html.Div([html.Label(["step ", html.Output("0", id="at")], htmlFor="step"), slider], className="slider"),
            html.Div([html.Label("direction", htmlFor="rule"), rule], className="rule"),
        ],
        className="descent",
    )


def choice(name: str, line: str, text: str, present: Sequence[str]) -> html.Fieldset:
    """A list to choose losses from, and a field for a line of a config."""
    losses = dcc.Dropdown(
        id=name,
        options=list(present),
        value=list(present),
        multi=True,
        searchable=True,
        closeOnSelect=False,
        placeholder="Choose losses",
        maxHeight=320,
    )
    written = dcc.Input(
        id=line,
        type="text",
        placeholder=EXAMPLES[line],
        maxLength=LONGEST,
        spellCheck="false",
        autoComplete="off",
        debounce=True,
    )
    # leaving the field sends it, so the button has nothing else to do
    adding = html.Div([written, html.Button("Add", className="button")], className="line")
    return html.Fieldset([html.Legend(text), losses, unseen(line, "a loss as a line of a config"), adding])


def unseen(name: str, text: str) -> html.Label:
    """What a field is called to those who do not see the page."""
    return html.Label(text, htmlFor=name, className="unseen")


def arrow_choice() -> html.Fieldset:
    options = [{"label": name, "value": place} for place, name in enumerate(DEFAULT.losses)]
    return html.Fieldset(
        [
            html.Legend("Arrows of"),
            dcc.Dropdown(id="arrows", options=options, value=0, clearable=False, searchable=False),
        ]
    )


def modifiers() -> html.Fieldset:
    low, high = ON_INTERVAL
    switches = dcc.Checklist(
        [{"label": text, "value": name} for name, text in SPOKEN.items()], [], id="on", className="switches"
    )
    interval = html.Div([*value("focaler-d", low), *value("focaler-u", high)], className="interval")
    focus = dcc.Dropdown(id="focus", options=list(FOCUSES), value="IoUFocus", clearable=False, searchable=False)
    values = html.Div([*value("power", 3.0), *value("inner_ratio", 0.7), interval, focus], className="values")
    return html.Fieldset(
        [html.Legend("Modifiers of all losses that take them"), html.Div([switches, values], className="modifiers")]
    )


def value(name: str, first: float) -> tuple[html.Label, dcc.Input]:
    """The value of a modifier, as it is when it is first switched on."""
    return unseen(name, name), number(name, name, first)


def number(name: str, text: str, value: float) -> dcc.Input:
    """A field for a number; its range is checked where it arrives, to be named in a sentence."""
    return dcc.Input(id=name, type="number", value=value, step="any", debounce=True, placeholder=text)


def logits() -> html.Div:
    return html.Div(
        [
            html.Section(choice("curves", "curve_line", "Classification losses", DEFAULT.curves), className="choice"),
            dcc.Loading([html.Div(id="panels", className="panels"), html.P(id="notes", className="help")]),
        ],
        id="logits",
        className="logits",
        hidden=True,
    )


def panels(texts: tuple[str, ...]) -> list[html.Div]:
    """The figures of the second tab."""
    return [
        html.Div(dcc.Graph(figure=figure, config=curves.CONFIG, responsive=True), className="panel")
        for figure in curves.figures(texts)
    ]
