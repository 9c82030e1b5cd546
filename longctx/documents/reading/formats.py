"""Which format has which names and which reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from longctx.documents.reading import (
    delimited,
    epub,
    html,
    mail,
    markup,
    notebook,
    opendocument,
    outlook,
    pdf,
    plain,
    rtf,
    slides,
    source_code,
    spreadsheet,
    subtitles,
    word,
)
from longctx.documents.reading.content import Content, Source

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."


@dataclass(frozen=True)
class Format:
    """A kind of file. ``is_text``: its bytes are text, so that its name decides what it is."""

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    read: Callable[[Source], Content]
    is_text: bool = True


def _binary(name: str, media_type: str, suffixes: str, read: Callable[[Source], Content]) -> Format:
    return Format(name, media_type, tuple(suffixes.split()), read, is_text=False)


def _text(media_type: str, suffixes: str, read: Callable[[Source], Content] = plain.read) -> Format:
    return Format(media_type, media_type, tuple(suffixes.split()), read)


FORMATS = (
    _binary("PDF", "application/pdf", ".pdf", pdf.read),
    _binary("Word", f"{_OOXML}wordprocessingml.document", ".docx .docm .dotx .dotm", word.read),
    _binary(
        "PowerPoint",
        f"{_OOXML}presentationml.presentation",
        ".pptx .pptm .ppsx .potx",
        slides.read,
    ),
    _binary("Excel", f"{_OOXML}spreadsheetml.sheet", ".xlsx .xlsm .xltx", spreadsheet.read),
    _binary("old Excel", "application/vnd.ms-excel", ".xls", spreadsheet.read),
    _binary("OpenDocument text", f"{_ODF}text", ".odt .ott", opendocument.read),
    _binary("OpenDocument slides", f"{_ODF}presentation", ".odp", opendocument.read),
    _binary("OpenDocument spreadsheet", f"{_ODF}spreadsheet", ".ods", opendocument.read),
    _binary("EPUB", "application/epub+zip", ".epub", epub.read),
    _binary("Outlook", "application/vnd.ms-outlook", ".msg", outlook.read),
    _binary("RTF", "application/rtf", ".rtf", rtf.read),
    _text("text/plain", ".txt .text .log"),
    _text("text/markdown", ".md .markdown .mdx .qmd .rmd", markup.read_markdown),
    _text("text/html", ".html .htm .xhtml .shtml", html.read),
    _text("message/rfc822", ".eml .mht .mhtml .mbox", mail.read),
    _text("application/x-ipynb+json", ".ipynb", notebook.read),
    _text("text/csv", ".csv", delimited.read),
    _text("text/tab-separated-values", ".tsv .tab", delimited.read),
    _text("text/x-rst", ".rst", markup.read_rst),
    _text("text/asciidoc", ".adoc .asciidoc", markup.read_asciidoc),
    _text("text/org", ".org", markup.read_org),
    _text("text/x-tex", ".tex .ltx .sty", markup.read_tex),
    _text("application/x-subrip", ".srt", subtitles.read),
    _text("text/vtt", ".vtt", subtitles.read),
    _text("application/json", ".json .geojson"),
    _text("application/x-ndjson", ".ndjson .jsonl"),
    _text("application/yaml", ".yaml .yml"),
    _text("application/toml", ".toml"),
    _text("application/xml", ".xml .xsd .xsl"),
    _text("text/x-python", ".py .pyi", source_code.read_python),
)
# The media type of other source code is text/x-<language>: there is no register of them.
_CODE = {
    "c": ".c .h",
    "c++": ".cc .cpp .cxx .hh .hpp .hxx",
    "csharp": ".cs",
    "clojure": ".clj",
    "css": ".css .scss .less",
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
    "typescript": ".ts .tsx",
    "zig": ".zig",
}
_BY_SUFFIX = {
    suffix: format
    for format in (*FORMATS, *(_text(f"text/x-{name}", s) for name, s in _CODE.items()))
    for suffix in format.suffixes
}
_BY_NAME = {
    "makefile": _text("text/x-makefile", ""),
    "dockerfile": _text("text/x-dockerfile", ""),
}
_BY_MEDIA_TYPE = {format.media_type: format for format in FORMATS}


def format_of_name(path: PurePath) -> Format | None:
    """The format that a file's name promises; None where it promises none."""
    return _BY_SUFFIX.get(path.suffix.lower()) or _BY_NAME.get(path.name.lower())


def format_of_media_type(media_type: str) -> Format:
    """The format of a media type that :mod:`recognise` names."""
    return _BY_MEDIA_TYPE[media_type]
