"""One-time codes are found where phones find them, and not where there are none."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.codes import code_in, span_of_code

TEXTS = [
    ("Your code is 123456", "123456"),
    ("123456 is your Acme verification code", "123456"),
    ("G-512345 is your Google verification code.", "512345"),
    ("Your Acme code: 123-456. Do not share it.", "123456"),
    ("Your Acme code: 123 456", "123456"),
    ("Codice: 4821. Scade alle 18:30 del 21/11/2026.", "4821"),
    ("Ваш код 7731, никому не говорите", "7731"),
    ("Пароль: 99817. Спишется 1500.00 RUB", "99817"),
    ("OTP 88231 for your payment of EUR 1250.00 on 2026-11-21", "88231"),
    ("Use code 4455 to log in; order 20261121", "4455"),
    ("Your booking 12345678 is confirmed; the code for the door is 9071", "9071"),
    ("Confirmation code AB12CD", "AB12CD"),
    ("Your code is K7QP-9XWZ", "K7QP-9XWZ"),
    ("123456 is your code.\n\n@example.com #654321", "654321"),
    ("@example.com #k3y-Cod3", "k3y-Cod3"),
    ("Il tuo OTP è: 004211", "004211"),
    ("4821", "4821"),
    ("验证码 583920，5分钟内有效", "583920"),
    ("Call +447700900123 or 447700900123456", None),
    ("Happy new year 2026!", None),
    ("Your order costs 1500 EUR, € 2500 or 3000€", None),
    ("See https://example.com/1234 or a@1234.example", None),
    ("Meet at 12:30 on 21.11.2026", None),
    ("Hello", None),
    ("", None),
    ("\0\ud800 code", None),
    ("Your code is 123", None),
]


@pytest.mark.parametrize(("text", "code"), TEXTS)
def test_codes_are_found(text: str, code: str | None) -> None:
    """A text's code is the one that its words announce; amounts, dates, numbers and addresses are none."""
    assert code_in(text) == code


@given(st.text(max_size=300))
def test_a_code_stands_in_its_text(text: str) -> None:
    """Whatever a text says, what is marked as its code is a part of it."""
    span = span_of_code(text)
    assert span is None or (0 <= span[0] < span[1] <= len(text) and code_in(text))


@pytest.mark.parametrize("text", ["code " + "1" * 100_000, "A1-" * 30_000, "code 1 " * 20_000, "@a #" * 20_000])
def test_no_text_takes_long(text: str) -> None:
    """A text made to be hard to look through is looked through at once."""
    began_s = time.process_time()
    code_in(text)
    assert time.process_time() - began_s < 0.5
