"""`stylize styles --html`: the catalogue as one page that needs nothing beside itself."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from .catalogue import Style
from .errors import SinkWriteError

_PREVIEW: Final = "preview.jpg"
_MEASURES: Final = {
    "int8_psnr_db": ("int8 to fp32", "dB"),
    "equivariance": ("lag under shifts", ""),
    "grid_photos": ("lattice score", ""),
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>stylize-video: styles</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }}
main {{ display: grid; gap: 2rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }}
figure {{ margin: 0; }}
img {{ width: 100%; height: auto; border-radius: .4rem; }}
h2 {{ font-size: 1.1rem; margin: .6rem 0 0; }}
code {{ font-size: .95em; }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: 0 .8rem; font-size: .85rem; margin: .4rem 0; }}
dt {{ opacity: .7; }}
dd {{ margin: 0; }}
</style>
</head>
<body>
<h1>Styles</h1>
<p>Paint with one by <code>stylize video in.mp4 out.mp4 --style NAME</code>.</p>
<main>
{figures}
</main>
</body>
</html>
"""  # noqa: E501


def write_gallery(styles: Sequence[Style], path: Path) -> None:
    """A page with preview, credits and figures of every style. Raises `SinkWriteError`."""
    page = _PAGE.format(figures="\n".join(_figure(style) for style in styles))
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SinkWriteError(f"{path} can't be written: {error.strerror}") from error


def _figure(style: Style) -> str:
    card = style.card
    origin = ", ".join(part for part in (card.artist, card.work, card.year) if part)
    facts = [("name", f"<code>{escape(card.id)}</code>"), ("size", escape(card.tier))]
    if origin:
        facts.append(("learned from", escape(origin)))
    for key, (label, unit) in _MEASURES.items():
        if key in card.measured:
            facts.append((label, f"{float(card.measured[key]):.3g} {unit}".strip()))
    rows = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in facts)
    return (
        f"<figure>{_preview(style)}<figcaption><h2>{escape(card.title)}</h2>"
        f"{escape(card.description)}<dl>{rows}</dl></figcaption></figure>"
    )


def _preview(style: Style) -> str:
    """The style's preview, inside the page; nothing for a style without one."""
    path = style.folder / _PREVIEW if style.folder else None
    if path is None or not path.is_file() or path.is_symlink():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    text = escape(f"a picture painted in the style {style.card.title}", quote=True)
    return f'<img alt="{text}" src="data:image/jpeg;base64,{data}">'
