"""Characters of Word that are no text: symbols by their place in a font, and boxes of old forms."""

from __future__ import annotations

from typing import Any

from longctx.documents.reading.word_styles import W, is_on

_CHECKED, _UNCHECKED = "\u2611", "\u2610"
# By the place in the font: from 0x20 on, and above.
_SYMBOL = (
    " !\u2200#\u2203%&\u220b()\u2217+,\u2212./0123456789:;<=>?"
    "\u2245ΑΒΧΔΕΦΓΗΙ\u03d1ΚΛΜΝΟΠΘΡΣΤΥ\u03c2ΩΞΨΖ[\u2234]\u22a5_"  # noqa: RUF001  # Greek is meant
    "\u203eαβχδεφγηι\u03d5κλμνοπθρστυ\u03d6ωξψζ{|}\u223c"  # noqa: RUF001  # ditto
)
_SYMBOL_ABOVE = dict(
    zip(
        bytes.fromhex(
            "a1a2a3a4a5abacadaeaf b0b1b2b3b4b5b6b7b8b9babbbc c5c7c8c9cacbcccdcecf"
            "d0d1d2d3d4d5d6d7d8d9dadbdcddde dfe1e5f1f2"
        ),
        "\u03d2\u2032\u2264\u2044\u221e\u2194\u2190\u2191\u2192\u2193\u00b0\u00b1\u2033\u2265\u00d7"
        "\u221d\u2202\u2022\u00f7\u2260\u2261\u2248\u2026\u2295\u2229\u222a\u2283\u2287\u2284\u2282"
        "\u2286\u2208\u2209\u2220\u2207\u00ae\u00a9\u2122\u220f\u221a\u22c5\u00ac\u2227\u2228\u21d4"
        "\u21d0\u21d1\u21d2\u21d3\u2329\u2211\u232a\u222b",
        strict=True,
    )
)
_WINGDINGS = dict(
    zip(
        bytes.fromhex("6c6e6f7172a7a8 fbfcfdfe d8dfe0e1e2e8"),
        "\u25cf\u25a0\u2610\u2751\u2752\u25aa\u2610\u2717\u2713\u2612\u2611\u27a2\u2190\u2192\u2191"
        "\u2193\u2794",
        strict=True,
    )
)


def symbol_text(symbol: Any) -> str | None:
    """The character that a ``w:sym`` shows; None where no text is known for it."""
    try:
        code = int(symbol.get(f"{W}char", ""), 16)
    except ValueError:
        return None
    font = (symbol.get(f"{W}font") or "").lower()
    place = code & 0xFF if 0xF000 <= code <= 0xF0FF else code
    if font == "symbol":
        if 0x20 <= place < 0x20 + len(_SYMBOL):
            return _SYMBOL[place - 0x20]
        return _SYMBOL_ABOVE.get(place)
    if font == "wingdings":
        return _WINGDINGS.get(place)
    # Of any other font, a place that is a character's is that character's.
    is_text = 0x20 <= code < 0xD800 or 0xF900 <= code <= 0x10FFFF
    return chr(code) if is_text and not font.startswith("wing") else None


def field_text(field: Any) -> str:
    """What a box or a list of an old form shows; what is typed into one is text anyway."""
    box, choices = field.find(f"{W}ffData/{W}checkBox"), field.find(f"{W}ffData/{W}ddList")
    if box is not None:
        state = box.find(f"{W}checked")
        state = box.find(f"{W}default") if state is None else state
        return _CHECKED if state is not None and is_on(state) else _UNCHECKED
    if choices is not None:
        entries = [entry.get(f"{W}val", "") for entry in choices.findall(f"{W}listEntry")]
        chosen = choices.find(f"{W}result")
        chosen = choices.find(f"{W}default") if chosen is None else chosen
        number = "0" if chosen is None else chosen.get(f"{W}val", "0")
        return entries[int(number)] if number.isdecimal() and int(number) < len(entries) else ""
    return ""
