"""What stands beside the text of an RTF file, put into it: notes, comments, running heads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_KINDS = {
    "footnote": "footnote", "annotation": "comment", "shptxt": "text box", "dptxbxtext": "text box",
    "header": "header", "headerl": "header", "headerr": "header", "headerf": "header",
    "footer": "footer", "footerl": "footer", "footerr": "footer", "footerf": "footer",
}  # fmt: skip
_IN_LINE = ("footnote", "comment")
_OLD_TEXT_BOX = "dptxbxtext"
"""Beside a newer one, the same for programs that do not know that."""
_TOKEN = re.compile(r"\\bin(?P<size>\d+) ?|\\[^a-zA-Z]|[{}]")
_GROUP = re.compile(
    rf"\{{\s*(?:\\\*\s*)?\\(?:(?P<word>{'|'.join(_KINDS)})|shp|do)(?![a-zA-Z])(?:-?\d+)? ?"
)


def with_notes(rtf: str, plain: Callable[[str], str]) -> str:
    """The file with what stands beside its text in brackets, as ``[footnote: …]``.

    Args:
        rtf: of the file.
        plain: the text of a part of it.
    """
    parts: list[str] = []
    done = 0
    running: set[str] = set()  # heads and feet of several sections
    for start, end, held in _beside(rtf):
        parts.append(rtf[done:start])
        done = end
        words = {word for word, _ in held}
        for word, inner in held:
            kind, text = _KINDS[word], " ".join(plain(inner).split())
            note = f"[{kind}: {text}]"
            if not text or note in running or (word == _OLD_TEXT_BOX and "shptxt" in words):
                continue
            if kind in ("header", "footer"):
                running.add(note)
            line = "" if kind in _IN_LINE else "\\par "
            parts.append(f"{{{line}\\uc1 {_escaped(note)}{line}}}")
    return "".join([*parts, rtf[done:]])


def _beside(rtf: str) -> Iterator[tuple[int, int, list[tuple[str, str]]]]:
    """The outermost groups that stand beside the text, or are drawn, and all that is said in each:
    by which word, and what."""
    starts: list[int] = []
    outermost: int | None = None  # of how many that are open
    held: list[tuple[str, str]] = []
    place = 0
    while match := _TOKEN.search(rtf, place):
        place = match.end() + int(match["size"] or 0)  # bytes of a picture follow
        if match[0] == "{":
            starts.append(match.start())
            if outermost is None and _GROUP.match(rtf, match.start()):
                outermost, held = len(starts), []
        elif match[0] == "}" and starts:
            start = starts.pop()
            if outermost is None:
                continue
            group = _GROUP.match(rtf, start)
            if group and group["word"]:
                held.append((group["word"], rtf[group.end() : match.start()]))
            if len(starts) < outermost:
                outermost = None
                if held:
                    yield start, match.end(), held


def _escaped(text: str) -> str:
    """A text as RTF writes it."""
    units = text.encode("utf-16-le")
    codes = (int.from_bytes(units[i : i + 2], "little") for i in range(0, len(units), 2))
    return "".join(map(_character, codes))


def _character(code: int) -> str:
    if 32 <= code < 127:
        return f"\\{chr(code)}" if chr(code) in "\\{}" else chr(code)
    return f"\\u{code - 65536 if code > 32767 else code}?"
