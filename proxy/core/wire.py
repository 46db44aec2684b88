"""The ZeroMQ side: multipart messages to and from the parts that matter, and their signatures.

Source: the Jupyter messaging protocol, "The Wire Protocol". A message is ``[identity…, b"<IDS|MSG>", signature,
header, parent_header, metadata, content, buffer…]``; the signature is the hex HMAC of the four JSON parts. `Parts` is
what follows the signature; nothing in here parses JSON.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.errors import BadWire

Part = bytes | memoryview
Parts = Sequence[Part]
"""header, parent_header, metadata, content, then any buffers."""

DELIMITER = b"<IDS|MSG>"
JSON_PARTS = 4
_SCHEMES = {"hmac-sha256": "sha256", "hmac-sha384": "sha384", "hmac-sha512": "sha512", "hmac-sha1": "sha1"}
_JOIN_BELOW_BYTES = 64 * 1024


class Signer:
    """Signs and verifies with one kernel's key. An empty key means no signatures, as the protocol says.

    Raises BadWire for a scheme other than HMAC with a SHA digest.
    """

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        if scheme not in _SCHEMES:
            raise BadWire("wire.scheme", f"the signature scheme {scheme[:40]!r} is not known")
        self._key = key
        self._digest = _SCHEMES[scheme]
        self._outer = hmac.new(key, digestmod=getattr(hashlib, self._digest)) if key else None

    def sign(self, parts: Parts) -> bytes:
        """The signature of the first four of `parts`, as it stands in the message."""
        if self._outer is None:
            return b""
        signed = parts[:JSON_PARTS]
        if sum(map(len, signed)) <= _JOIN_BELOW_BYTES:
            return self._sign_small(signed)
        state = self._outer.copy()
        for part in signed:
            state.update(part)
        return state.hexdigest().encode()

    def _sign_small(self, signed: Parts) -> bytes:
        """The same for four parts that are cheaper to join than to sign one after the other."""
        return hmac.digest(self._key, b"".join(signed), self._digest).hex().encode()

    def pack(self, parts: Parts) -> list[Part]:
        """The frames to send for `parts`; no identities, since a DEALER adds its own."""
        return [DELIMITER, self.sign(parts), *parts]

    def unpack(self, frames: list[Part], limits: Limits = DEFAULT_LIMITS) -> list[Part]:
        """The parts of a received message. Raises BadWire when it is malformed, too large or wrongly signed."""
        if len(frames) > limits.frames:
            raise BadWire("wire.frames", f"a message has {len(frames)} frames")
        try:
            start = frames.index(DELIMITER, 0, limits.identities + 1) + 1
        except ValueError:
            raise BadWire("wire.delimiter", "a message has no delimiter where one belongs") from None
        parts = frames[start + 1 :]
        if len(parts) < JSON_PARTS:
            raise BadWire("wire.parts", f"a message has {len(parts)} parts after its signature")
        if len(parts[0]) > limits.header_bytes or len(parts[1]) > limits.header_bytes:
            raise BadWire("wire.header", "a message's header is too large")
        size = sum(map(len, parts))
        if size > limits.message_bytes:
            raise BadWire("wire.size", "a message is too large")
        if self._outer is not None:
            is_plain = size <= _JOIN_BELOW_BYTES and len(parts) == JSON_PARTS
            signature = self._sign_small(parts) if is_plain else self.sign(parts)
            if not hmac.compare_digest(signature, frames[start]):
                raise BadWire("wire.signature", "a message is not signed with the kernel's key")
        return parts
