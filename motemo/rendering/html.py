"""A front as one self-contained, interactive page."""

from __future__ import annotations

from motemo.front import Front
from motemo.rendering.page import (
    header_html,
    parallel_html,
    picked_html,
    scatter_html,
    settings_html,
    table_html,
)
from motemo.rendering.page_document import document
from motemo.rendering.page_payload import front_payload
from motemo.rendering.page_script import script
from motemo.rendering.page_style import STYLE
from motemo.rendering.quantities import scales


def to_html(front: Front) -> str:
    """Return the page: scatter plot of any two objectives, parallel coordinates, table, settings.

    Works offline in any current browser; about 5 MB, nearly all of it plotly.js.
    """
    by_name = scales(front)
    body = (
        header_html(front),
        scatter_html(front, by_name),
        parallel_html(front),
        table_html(front, by_name),
        settings_html(front),
        picked_html(),
    )
    title = f"Pareto front: {', '.join(axis.name for axis in front.axes)}"
    return document(title, body, payload=front_payload(front), style=STYLE, script=script())
