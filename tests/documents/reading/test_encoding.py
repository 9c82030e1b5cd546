"""Bytes become the text that was meant, and a guess is always said to be one."""

from __future__ import annotations

import codecs

import numpy as np
import pytest

from longctx.documents.reading.encoding import decode
from longctx.errors import DocumentError, RequestError

LINES = {
    "French": "Le café est fermé à midi, revenez après le déjeuner.",
    "French, short": "L'élève a reçu sa réponse.",
    "Portuguese": "A reunião começa às três, não se atrase.",
    "Swedish": "Köparen bär risken från leveransen.",
    "Swedish, short": "Räksmörgås på Åland",
    "Finnish": "Myyjä vastaa tavarasta, kunnes se on luovutettu ostajalle.",
    "Finnish, short": "Hyvää päivää, mitä kuuluu?",
    "Icelandic": "Kaupandi ber áhættuna þar til varan er afhent. Það er ekki hægt.",
    "Icelandic, short": "Góðan daginn, þú ert hér.",
    "German": "Der Käufer trägt die Gefahr erst mit der Übergabe.",
    "Spanish": "¿Quién paga el daño? El señor Núñez lo pagará mañana.",
    "Italian": "È possibile che la città sia più bella così.",
    "Danish": "Køberen bærer risikoen, når varen er på vej til Århus.",
    "English, a sign": "The price is 20 £ a unit, payable in advance.",
    "English, quoted": "It’s “fine” – or so they said…",
}


@pytest.mark.parametrize("n", [1, 40])
@pytest.mark.parametrize("language", LINES)
def test_western_text_is_windows_1252(language, n):
    """One line and forty: never a code page of Central Europe, of DOS or of an old Mac."""
    text = (LINES[language] + "\n") * n
    decoded = decode(text.encode("cp1252"), "a.txt")
    assert decoded.text == text
    assert "guessed" in decoded.notes[0]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Покупатель несёт риск с момента передачи товара.", "cp1251"),
        ("Покупатель несёт риск с момента передачи товара.", "koi8-r"),
        ("Kupující nese nebezpečí škody až od předání věci, nikoli dříve.", "cp1250"),
        ("A vevő viseli a kárveszélyt az átadástól kezdve, előbb nem.", "cp1250"),
        ("Ο αγοραστής φέρει τον κίνδυνο από την παράδοση.", "cp1253"),
        ("買主は引渡しの時から危険を負担する。契約の解除について。", "cp932"),
        ("買主は引渡しの時から危険を負担する。", "iso2022_jp"),
        ("매수인은 인도 시부터 위험을 부담한다. 계약의 해제에 관하여.", "cp949"),
        ("买方自交付时起承担风险。关于合同的解除，双方另有约定的除外。", "gb18030"),
        ("The buyer bears the risk.", "utf-16-le"),
        ("The buyer bears the risk.", "utf-16-be"),
        ("Der Käufer trägt die Gefahr.", "utf-32-le"),
    ],
)
def test_others_are_what_they_are(text, encoding):
    """Other alphabets are not taken for Western text; UTF-16 is seen without its mark."""
    decoded = decode(text.encode(encoding), "a.txt")
    assert decoded.text == text
    assert "guessed" in decoded.notes[0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize(
    "text",
    [
        "Продавец несёт риск до передачи товара: 480 000 рублей.\n",
        "السعر هو أربعمائة وثمانون ألف يورو.\n",
        "המוכר נושא בסיכון עד המסירה.\n",
        "विक्रेता जोखिम वहन करता है।\n",
        "ผู้ขายรับความเสี่ยงจนถึงการส่งมอบ\n",
        "გამყიდველი ატარებს რისკს.\n",
        "Ο πωλητής φέρει τον κίνδυνο.\n",
        "판매자는 인도할 때까지 위험을 부담합니다.\n",
        "卖方承担风险，直到货物交付为止。\n",
    ],
    ids=["ru", "ar", "he", "hi", "th", "ka", "el", "ko", "zh"],
)
def test_utf16_without_a_mark_in_any_alphabet(text, times, encoding):
    """Also where half of its bytes are control characters, and all of them valid UTF-8."""
    decoded = decode((text * times).encode(encoding), "a.txt")
    assert (decoded.text, decoded.encoding) == (text * times, encoding)
    assert "guessed" in decoded.notes[0]


@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_no_alphabet(seed):
    """Binary data whose every other byte is the same is binary."""
    random = np.random.default_rng(seed)
    for high in (1, 2, 4, 6, 16):
        data = random.integers(0, 256, (200, 2), dtype=np.uint8)
        data[:, 1] = high
        with pytest.raises(DocumentError):
            decode(data.tobytes(), "a.bin")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            "Größe, Ärger und Öl, 東京".encode() + b" \xff end",
            "Größe, Ärger und Öl, 東京 \ufffd end",
        ),
        ("Покупатель несёт риск".encode()[:-1], "Покупатель несёт рис\ufffd"),
        ("매수인은 위험을 부담한다".encode()[:-2], "매수인은 위험을 부담한\ufffd"),
        ("naïve café".encode()[:-1], "naïve caf\ufffd"),
    ],
    ids=["a bad byte", "cut Russian", "cut Korean", "cut French"],
)
def test_utf8_with_a_flaw_is_utf8(data, text):
    """One bad byte, or a cut last character, costs itself and is said."""
    decoded = decode(data, "a.txt")
    assert (decoded.text, decoded.encoding) == (text, "utf-8")
    assert "replaced" in decoded.notes[0]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'<meta charset="iso-8859-1"><p>\x93x\x94 caf\xe9', "“x” café"),
        (b"<meta http-equiv=content-type content='text/html; charset=windows-1251'>\xcf", "П"),
        ('<?xml version="1.0" encoding="iso-8859-2"?><a>ő</a>'.encode("iso-8859-2"), "ő"),
        ("# -*- coding: cp1251 -*-\nx = 'Пр'".encode("cp1251"), "Пр"),
        ('<meta charset="utf-16"><p>ö'.encode(), "ö"),
        ('<meta charset="ascii"><p>“ö”'.encode(), "“ö”"),
    ],
    ids=["latin-1 is cp1252", "http-equiv", "xml", "python", "utf-16 that is not", "a lie"],
)
def test_declarations_are_obeyed_as_the_web_does(data, text):
    """What the text says of itself decides, unless it cannot be so."""
    decoded = decode(data, "a.html")
    assert text in decoded.text
    assert decoded.notes == ()


def test_a_byte_order_mark_goes_before_a_declaration():
    """A cut last character behind it is no reason to refuse the text."""
    data = codecs.BOM_UTF16_LE + '<meta charset="utf-8"> many words'.encode("utf-16-le") + b"x"
    decoded = decode(data, "a.html")
    assert decoded.text.endswith("words\ufffd")
    assert decoded.encoding == "utf-16"


def test_the_caller_knows_best(read):
    """``encoding=`` is obeyed; what it cannot be is an error, and so is no encoding at all."""
    data = "ш: Größe".encode("cp1251", "replace")
    assert read("a.txt", data, encoding="cp1251").text == "ш: Gr??e"
    assert read("b.txt", b"\x8a", encoding="mac_roman").text == "ä"
    with pytest.raises(DocumentError, match=r"byte 0 of 1 is invalid"):
        read("c.txt", b"\xff", encoding="utf-8")
    with pytest.raises(DocumentError, match="no encoding 'klingon'"):
        read("d.txt", b"x", encoding="klingon")
    with pytest.raises(RequestError, match="encoding is a str"):
        read("e.txt", b"x", encoding=8)  # type: ignore[arg-type]
