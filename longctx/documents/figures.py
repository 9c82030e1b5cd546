"""Figures as they are written, and the values that they may have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from unicodedata import decimal

_SCALES: dict[int, str] = {
    3: "thousand thousands tausend tsd mille milliers mila migliaia mil milhares tusen tuhat"
    " tuhatta tys tysiące tysięcy duizend тыс тысяча тысячи тысяч 千 천",
    4: "万 萬 만",
    6: "million millions millionen mio mln millón millones milhão milhões milione milioni miljoen"
    " miljoner miljon miljoonaa milion miliony milionów млн миллион миллиона миллионов 百万 百萬"
    " 백만",
    8: "亿 億 억",
    9: "billion billions bn milliarde milliarden mrd milliard milliards miliardo miliardi miljard"
    " miljarder mld bilhão bilhões miliard miliardy miliardów млрд миллиард миллиарда миллиардов",
    12: "trillion trillions billionen billón billones trilhão trilhões bilion billions 兆 조",
}
_POWERS: dict[str, set[int]] = {}
for _power, _names in _SCALES.items():
    for _name in _names.split():
        _POWERS.setdefault(_name, set()).add(_power)
_POWERS["billion"].add(12)  # a German one
_LETTERS = {"k": 3, "m": 6, "b": 9}
"""Behind a figure, without a space; they may be units as well."""
_longest_first = sorted(_POWERS, key=len, reverse=True)
_SPACED = "|".join(name for name in _longest_first if name < "\u3000")
_UNSPACED = "|".join(name for name in _longest_first if name >= "\u3000")
_NAMED = re.compile(rf"(?<!\w)(?:{_SPACED})(?!\w)|{_UNSPACED}", re.IGNORECASE)
# Points and commas, of full width and of Arabic too, apostrophes, and spaces that break no line.
_MARKS = ".,'\u2019\u00a0\u2009\u202f\u066b\u066c\uff0c\uff0e"
_PLAIN_MARKS = str.maketrans("\u066b\u066c\uff0c\uff0e", ".,,.")
_FRACTIONS = {"\u00bc": "25", "\u00bd": "5", "\u00be": "75"}  # behind the point
_FIGURE = re.compile(
    rf"(?:(?P<digits>\d+(?:[{_MARKS}]\d+| \d{{3}}(?!\d))*)|(?=[\u00bc-\u00be]))"
    r"(?P<fraction>[\u00bc-\u00be])?"
    rf"(?:[ \u00a0\u202f-]?(?P<name>(?:{_SPACED})(?!\w)(?:[ \u00a0](?:{_SPACED})(?!\w))?"
    rf"|{_UNSPACED})|(?P<letter>[kmb])(?!\w))?",
    re.IGNORECASE,
)
_NOT_DIGITS = re.compile(r"\D")
_DECIMAL_POINTS = ".,"


@dataclass(frozen=True)
class Figure:
    """A figure in a text.

    Attributes:
        text: as it is written.
        digits: without the word behind it that scales it.
        powers: of ten, that the word may stand for; empty without one.
        is_sure: whether that is such a word, and no unit.
        fraction: digits behind the point, of a figure that is written with a half or a quarter.
    """

    text: str
    digits: str
    powers: frozenset[int] = frozenset()
    is_sure: bool = True
    fraction: str = ""

    @property
    def n_digits(self) -> int:
        """How many it is written with."""
        return len(_NOT_DIGITS.sub("", self.digits))

    @property
    def bare(self) -> set[str]:
        """The values that its digits may have, each written in one way."""
        bare = _readings(self.digits)
        return {f"{value}.{self.fraction}" for value in bare} if self.fraction else bare

    @property
    def parts(self) -> tuple[Figure, ...]:
        """The figures that it may be instead: a space may group digits, or part two figures, and
        what no number is written as is several ("[10,20,30]", "05.05.2024")."""
        apart = self.digits.split(" ")
        several = (_NOT_DIGITS.split(one) if _is_several(one) else [one] for one in apart)
        return tuple(Figure(part, part) for parts in several for part in parts)

    @property
    def values(self) -> set[str]:
        """The values that it may have, its word counted."""
        if not self.powers:
            return self.bare
        scaled = {_scaled(value, power) for value in self.bare for power in self.powers}
        return scaled if self.is_sure else scaled | self.bare

    def in_units_of(self, power: int) -> set[str]:
        """Its values as a table in thousands, or millions, has them: of a power of ten."""
        return {_scaled(value, -power) for value in self.values}


def figures_of(text: str) -> Iterator[Figure]:
    """The figures of a text.

    Examples:
        >>> [(figure.text, figure.values) for figure in figures_of("7,50 or 2.5 million")]
        [('7,50', {'7.5'}), ('2.5 million', {'2500000'})]
    """
    for match in _FIGURE.finditer(text):
        name, letter = match["name"], match["letter"]
        powers: frozenset[int] = frozenset()
        if name is not None:
            powers = _powers(name)
        elif letter is not None:
            powers = frozenset([_LETTERS[letter.lower()]])
        fraction = _FRACTIONS.get(match["fraction"], "")
        yield Figure(match[0], match["digits"] or "0", powers, letter is None, fraction)


def _powers(name: str) -> frozenset[int]:
    """Of a word, or of two: *mil millones* is a thousand millions."""
    first, *others = (_POWERS[word] for word in name.lower().split())
    for second in others:
        first = {one + other for one in first for other in second}
    return frozenset(first)


def scales_of(text: str) -> set[int]:
    """The powers of ten that a text names, such as "in millions" above a table."""
    return {power for name in _NAMED.findall(text) for power in _POWERS[name.lower()]}


def _scaled(value: str, power: int) -> str:
    return format(Decimal(value).scaleb(power).normalize(), "f")


def _readings(figure: str) -> set[str]:
    """The values that a figure may have, each written in one way: ``1,250`` is a thousand or one
    and a quarter."""
    groups, marks = _taken_apart(figure)
    readings = set()
    if _is_grouped(groups, marks):
        readings.add("".join(groups))
    *whole, fraction = groups
    is_decimal = marks and marks[-1] in _DECIMAL_POINTS and marks[-1] not in marks[:-1]
    if is_decimal and _is_grouped(whole, marks[:-1]):
        decimals = fraction.rstrip("0")
        if decimals or not readings:  # 480,000 is no 480
            readings.add("".join(whole) + ("." + decimals if decimals else ""))
    return readings or {"".join(groups)}


def _is_several(figure: str) -> bool:
    """Whether it is no number: its marks neither group digits nor part decimals."""
    groups, marks = _taken_apart(figure)
    *whole, _ = groups
    return len(marks) > 1 and not (
        _is_grouped(groups, marks)
        or (marks[-1] not in marks[:-1] and _is_grouped(whole, marks[:-1]))
    )


def _taken_apart(figure: str) -> tuple[list[str], list[str]]:
    """Digits and marks of any alphabet as those of ours."""
    figure = "".join(str(decimal(c, c)) for c in figure).translate(_PLAIN_MARKS)
    return _NOT_DIGITS.split(figure), _NOT_DIGITS.findall(figure)


def _is_grouped(groups: list[str], marks: list[str]) -> bool:
    """Whether they are the thousands of one number."""
    if not marks:
        return True
    first, *others, last = groups
    return (
        len(set(marks)) == 1
        and len(first) <= 3
        and first[0] != "0"
        and all(len(group) in (2, 3) for group in others)  # in India hundreds, above thousands
        and len(last) == 3
    )
