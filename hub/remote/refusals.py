"""What goes wrong between a client and its hub, as errors whose message can be shown as it is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from hub.errors import BadRequest, Forbidden, HubError, NotFound, NotSignedIn, TooManyRequests, Unavailable


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what `aiohttp` raises on the way to `url` into errors of `hub.errors`."""
    host = urlsplit(url).netloc
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        raise refusal(error.status, "", host) from error
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError) as error:
        raise Unavailable(
            f"The certificate of {host} is not trusted ({_first_line(error)}). If the hub's certificate is of an "
            "authority of your own, name that authority's file in SSL_CERT_FILE."
        ) from error
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        raise Unavailable(f"{host} does not speak TLS as it should ({_first_line(error)}).") from error
    except TimeoutError as error:
        raise Unavailable(f"{host} did not answer in time.") from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable(f"{host} cannot be reached ({_first_line(error.os_error)}).") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"The connection to {host} broke ({_first_line(error)}).") from error


def refusal(status: int, message: str, host: str) -> HubError:
    """The error for an answer with a status from 300 on; `message` is what the hub said, "" for nothing."""
    if status < 400:
        return BadRequest(f"{host} sends elsewhere; use the address that a browser shows once signed in.")
    if status == 401 or (status == 403 and message in ("", "Forbidden")):
        return NotSignedIn(f"{host} does not accept the token, or it is not for this user; make a new one there.")
    if status == 403:
        return Forbidden(message)
    if status == 404:
        return NotFound(message or f"{host} knows nothing of that; check the address.")
    if status == 429:
        return TooManyRequests(message or f"{host} asks to slow down.", 10)
    if status in (424, 502, 503, 504):
        return Unavailable(message or f"{host} is not ready; try again.")
    if status < 500:
        return BadRequest(message or f"{host} refuses the request (status {status}).")
    return HubError(message or f"{host} failed (status {status}); its administrators' log says why.")


def message_in(answer: Any) -> str:
    """What an error's JSON says to people, "" without."""
    message = answer.get("message") if isinstance(answer, dict) else None
    return message[:1000] if isinstance(message, str) else ""


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
