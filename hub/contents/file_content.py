"""The content of a file as it is in JSON: text, or base64. Pure."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from collections.abc import Iterator

import msgspec

from hub.errors import BadRequest

_BLANKS = b" \t\r\n"
"""What may stand between the characters of base64: encoders break its lines."""


def decode_content(content: msgspec.Raw, format: str | None, path: object) -> bytes:
    """The bytes that a client sends as text or base64, a JSON string. Raises BadRequest, about `path`."""
    text = _string(content, path)
    if format not in ("text", "base64"):
        raise BadRequest(f"{path}: the format of a file's content must be 'text' or 'base64'.")
    if not isinstance(text, str):
        raise BadRequest(f"{path}: a file's content must be a string.")
    try:
        return (
            text.encode()
            if format == "text"
            else base64.b64decode(text.encode("ascii").translate(None, _BLANKS), validate=True)
        )
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadRequest(f"{path} was not saved: its content is not valid {format}.") from error


def encode_text(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The JSON string of a text whose UTF-8 comes in pieces. Raises UnicodeDecodeError where it is none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    yield b'"'
    for piece in pieces:
        yield msgspec.json.encode(decoder.decode(piece))[1:-1]
    decoder.decode(b"", final=True)
    yield b'"'


def encode_base64(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The JSON string of the base64 of bytes that come in pieces."""
    rest = b""
    yield b'"'
    for piece in pieces:
        data = rest + piece
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        yield base64.b64encode(memoryview(data)[:whole])
    yield base64.b64encode(rest) + b'"'


def _string(content: msgspec.Raw, path: object) -> object:
    """A file's content out of its JSON. Lone surrogates are JSON, though not text: said later, as BadRequest."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):
        pass
    try:
        return json.loads(bytes(content))
    except ValueError as error:
        raise BadRequest(f"{path}: the content is not valid JSON.") from error
