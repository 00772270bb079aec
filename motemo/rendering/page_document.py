"""A self-contained HTML document. The one file that imports plotly.

A page holds plotly.js itself and loads nothing. Its content security policy allows no network at
all and no script but those that it was written with, so that even a genotype or a setting that
looks like a script stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape

from plotly.offline import get_plotlyjs

from motemo.space import Json

_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def document(
    title: str, body: Sequence[str], *, payload: Mapping[str, Json], style: str, script: str
) -> str:
    """Return a whole document; about 5 MB, nearly all of it plotly.js.

    Args:
        title: Title of the page, as text.
        body: HTML of the parts, in which everything is escaped.
        payload: What the script reads from the element `payload`; numbers must be finite.
        style: Style sheet.
        script: The page's own script, which runs after plotly.js.
    """
    scripts = (str(get_plotlyjs()), script)
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            f'content="{escape(_content_security_policy(scripts))}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>",
            *(part for part in body if part),
            "</main>",
            f'<script type="application/json" id="payload">{_embed(payload)}</script>',
            *(f"<script>{text}</script>" for text in scripts),
            "</body>\n</html>\n",
        )
    )


def _content_security_policy(scripts: Sequence[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _embed(content: Mapping[str, Json]) -> str:
    """Return JSON that cannot end the script element it stands in; it is plain ASCII."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character, code in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, code)
    return text
