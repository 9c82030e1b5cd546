"""Equations of Word and PowerPoint (OMML) in a line of text: ``(a + b)/2``, ``x^2``, ``√(n)``."""

from __future__ import annotations

from typing import Any

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MAX_DEPTH = 100
_SKIPPED = frozenset({"ctrlPr", "rPr", "fPr", "radPr", "dPr", "naryPr", "sSupPr", "sSubPr"})


def equation_text(element: Any, depth: int = 0) -> str:
    """An equation, or a part of one, as one would type it."""
    if depth > _MAX_DEPTH:  # hostile files nest deeper than Python's call stack
        return "".join(element.itertext())
    name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""

    def part(tag: str) -> str:
        found = element.find(f"{M}{tag}")
        return _inside(found, depth) if found is not None else ""

    def mark(path: str, default: str) -> str:
        found = element.find("/".join(f"{M}{step}" for step in path.split("/")))
        return str(found.get(f"{M}val", "")) if found is not None else default

    if name == "f":
        return f"{_grouped(part('num'))}/{_grouped(part('den'))}"
    if name in ("sSup", "sSub", "sSubSup"):
        sub, sup = part("sub"), part("sup")
        return (
            _grouped(part("e"))
            + (f"_{_grouped(sub)}" if sub else "")
            + (f"^{_grouped(sup)}" if sup else "")
        )
    if name == "rad":
        degree = part("deg")
        return f"{f'root_{_grouped(degree)}' if degree else '√'}({part('e')})"
    if name == "nary":
        sub, sup = part("sub"), part("sup")
        bounds = (f"_{_grouped(sub)}" if sub else "") + (f"^{_grouped(sup)}" if sup else "")
        return f"{mark('naryPr/chr', '∫')}{bounds} {part('e')}"
    if name == "d":
        inner = mark("dPr/sepChr", "|").join(_inside(e, depth) for e in element.findall(f"{M}e"))
        return f"{mark('dPr/begChr', '(')}{inner}{mark('dPr/endChr', ')')}"
    if name == "m":
        rows = (
            ", ".join(_inside(cell, depth) for cell in row.findall(f"{M}e"))
            for row in element.findall(f"{M}mr")
        )
        return f"[{'; '.join(rows)}]"
    if name == "func":
        return f"{part('fName')} {part('e')}"
    if name == "acc":
        return part("e") + mark("accPr/chr", "\u0302")
    if name == "t":
        return element.text or ""
    if name == "oMathPara":
        return "\n".join(equation_text(child, depth + 1) for child in element.findall(f"{M}oMath"))
    return "" if name in _SKIPPED else _inside(element, depth)


def _inside(element: Any, depth: int) -> str:
    return "".join(equation_text(child, depth + 1) for child in element)


def _grouped(text: str) -> str:
    text = text.strip()
    return text if text.isalnum() or len(text) < 2 else f"({text})"
