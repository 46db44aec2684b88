"""The ZeroMQ side: signatures, and what is refused."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.limits import Limits
from proxy.core.wire import DELIMITER, Signer
from proxy.errors import BadWire

PARTS = [b'{"msg_id":"1"}', b"{}", b"{}", b'{"a":1}']
parts_of_messages = st.lists(st.binary(max_size=200), min_size=4, max_size=9)


def signature(key: bytes, parts: list[bytes]) -> bytes:
    return hmac.new(key, b"".join(parts[:4]), hashlib.sha256).hexdigest().encode()


@given(st.binary(min_size=1, max_size=100), parts_of_messages)
def test_the_signature_is_the_hex_hmac_of_the_four_json_parts(key: bytes, parts: list[bytes]) -> None:
    assert Signer(key).sign(parts) == signature(key, parts)


def test_a_large_message_is_signed_alike() -> None:
    parts = [b"{}", b"{}", b"{}", b"x" * 1_000_000, b"buffer"]
    assert Signer(b"k").sign(parts) == signature(b"k", parts)


def test_views_are_signed_like_bytes() -> None:
    assert Signer(b"k").sign([memoryview(part) for part in PARTS]) == signature(b"k", PARTS)


def test_an_empty_key_means_no_signature() -> None:
    assert Signer(b"").pack(PARTS) == [DELIMITER, b"", *PARTS]
    assert Signer(b"").unpack([DELIMITER, b"anything", *PARTS]) == PARTS


@given(st.binary(max_size=20), parts_of_messages, st.lists(st.binary(max_size=8), max_size=3))
def test_what_was_packed_is_unpacked_whatever_identities_it_got(
    key: bytes, parts: list[bytes], identities: list[bytes]
) -> None:
    signer = Signer(key)
    assert signer.unpack([*identities, *(bytes(f) for f in signer.pack(parts))]) == parts


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_arbitrary_frames_are_never_accepted_with_a_key(frames: list[bytes]) -> None:
    with pytest.raises(BadWire):
        Signer(b"secret").unpack(frames)


@pytest.mark.parametrize(
    ("code", "frames"),
    [
        ("wire.delimiter", [b"x"] * 6),
        ("wire.delimiter", [*[b"i"] * 17, DELIMITER, b"", *PARTS]),
        ("wire.parts", [DELIMITER]),
        ("wire.parts", [DELIMITER, b"", *PARTS[:3]]),
        ("wire.signature", [DELIMITER, b"0" * 64, *PARTS]),
        ("wire.signature", [DELIMITER, b"", *PARTS]),
        ("wire.signature", [DELIMITER, signature(b"other", PARTS), *PARTS]),
        ("wire.header", [DELIMITER, b"", b"x" * 65, *PARTS[1:]]),
        ("wire.header", [DELIMITER, b"", PARTS[0], b"x" * 65, *PARTS[2:]]),
        ("wire.size", [DELIMITER, b"", *PARTS, b"x" * 1000]),
        ("wire.frames", [DELIMITER, b"", *PARTS, *[b""] * 100]),
    ],
)
def test_a_malformed_message_is_refused_with_its_code(code: str, frames: list[bytes]) -> None:
    with pytest.raises(BadWire) as refused:
        Signer(b"key").unpack(frames, Limits(message_bytes=500, header_bytes=64, frames=50))
    assert refused.value.code == code


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(BadWire):
        Signer(b"key", "hmac-md5")
