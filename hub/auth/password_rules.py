"""Which passwords are accepted: long enough, and none that is guessed first.

There are no rules about kinds of characters. After NIST SP 800-63B 5.1.1.2 and OWASP ASVS 2.1: 12 to 128
characters, compared with what people choose most.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from pathlib import Path

MIN_CHARS = 12
MAX_CHARS = 128
_MIN_DISTINCT = 5

# The words that the most common passwords of leaked lists are made of. A password is refused if nothing is
# left once these, digits and punctuation are taken away; that covers lists of thousands ("Password12345!").
_COMMON = Path(__file__).with_name("common_words.txt").read_text("ascii").split()
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_BY_LENGTH = sorted(_COMMON, key=len, reverse=True)


def normalise_password(raw: str) -> str:
    """The form that is hashed: NFKC, so that the same keys on another system give the same password."""
    return unicodedata.normalize("NFKC", raw)


def weakness(password: str, user_name: str) -> str | None:
    """Why `password` cannot be used, as a sentence for its owner; None if it can."""
    return malformed(password) or guessable(password, user_name)


def malformed(password: str) -> str | None:
    """Why nobody may have `password`: its length, or what is no character; None if it is well formed."""
    if len(password) < MIN_CHARS:
        return f"A password has at least {MIN_CHARS} characters; a few words in a row are easy to remember."
    if len(password) > MAX_CHARS:
        return f"A password has at most {MAX_CHARS} characters."
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in password):
        return "This password holds something that is no character; choose another."
    return None


def guessable(password: str, user_name: str) -> str | None:
    """Why `password` is among the first that somebody would try for this user; None if it is not."""
    if len(set(password.casefold())) < _MIN_DISTINCT:
        return "This password repeats the same few characters; choose another."
    if any(_nothing_left(reading, user_name) for reading in _readings(password.casefold())):
        return "This password is among those that are guessed first; choose another."
    return None


def _readings(folded: str) -> set[str]:
    """The password as it stands, without spaces, and its middle with letters in place of digits like them."""
    middle = re.sub(r"\A[\W\d_]+|[\W\d_]+\Z", "", folded)
    return {folded, "".join(folded.split())} | ({middle.translate(_LEET)} if middle else set())


def _nothing_left(text: str, user_name: str) -> bool:
    for word in (user_name.casefold(), *_BY_LENGTH):
        if word:
            text = text.replace(word, " ")
    return len(re.sub(r"[\W\d_]", "", text)) < 3 and not _is_mostly_digits(text)


def _is_mostly_digits(text: str) -> bool:
    # Twelve random digits are a poor password but not a guessed one; runs and repetitions are.
    digits = re.sub(r"\D", "", text)
    steps = {(int(b) - int(a)) % 10 for a, b in itertools.pairwise(digits)}
    return len(digits) >= MIN_CHARS and len(steps) > 3
