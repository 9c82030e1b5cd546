"""Which language a text is in, where that is plain."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

_SAMPLE = 2000
_SURE = 0.9
_SURE_BY_SCRIPT = 0.3  # a script of its own leaves few languages

NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "nb": "Norwegian",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "wuu": "Chinese",
    "yue": "Chinese", "zh": "Chinese",
}  # fmt: skip


def language_of(text: str) -> str | None:
    """The name of a text's language; None where it is not plain, or nothing is there to tell.

    Examples:
        >>> language_of("Der Verkäufer trägt das Risiko bis zur Übergabe der Ware.")
        'German'
        >>> language_of("4711") is None
        True
    """
    return _language_of(text[:_SAMPLE])


@lru_cache(maxsize=1024)
def _language_of(sample: str) -> str | None:
    if (identifier := _identifier()) is None or sum(map(str.isalpha, sample)) < 2:
        return None
    code, sureness = identifier.classify(sample)
    letters = [c for c in sample if c.isalpha()]
    is_latin = sum(c < "\u0250" for c in letters) > len(letters) // 2
    return NAMES.get(code) if sureness >= (_SURE if is_latin else _SURE_BY_SCRIPT) else None


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
