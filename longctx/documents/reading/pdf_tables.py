"""The tables of a PDF's page, by its lines and by how its words are aligned.

A PDF knows no tables, only words and lines at places. Two kinds are told by these: cells between
rulings, and columns that white space parts from each other over several lines. Where neither is
sure, there is no table: flat text loses less than a wrong one.

It needs the standard library alone: :mod:`pdf_pages` uses it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_TOUCH = 3.0  # points, within which lines meet
# A drawing has more lines than any table; the time that they take is bounded.
_MAX_CROSSINGS = 1_000_000
_MAX_COMPARISONS = 3_000_000
_GAP_EMS = 0.9  # white space between words that may part columns
_MIN_ROWS = 3
_MAX_WORDS_A_CELL = 5.0
_DASHES = ("-", "\u2013", "\u2014")  # for no value

_Cell = tuple[int, int]


@dataclass(frozen=True)
class Word:
    """A word, its box (``bottom`` < ``top``), and its characters ``[first, last]``."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    first: int
    last: int

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return (self.bottom + self.top) / 2

    @property
    def centre(self) -> float:
        """Where its middle stands in the line."""
        return (self.left + self.right) / 2


@dataclass(frozen=True)
class Ruling:
    """A line: at ``place``, from ``start`` to ``end`` along it."""

    place: float
    start: float
    end: float


@dataclass(frozen=True)
class Found:
    """A table: cells by row, how many rows are its header, and the words it took."""

    rows: list[list[str]]
    header_rows: int
    words: list[Word]


def tables_of(
    words: Sequence[Word], across: Sequence[Ruling], down: Sequence[Ruling]
) -> list[Found]:
    """Find the tables of a page.

    Args:
        words: in the order of the text.
        across: horizontal rulings, their ``place`` a height.
        down: vertical ones.
    """
    found = list(_ruled(words, across, down))
    taken = {id(word) for table in found for word in table.words}
    found += _aligned([word for word in words if id(word) not in taken])
    return found


# Between rulings.


def _ruled(
    words: Sequence[Word], across: Sequence[Ruling], down: Sequence[Ruling]
) -> Iterable[Found]:
    if len(across) * len(down) > _MAX_CROSSINGS:
        return
    for heights, edges, h_lines, v_lines in _grids(across, down):
        n_lines = len(h_lines) + len(v_lines)
        if len(heights) * (len(edges) * n_lines + len(words)) > _MAX_COMPARISONS:
            continue
        table = _in_grid(words, heights, edges, h_lines, v_lines)
        if table is not None:
            yield table


def _grids(
    across: Sequence[Ruling], down: Sequence[Ruling]
) -> Iterable[tuple[list[float], list[float], list[Ruling], list[Ruling]]]:
    """Rulings that meet, as the heights of rows, from the top, and the edges of columns."""
    parent = list(range(len(across) + len(down)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, h in enumerate(across):
        for j, v in enumerate(down, start=len(across)):
            if (
                h.start - _TOUCH <= v.place <= h.end + _TOUCH
                and v.start - _TOUCH <= h.place <= v.end + _TOUCH
            ):
                parent[root(i)] = root(j)
    groups: dict[int, tuple[list[Ruling], list[Ruling]]] = {}
    for i, line in enumerate([*across, *down]):
        groups.setdefault(root(i), ([], []))[i >= len(across)].append(line)
    for h_lines, v_lines in groups.values():
        heights = sorted(_places(h_lines), reverse=True)
        edges = _places(v_lines)
        if len(heights) > 2 and len(edges) > 2:
            yield heights, edges, h_lines, v_lines


def _places(lines: Iterable[Ruling]) -> list[float]:
    places: list[float] = []
    for place in sorted(line.place for line in lines):
        if not places or place - places[-1] > _TOUCH:
            places.append(place)
    return places


def _in_grid(
    words: Sequence[Word],
    heights: list[float],
    edges: list[float],
    h_lines: list[Ruling],
    v_lines: list[Ruling],
) -> Found | None:
    n_rows, n_columns = len(heights) - 1, len(edges) - 1
    inside: dict[_Cell, list[Word]] = {}
    for word in words:
        row = sum(word.middle < height for height in heights) - 1
        column = sum(word.centre > edge for edge in edges) - 1
        if 0 <= row < n_rows and 0 <= column < n_columns and word.middle > heights[-1]:
            inside.setdefault((row, column), []).append(word)
    if not inside:
        return None
    # A cell is one with its neighbour where no line parts them.
    owner = {(r, c): (r, c) for r in range(n_rows) for c in range(n_columns)}
    for r in range(n_rows):
        middle = (heights[r] + heights[r + 1]) / 2
        for c in range(n_columns - 1):
            if not _covers(v_lines, edges[c + 1], middle):
                _unite(owner, (r, c), (r, c + 1))
    for r in range(n_rows - 1):
        for c in range(n_columns):
            if not _covers(h_lines, heights[r + 1], (edges[c] + edges[c + 1]) / 2):
                _unite(owner, (r, c), (r + 1, c))
    members: dict[_Cell, list[Word]] = {}
    for place, there in inside.items():
        members.setdefault(_owner(owner, place), []).extend(there)
    rows = [
        [members.get(_owner(owner, (r, c)), []) for c in range(n_columns)] for r in range(n_rows)
    ]
    lines = [line for band in _bands(rows) for line in _split_band(band)]
    columns = [c for c in range(n_columns) if any(line[c] for line in lines)]
    texts = [[text_of(line[c]) for c in columns] for line in lines if any(line)]
    if len(texts) < 2 or len(columns) < 2 or not _tells(texts):
        return None
    # What stands in no row stays in the text.
    taken = dict.fromkeys(word for line in lines for there in line for word in there)
    return Found(texts, _header_rows(texts), list(taken))


def _covers(lines: Iterable[Ruling], place: float, at: float) -> bool:
    return any(
        abs(line.place - place) <= _TOUCH and line.start - _TOUCH <= at <= line.end + _TOUCH
        for line in lines
    )


def _owner(owner: dict[_Cell, _Cell], place: _Cell) -> _Cell:
    while owner[place] != place:
        owner[place] = owner[owner[place]]
        place = owner[place]
    return place


def _unite(owner: dict[_Cell, _Cell], one: _Cell, other: _Cell) -> None:
    a, b = sorted((_owner(owner, one), _owner(owner, other)))
    owner[b] = a


def _bands(rows: list[list[list[Word]]]) -> Iterable[list[list[Word]]]:
    """Rows, without those that repeat the one above cell for cell: no line parts them."""
    above: list[list[Word]] | None = None
    for row in rows:
        if above is None or any(a is not b for a, b in zip(row, above, strict=True)):
            yield row
        above = row


def _split_band(band: list[list[Word]]) -> Iterable[list[list[Word]]]:
    """A band of rows that no rulings part, by the lines of its words."""
    lines_by_cell = [lines_of(there) for there in band]
    filled = [lines for lines in lines_by_cell if lines]
    most = max((len(lines) for lines in filled), default=0)
    full = [lines for lines in filled if len(lines) == most]
    heights = [line[0].middle for line in full[0]] if full else []
    is_rows = (
        most >= _MIN_ROWS
        and len(full) >= max(2, len(filled) / 2)
        and all(
            all(abs(line[0].middle - h) < _TOUCH for line, h in zip(lines, heights, strict=True))
            for lines in full
        )
        and sum(_is_number(text_of(line)) for lines in full[1:] for line in lines) * 2 >= most
    )
    if not is_rows:
        yield band
        return
    rows: list[list[list[Word]]] = [[[] for _ in band] for _ in heights]
    for column, lines in enumerate(lines_by_cell):
        for line in lines:
            # A cell that is centred beside several lines stands between two of them.
            nearest = min(range(most), key=lambda r: abs(line[0].middle - heights[r]))
            rows[nearest][column] += line
    yield from rows


def _tells(texts: list[list[str]]) -> bool:
    """Whether it is rows of values, and no page with frames around its parts, and no chart."""
    cells = [cell for row in texts for cell in row]
    filled = [cell for cell in cells if cell]
    n_words = sum(len(cell.split()) for cell in filled)
    several = sum(len({*row} - {""}) > 1 for row in texts)
    # A chart's grid, or shaded rows, have lines that part no columns.
    across = sum(bool(a) and a == b for row in texts for a, b in pairwise(row))
    return (
        several >= 2
        and several * 3 >= 2 * len(texts)
        and across * 3 <= len(filled)
        and len(filled) * 3 >= len(cells)
        and n_words <= 40 * len(filled)
    )


# Aligned.


@dataclass(frozen=True)
class _Line:
    segments: list[list[Word]]

    @property
    def middle(self) -> float:
        return self.segments[0][0].middle

    @property
    def height(self) -> float:
        return median(w.top - w.bottom for s in self.segments for w in s)


def _aligned(words: Sequence[Word]) -> Iterable[Found]:
    lines = [_Line(_segments(line)) for line in lines_of(words)]
    block: list[_Line] = []
    for line in lines:
        far = block and block[-1].middle - line.middle > 3.2 * max(line.height, block[-1].height)
        alone = len(line.segments) == 1
        if block and (far or (alone and len(block[-1].segments) == 1)):
            yield from _in_block(block)
            block = []
        if block or not alone:
            block.append(line)
    yield from _in_block(block)


def _segments(line: list[Word]) -> list[list[Word]]:
    em = median(w.top - w.bottom for w in line)
    segments = [[line[0]]]
    for before, word in pairwise(line):
        if word.left - before.right > _GAP_EMS * em:
            segments.append([])
        segments[-1].append(word)
    return segments


def _in_block(block: list[_Line]) -> Iterable[Found]:
    while block and len(block[-1].segments) == 1:
        block = block[:-1]
    several = [line for line in block if len(line.segments) > 1]
    if len(several) < _MIN_ROWS:
        return
    usual = median(len(line.segments) for line in several)
    columns = _columns([line for line in several if len(line.segments) >= usual])
    if len(columns) < 2:
        return
    rows, taken = [], []
    for line in block:
        cells: list[list[Word]] = [[] for _ in columns]
        for segment in line.segments:
            left, right = segment[0].left, segment[-1].right
            over = [i for i, (a, b) in enumerate(columns) if left < b and right > a]
            if not over:
                return
            for i in over:
                cells[i] += segment
            taken += segment
        rows.append([text_of(cell) for cell in cells])
    if not _is_table(rows):
        return
    yield Found(rows, _header_rows(rows), taken)


def _columns(lines: list[_Line]) -> list[tuple[float, float]]:
    spans = sorted((s[0].left, s[-1].right) for line in lines for s in line.segments)
    columns: list[tuple[float, float]] = []
    for left, right in spans:
        if columns and left <= columns[-1][1] + 1:
            columns[-1] = (columns[-1][0], max(right, columns[-1][1]))
        else:
            columns.append((left, right))
    # Neighbours of which no line has both are one, with its words at several places.
    merged = columns[:1]
    for column in columns[1:]:
        if any(_has(line, merged[-1]) and _has(line, column) for line in lines):
            merged.append(column)
        else:
            merged[-1] = (merged[-1][0], column[1])
    return merged


def _has(line: _Line, column: tuple[float, float]) -> bool:
    return any(s[0].left < column[1] and s[-1].right > column[0] for s in line.segments)


def _is_table(rows: list[list[str]]) -> bool:
    """Values in columns, and no prose in two columns, no list with its marks."""
    cells = [cell for row in rows for cell in row if cell]
    body = [cell for row in rows for cell in row[1:] if cell]
    if not body or len(cells) < 0.5 * len(rows) * len(rows[0]):
        return False
    if not any(map(str.isalpha, "".join(cells))):
        return False  # a chart's
    if sum(len(cell.split()) for cell in cells) > _MAX_WORDS_A_CELL * len(cells):
        return False
    for column in zip(*(row[1:] for row in rows), strict=True):
        filled = [cell for cell in column if cell]
        if sum(len(cell.split()) for cell in filled) > _MAX_WORDS_A_CELL * len(filled):
            return False
    numbers = sum(map(_is_number, body))
    return numbers * 2 >= len(body)


# What both need.


def lines_of(words: Sequence[Word]) -> list[list[Word]]:
    """Words by line, from the top, each from the left."""
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda w: -w.middle):
        last = lines[-1] if lines else None
        if last and last[0].middle - word.middle < 0.4 * min(
            last[0].top - last[0].bottom, word.top - word.bottom
        ):
            last.append(word)
        else:
            lines.append([word])
    return [sorted(line, key=lambda w: w.left) for line in lines]


def text_of(words: Sequence[Word]) -> str:
    """A cell's text."""
    return " ".join(word.text for line in lines_of(words) for word in line)


def _is_number(text: str) -> bool:
    solid = "".join(text.split())
    return solid in _DASHES or sum(map(str.isdigit, solid)) * 2 >= max(1, len(solid))


def _header_rows(rows: list[list[str]]) -> int:
    """Rows before the first that has numbers; one where none has, or the first."""
    for i, row in enumerate(rows):
        values = [cell for cell in row[1:] if cell]
        if values and sum(map(_is_number, values)) * 2 >= len(values):
            return i if 0 < i <= 4 else 1
    return 1
