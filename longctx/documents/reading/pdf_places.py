"""Where on a PDF's page words and rulings stand, and what of its text nobody sees.

It needs what it is given and the standard library: :mod:`pdf_pages` uses it in its process.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.documents.reading.pdf_tables import Ruling, Word

_SHORTEST_RULING = 4.0  # points
_STRAIGHT = 1.0
_BROAD = 4.0  # points: a stroke on which text may stand; a frame's fills nothing
_MAX_SEGMENTS = 2_000  # of one path: drawings have more
_MAX_OBJECTS = 50_000
_MAX_GROUNDS = 1_000  # behind one page's text; more are a drawing
_TINY = 1.5  # points: the height of a line that no reader sees
_WHITE = 250  # of 255
_BLANKS = frozenset((0, 9, 10, 13, 32, 160))

_Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Places:
    """What stands where: words, rulings across and down, and characters that are not seen."""

    words: list[Word]
    across: list[Ruling]
    down: list[Ruling]
    hidden: list[int]


def look(pdfium: Any, page: Any, text_page: Any, n_chars: int) -> Places:
    """Look over a page.

    Args:
        pdfium: ``pypdfium2.raw``.
        page: a page of pypdfium2.
        text_page: its text.
        n_chars: of the text.
    """
    ink = _Ink(pdfium, page)
    visibility = _Visibility(pdfium, page, text_page, ink)
    words: list[Word] = []
    hidden: list[int] = []
    letters: list[str] = []
    box: list[float] = []
    glyph: _Box | None = None
    first = last = 0

    def end_word() -> None:
        if letters:
            left, bottom, right, top = box
            units = "".join(letters).encode("utf-16-le", "surrogatepass")
            text = units.decode("utf-16-le", "surrogatepass")
            words.append(Word(text, left, right, bottom, top, first, last))
        letters.clear()

    rect = pdfium.FS_RECTF()
    raw = text_page.raw
    for i in range(n_chars):
        code = pdfium.FPDFText_GetUnicode(raw, i)
        if code in _BLANKS:
            end_word()
            continue
        pdfium.FPDFText_GetLooseCharBox(raw, i, rect)
        left, bottom, right, top = rect.left, rect.bottom, rect.right, rect.top
        if not visibility.sees(i, (left, bottom, right, top)):
            hidden.append(i)
            end_word()
            continue
        angle = pdfium.FPDFText_GetCharAngle(raw, i)
        if 0.1 < angle < 2 * math.pi - 0.1:
            end_word()  # it stands in no line
            continue
        height = top - bottom
        # Ligatures, and what takes two units of UTF-16, are several characters in one box.
        of_one_glyph = glyph == (left, bottom, right, top)
        glyph = (left, bottom, right, top)
        if letters and not (
            of_one_glyph
            or (
                abs((box[1] + box[3]) - (bottom + top)) < height
                and -2 < left - box[2] < 0.3 * height
            )
        ):
            end_word()
        if letters:
            box[1:] = [min(box[1], bottom), max(box[2], right), max(box[3], top)]
        else:
            box[:] = [left, bottom, right, top]
            first = i
        letters.append(chr(code))
        last = i
    end_word()
    return Places(words, ink.across, ink.down, hidden)


class _Ink:
    """What is drawn beside the text: rulings, and what is filled behind it."""

    def __init__(self, pdfium: Any, page: Any) -> None:
        self.across: list[Ruling] = []
        self.down: list[Ruling] = []
        self.filled: list[_Box] = []
        self.pictures: list[_Box] = []
        kinds = (pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING,
                 pdfium.FPDF_PAGEOBJ_FORM)  # fmt: skip
        for n, item in enumerate(page.get_objects(filter=kinds, max_depth=1)):
            if n > _MAX_OBJECTS:
                return
            if item.type == pdfium.FPDF_PAGEOBJ_PATH:
                self._path(pdfium, item)
            elif item.type != pdfium.FPDF_PAGEOBJ_FORM:
                self.pictures.append(item.get_bounds())
            else:  # it may fill what it covers
                self.filled.append(item.get_bounds())

    def _path(self, pdfium: Any, item: Any) -> None:
        n_segments = pdfium.FPDFPath_CountSegments(item.raw)
        if n_segments > _MAX_SEGMENTS:
            return
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDFPath_GetDrawMode(item.raw, fill, stroke)
        if fill.value and _color(pdfium.FPDFPageObj_GetFillColor, item.raw) == "":
            self.filled.append(item.get_bounds())
        if not (fill.value or stroke.value):
            return
        half = _stroke(pdfium, item) / 2 if stroke.value else 0.0
        for a, b in _segments(pdfium, item, n_segments):
            is_straight = min(abs(a[0] - b[0]), abs(a[1] - b[1])) < _STRAIGHT
            if is_straight and 2 * half >= _BROAD and len(self.filled) <= _MAX_GROUNDS:
                self.filled.append(_around(a, b, half))
            if abs(a[1] - b[1]) < _STRAIGHT and abs(a[0] - b[0]) >= _SHORTEST_RULING:
                self.across.append(Ruling((a[1] + b[1]) / 2, *sorted((a[0], b[0]))))
            elif abs(a[0] - b[0]) < _STRAIGHT and abs(a[1] - b[1]) >= _SHORTEST_RULING:
                self.down.append(Ruling((a[0] + b[0]) / 2, *sorted((a[1], b[1]))))


def _stroke(pdfium: Any, item: Any) -> float:
    """How broad a path's stroke is on the page; 0 where it is not seen."""
    width = ctypes.c_float()
    if not pdfium.FPDFPageObj_GetStrokeWidth(item.raw, width):
        return 0.0
    if _color(pdfium.FPDFPageObj_GetStrokeColor, item.raw) != "":
        return 0.0
    m = item.get_matrix()
    return float(width.value * math.sqrt(abs(m.a * m.d - m.b * m.c)))


def _around(a: tuple[float, float], b: tuple[float, float], half: float) -> _Box:
    """What a stroke covers that runs across or down; its ends may be round or square."""
    return (
        min(a[0], b[0]) - half,
        min(a[1], b[1]) - half,
        max(a[0], b[0]) + half,
        max(a[1], b[1]) + half,
    )


def _segments(
    pdfium: Any, item: Any, n_segments: int
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of a path, on the page."""
    m = item.get_matrix()
    x, y = ctypes.c_float(), ctypes.c_float()
    start = before = (0.0, 0.0)
    for i in range(n_segments):
        segment = pdfium.FPDFPath_GetPathSegment(item.raw, i)
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        point = (m.a * x.value + m.c * y.value + m.e, m.b * x.value + m.d * y.value + m.f)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            start = point
        elif kind == pdfium.FPDF_SEGMENT_LINETO:
            yield before, point
        before = point
        if pdfium.FPDFPathSegment_GetClose(segment):
            yield point, start


class _Visibility:
    """Whether a reader sees a character: not where it is drawn without ink, white on white, too
    small, or off the page. The invisible text over a scan's picture is its text layer, and seen.
    """

    def __init__(self, pdfium: Any, page: Any, text_page: Any, ink: _Ink) -> None:
        self._pdfium = pdfium
        self._raw = text_page.raw
        self._ink = ink
        left, bottom, right, top = page.get_bbox()
        self._page = (left - 1, bottom - 1, right + 1, top + 1)
        self._known: dict[int, str] = {}

    def sees(self, index: int, box: _Box) -> bool:
        left, bottom, right, top = box
        if top - bottom < _TINY and right - left < _TINY:
            return right <= left  # of no size at all: not known
        at = ((left + right) / 2, (bottom + top) / 2)
        if not _holds(self._page, at):
            return False
        how = self._drawn(index)
        if how == "":
            return True
        if len(self._ink.pictures) + len(self._ink.filled) > _MAX_GROUNDS:
            return True
        if any(_holds(picture, at) for picture in self._ink.pictures):
            return True
        return how == "white" and any(_holds(filled, at) for filled in self._ink.filled)

    def _drawn(self, index: int) -> str:
        """How its run of text is drawn: "none", "white", or ""."""
        pdfium = self._pdfium
        run = pdfium.FPDFText_GetTextObject(self._raw, index)
        if not run:
            return ""
        address = ctypes.addressof(run.contents) if hasattr(run, "contents") else 0
        if address not in self._known:
            mode = pdfium.FPDFTextObj_GetTextRenderMode(run)
            if mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE:
                how = "none"
            elif mode in (pdfium.FPDF_TEXTRENDERMODE_FILL, pdfium.FPDF_TEXTRENDERMODE_FILL_CLIP):
                how = _color(pdfium.FPDFPageObj_GetFillColor, run)
            else:
                how = ""
            self._known[address] = how
        return self._known[address]


def _color(get: Any, item: Any) -> str:
    """ "white", "none" where it is transparent, or ""."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not get(item, red, green, blue, alpha):
        return ""
    if alpha.value == 0:
        return "none"
    return "white" if min(red.value, green.value, blue.value) >= _WHITE else ""


def _holds(box: Sequence[float], at: tuple[float, float]) -> bool:
    return box[0] <= at[0] <= box[2] and box[1] <= at[1] <= box[3]
