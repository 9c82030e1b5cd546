"""Numbers as a sheet shows them: Excel's number formats, as far as they are about numbers.

Formats that this does not know to the letter (fractions, exponents, conditions, telephone numbers)
show nothing, and the number stays as it is. Dates are not its matter: they are read as dates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

# Those that a workbook need not spell out (ECMA-376, 18.8.30).
_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%",
    5: '"$"#,##0;("$"#,##0)', 6: '"$"#,##0;("$"#,##0)', 7: '"$"#,##0.00;("$"#,##0.00)',
    8: '"$"#,##0.00;("$"#,##0.00)', 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)",
    39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)", 41: '#,##0;(#,##0);"-"',
    42: '"$"#,##0;"$"(#,##0);"$-"', 43: '#,##0.00;(#,##0.00);"-"',
    44: '"$"#,##0.00;"$"(#,##0.00);"$-"',
}  # fmt: skip
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]'
    r"|\[(?:black|blue|cyan|green|magenta|red|white|yellow|colou?r\s?\d+)\]"
    r"|_.|\*.|(?P<digits>[0#?][0#?,]*(?:\.[0#?]*,*)?|\.[0#?]+,*)|(?P<percent>%)"
    r"|(?P<plain>[-+$€£¥₹() :!&'~{}<>=^])|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_SECTION = re.compile(r'((?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\])*)(?:;|$)', re.DOTALL)
_MAX_DIGITS = 30
_MAX_PERCENTS = 4
_LARGEST = 1e30
# Digits for all of these at once; Decimal's own 28 are fewer.
_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class _Section:
    """A format for numbers of one sign: what stands before, the digits, what stands behind."""

    before: str
    digits: str
    behind: str
    n_percents: int

    def show(self, number: Decimal) -> str:
        """The text of a number that is not negative."""
        if not self.digits:
            return (self.before + self.behind).strip()
        whole, point, fraction = self.digits.partition(".")
        scaled, decimal_places = whole.rstrip(","), fraction.rstrip(",")
        thousands = len(whole) - len(scaled) + len(fraction) - len(decimal_places)
        fraction = decimal_places
        number = number.scaleb(2 * self.n_percents - 3 * thousands, _EXACT)
        rounded = number.quantize(Decimal(1).scaleb(-len(fraction)), context=_EXACT)
        units, _, decimals = f"{rounded:f}".partition(".")
        least = fraction.rfind("0") + 1
        decimals = decimals[:least] + decimals[least:].rstrip("0")
        units = units.lstrip("0").rjust(scaled.count("0"), "0")
        if "," in scaled:
            units = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", units)
        shown = units + (point + decimals if decimals or (point and not fraction) else "")
        return (self.before + shown + self.behind).strip()


class NumberFormat:
    """A number format, such as ``#,##0.00 "€"``.

    Args:
        code: as the workbook has it.
    """

    def __init__(self, code: str) -> None:
        parts = [match[1] for match in _SECTION.finditer(code)]
        # The fourth is for text.
        found = [_section(part) for part in parts[: max(1, min(3, len(parts) - 1))]]
        self._sections = [] if None in found else [one for one in found if one is not None]

    def show(self, value: float) -> str | None:
        """A number as the sheet shows it; None if this format is not known."""
        if not self._sections or value != value or abs(value) > _LARGEST:
            return None
        number = Decimal(repr(value))
        positive, *others = self._sections
        if number == 0 and len(others) > 1:
            return others[1].show(number.copy_abs())
        if number < 0:
            number = number.copy_negate()
            return others[0].show(number) if others else "-" + positive.show(number)
        return positive.show(number)


def _section(code: str) -> _Section | None:
    before = behind = digits = ""
    n_percents = 0
    for match in _TOKEN.finditer(code):
        if match["other"] is not None:
            return None
        if match["digits"] is not None:
            if digits or len(match[0]) > _MAX_DIGITS:
                return None
            digits = match[0]
            continue
        n_percents += match["percent"] is not None
        literal = next(
            (match[n] for n in ("quoted", "escaped", "currency", "percent", "plain") if match[n]),
            "",
        )
        if digits:
            behind += literal
        else:
            before += literal
    if n_percents > _MAX_PERCENTS:
        return None
    return _Section(before, digits, behind, n_percents) if digits or before else None


def formats_of(styles: Any) -> dict[int, NumberFormat]:
    """The number formats of a workbook by the style of a cell; those that show nothing else than
    the number are left out.

    Args:
        styles: the root of its ``xl/styles.xml``.
    """
    codes = dict(_BUILT_IN)
    for element in styles.iter("{*}numFmt"):
        number = element.get("numFmtId", "")
        if number.isdecimal():
            codes[int(number)] = element.get("formatCode", "")
    found = {}
    for of_cells in styles.iter("{*}cellXfs"):
        for style, element in enumerate(of_cells.iter("{*}xf")):
            number = element.get("numFmtId", "0")
            code = codes.get(int(number)) if number.isdecimal() else None
            if code:
                found[style] = NumberFormat(code)
    return found
