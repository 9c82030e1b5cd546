"""Headings of source code: the classes and functions of Python."""

from __future__ import annotations

import ast
import warnings
from dataclasses import replace

from longctx.documents.document import Section
from longctx.documents.reading import plain
from longctx.documents.reading.content import Content, Source


def read_python(source: Source) -> Content:
    """Python's classes and functions are sections."""
    content = plain.read(source)
    return replace(content, sections=python_sections(content.text))


def python_sections(text: str) -> tuple[Section, ...]:
    """Find classes and functions; the code is parsed and not executed.

    Text that this Python does not parse (another version's, a damaged file) has no sections.

    Examples:
        >>> [s.title for s in python_sections("class A:\\n    def f(self): pass\\n")]
        ['class A', 'def f']
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as "\\d" in the file
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    sections: list[Section] = []
    stack: list[tuple[ast.AST, int]] = [(tree, 1)]
    while stack:
        node, level = stack.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            keyword = "class" if isinstance(node, ast.ClassDef) else "def"
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            end = min(starts[node.end_lineno or node.lineno], len(text))
            sections.append(
                Section(
                    title=f"{keyword} {node.name}", level=level, start=starts[first - 1], end=end
                )
            )
            level += 1
        stack.extend((child, level) for child in ast.iter_child_nodes(node))
    return tuple(sorted(sections, key=lambda section: (section.start, section.level)))
