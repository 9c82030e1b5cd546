"""What the page is made of: files as they lie here, and the policy that its browser holds it to."""

from __future__ import annotations

from importlib.resources import files

from longctx.server.page.markdown import code_styles

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types longctx"
)
"""The page may ask this server and no other; nothing in it runs but its own files, and one place
of its scripts alone makes markup."""

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_CODE_STYLES = "code.css"
_STATIC = files("longctx.server.page").joinpath("static")
NAMES = frozenset(
    {_CODE_STYLES} | {file.name for file in _STATIC.iterdir() if file.name.endswith(tuple(_KINDS))}
)
"""Of the files."""


def asset(name: str) -> tuple[str, str]:
    """The text of a file and its media type.

    Args:
        name: one of :data:`NAMES`.
    """
    kind = _KINDS["." + name.rpartition(".")[2]]
    text = code_styles() if name == _CODE_STYLES else _STATIC.joinpath(name).read_text("utf-8")
    return text, kind
