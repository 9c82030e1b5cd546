"""Which files are documents, by their names."""

from __future__ import annotations

from pathlib import Path

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
PYTHON = "text/x-python"

_PROSE = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".rst": "text/x-rst",
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
    ".docx": DOCX,
}
# The media type of source code is text/x-<language>: there is no register of them.
_CODE = {
    "python": ".py .pyi",
    "c": ".c .h",
    "c++": ".cc .cpp .cxx .hh .hpp .hxx",
    "csharp": ".cs",
    "clojure": ".clj",
    "css": ".css .scss .less",
    "csv": ".csv .tsv",
    "dart": ".dart",
    "elixir": ".ex .exs",
    "erlang": ".erl",
    "fortran": ".f .f90",
    "go": ".go",
    "groovy": ".groovy .gradle",
    "haskell": ".hs",
    "ini": ".ini .cfg .conf .properties",
    "java": ".java",
    "javascript": ".js .mjs .cjs .jsx",
    "json": ".json .jsonl",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "lisp": ".lisp .el .scm",
    "lua": ".lua",
    "ocaml": ".ml .mli",
    "perl": ".pl .pm",
    "php": ".php",
    "protobuf": ".proto",
    "r": ".r",
    "ruby": ".rb",
    "rust": ".rs",
    "scala": ".scala",
    "shellscript": ".sh .bash .zsh .ps1 .bat",
    "sql": ".sql",
    "swift": ".swift",
    "tex": ".tex",
    "toml": ".toml",
    "typescript": ".ts .tsx",
    "xml": ".xml",
    "yaml": ".yaml .yml",
    "zig": ".zig",
}
_BY_SUFFIX = _PROSE | {
    suffix: f"text/x-{language}"
    for language, suffixes in _CODE.items()
    for suffix in suffixes.split()
}
_BY_NAME = {
    "readme": "text/plain",
    "license": "text/plain",
    "copying": "text/plain",
    "changelog": "text/plain",
    "makefile": "text/x-makefile",
    "dockerfile": "text/x-dockerfile",
}
SUPPORTED = " ".join(_PROSE) + ", and source code by its usual suffixes (.py .c .rs .js .sql …)"


def media_type_of(path: Path) -> str | None:
    """The media type that a file's name promises; None where it is no document."""
    return _BY_SUFFIX.get(path.suffix.lower()) or _BY_NAME.get(path.name.lower())
