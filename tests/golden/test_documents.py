"""What counts as a difference between two golden documents."""

from __future__ import annotations

from documents import differences


def test_only_last_digits_may_differ() -> None:
    text = '{"n":600,"value":0.3452345234523,"sha":"12e45","p":0.25,"q":1e-13}'

    def differs(old: str, new: str) -> bool:
        assert old in text
        return bool(list(differences("x", text, text.replace(old, new))))

    assert not differs("0.3452345234523", "0.34523452345230004") and not differs(
        "0.25", "0.24999999999999997"
    )
    for old, new in (
        ("0.3452345234523", "0.3452345234533"),
        ("0.25", "0.250"),
        ("0.25", "0.2500001"),
        ("600", "601"),
        ("600", "600.0"),
        ("12e45", "12e46"),
        (',"p":0.25', ""),
        ('"p":0.25,"q":1e-13', '"q":1e-13,"p":0.25'),
        ("}", ',"more":1}'),
    ):
        assert differs(old, new), (old, new)
