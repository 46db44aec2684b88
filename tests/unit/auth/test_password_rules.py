"""Which passwords are refused."""

from __future__ import annotations

import secrets

import pytest

from hub.auth.password_rules import normalise_password, weakness


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "elevenchars",
        "x" * 129,
        "aaaaaaaaaaaaaaa",
        "abababababababab",
        "password1234",
        "Password12345!",
        "P@ssw0rd123456",
        "passwordpassword",
        "qwertyuiop123456",
        "123456789012345",
        "000000000000",
        "iloveyou2024!!!",
        "correct horse battery staple",
        "correcthorsebatterystaple",
        "alicealice1234",
        "Alice-2024-2025",
        "administrator1",
        "jupyterhub2026!",
        "letmein letmein",
        "four quiet\x00purple otters",
        "four quiet\udcffpurple otters",
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    assert weakness(password, "alice") is not None


@pytest.mark.parametrize(
    "password",
    [
        "four quiet purple otters",
        "zwölf Änten gehen baden",
        "长密码长密码十二个字符的好的",
        "x7!kQ2#vLp9@",
        "4821 9937 5510 26",
    ],
)
def test_a_good_password_is_accepted(password: str) -> None:
    assert weakness(normalise_password(password), "alice") is None


def test_random_passwords_are_accepted() -> None:
    assert all(weakness(secrets.token_urlsafe(12), "alice") is None for _ in range(500))


def test_the_same_keys_on_another_system_give_the_same_password() -> None:
    assert normalise_password("e\u0301te\u0301") == normalise_password("\u00e9t\u00e9")
