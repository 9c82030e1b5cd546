"""Words of a text: what a quotation holds whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import regex

from longctx.documents.quotations.spelling import OPTIONAL_HYPHEN, spell

# Scripts that part no words, or, in Korean, not those that are quoted: each character is one.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_{OPTIONAL_HYPHEN}]--[{_UNSPACED}]]"
_HAN_DIGITS = r"〇零一二三四五六七八九十百千万亿萬億兩两兆"
_SIGN = (
    rf"(?:(?:(?<![{_LETTER}\)\]])[-+~]+|[±∓≈≤≥≠<>]\s?[-+]?)"
    r"(?:\p{Sc}\ ?(?=\p{Nd})|(?=\.?\p{Nd})))"
)
# What holds a word or a number together.
_JOINT = "|".join(
    [
        r"(?<=\p{Nd})[.,:/'\u066b\u066c\u00b7^](?=-?\p{Nd})",
        # 480 000 is one number, and so is 1 1/2.
        r"(?<=(?<![\p{Nd}\p{L}.,:/'-])\p{Nd}{1,3})\ (?=\p{Nd}{3}(?!\p{Nd}))",
        r"(?<=\p{Nd})\ (?=\p{Nd}+/\p{Nd})",
        rf"-(?={_LETTER})",
        rf"(?<=\p{{L}})[.@](?=\p{{Ll}})|@(?={_LETTER})",
        r"(?<=\p{L})'(?=(?i:s|t|re|ve|ll|d|m)(?![\p{L}\p{N}]))",
    ]
)
_TAIL = rf"(?<=\p{{Nd}})\s?[%‰°]|(?<=\p{{Nd}})\s?[{_HAN_DIGITS}만억천조]+|(?<=\p{{L}})[+#]+"
_WORD = regex.compile(
    rf"(?P<word>{_SIGN}?(?:(?<![{_LETTER}.])\.(?=\p{{Nd}}))?"
    rf"{_LETTER}+(?:(?:{_JOINT}){_LETTER}+)*(?:{_TAIL})?"
    rf"|[{_HAN_DIGITS}]{{2,}}"
    rf"|[{_UNSPACED}]\p{{M}}*)"
    # Marks of emphasis at a word's edge are not seen either.
    rf"|(?P<emphasis>(?<![{_LETTER}])[*`]+|[*`]+(?![{_LETTER}]))"
    r"|\.{3,}|\S",
    regex.VERSION1,
)
_INNER_SPACE = regex.compile(rf"(?<=[±∓≈≤≥≠<>\p{{Sc}}])\s|\s(?=[%‰°{_HAN_DIGITS}만억천조])")
_HYPHENS = str.maketrans("", "", f"-{OPTIONAL_HYPHEN}")
_SYMBOLS = {"'": '"', "-": "\u2014"}
# What closes the sentence around a quotation, or stands for what was left out of it.
_CLOSING = frozenset('.,;:!?"\u2026\u2014\u3002\u3001\u0964\u061f\u060c\u061b')
_BRACKETED = regex.compile(r"^\[(\p{L})\](?=\p{L})")


@dataclass(frozen=True)
class Words:
    """A text's words, numbers and symbols in their order.

    Attributes:
        spelled: each as it is compared.
        keys: the same without capitals and hyphens: what is looked for first.
        starts: where each begins in the text.
        ends: where each ends in it.
    """

    spelled: list[str]
    keys: list[str]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, part: slice) -> Words:
        return Words(self.spelled[part], self.keys[part], self.starts[part], self.ends[part])


def words_of(text: str, offset: int = 0) -> Words:
    """Take a text apart.

    Args:
        text: or a part of one.
        offset: where the part begins.

    Examples:
        >>> words_of("It’s 480 000 €, or −5 %.").spelled
        ["It's", '480 000', '€', ',', 'or', '-5%', '.']
    """
    spelling = spell(text)
    found = Words([], [], [], [])
    for match in _WORD.finditer(spelling.text):
        if match["emphasis"]:
            continue
        if match["word"]:
            word = _INNER_SPACE.sub("", match[0])
            key = word.translate(_HYPHENS).casefold()
        else:
            word = key = "\u2026" if match[0][:3] == "..." else _SYMBOLS.get(match[0], match[0])
        if not key:
            continue
        start, end = spelling.origin(*match.span())
        found.spelled.append(word)
        found.keys.append(key)
        found.starts.append(offset + start)
        found.ends.append(offset + end)
    return found


def quoted_words(quotation: str) -> Words:
    """The words of a quotation, without what closes the sentence around it.

    Examples:
        >>> quoted_words("[T]he seller’s risk …").spelled
        ['The', "seller's", 'risk']
    """
    words = words_of(_BRACKETED.sub(r"\1", quotation.strip()))
    inner = [i for i, word in enumerate(words.spelled) if word not in _CLOSING]
    return words[inner[0] : inner[-1] + 1] if inner else words[:0]


def is_same(quoted: Words, source: Words) -> bool:
    """Whether words are spelled alike: but for the case of the first letter, and hyphens that
    perhaps stand only because a line ended."""
    first, other = quoted.spelled[0], source.spelled[0]
    if first[0] != other[0] and first[0].casefold() == other[0].casefold():
        first = other[0] + first[1:]
    return _is_word(first, other) and all(map(_is_word, quoted.spelled[1:], source.spelled[1:]))


def _is_word(quoted: str, source: str) -> bool:
    if quoted == source:
        return True
    if OPTIONAL_HYPHEN not in quoted + source:
        return False
    either = "-?".join(map(regex.escape, source.split(OPTIONAL_HYPHEN)))
    return any(
        regex.fullmatch(either, quoted.replace(OPTIONAL_HYPHEN, hyphen)) for hyphen in ("", "-")
    )
