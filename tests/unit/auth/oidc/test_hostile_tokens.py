"""The pack of hostile tokens (SECURITY 1.5): each is what a provider's answer holds, and none is believed.

Every one of them goes the whole way: fetched from the token endpoint, its key looked up over HTTP, judged. The first
test shows that the way itself lets a good token pass, and each hostile one differs from that in what it says.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe
from joserfc.jwe import JWERegistry

from hub.auth.oidc.connect import Connect, Parts
from hub.auth.oidc.errors import NotBelieved, ProviderError
from hub.auth.oidc.fetching import Fetcher
from hub.auth.oidc.kinds import kind_of
from hub.auth.oidc.tokens import Client
from hub.auth.oidc.way import Attempt
from hub.config.providers import Provider
from proxy.kit.clock import SystemClock
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET, FakeOpenId, b64, elliptic_key, other_key, shared_key, sign

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # that is what they are about

Make = Callable[[FakeOpenId, str], object]
HOSTILE: dict[str, Make] = {}
HOSTILE_LOGOUTS: dict[str, Callable[[FakeOpenId], object]] = {}


def hostile(name: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        HOSTILE[name] = make
        return make

    return add


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return claims


def good(fake: FakeOpenId, nonce: str) -> dict[str, Any]:
    return claims_of(fake.id_token(nonce))


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    return f"{b64(json.dumps(header))}.{b64(json.dumps(claims))}.{signature}"


for algorithm in ("none", "None", "NONE", "nOnE", ""):
    HOSTILE[f"alg {algorithm!r}"] = lambda fake, nonce, algorithm=algorithm: unsigned(  # type: ignore[misc]
        {"alg": algorithm}, good(fake, nonce)
    )
HOSTILE["alg none with a signature"] = lambda fake, nonce: unsigned({"alg": "none"}, good(fake, nonce), "c2ln")
HOSTILE["no alg"] = lambda fake, nonce: unsigned({"kid": "one"}, good(fake, nonce), "c2ln")
HOSTILE["an empty signature"] = lambda fake, nonce: unsigned({"alg": "RS256", "kid": "one"}, good(fake, nonce))


@hostile("HS256 with the public key in PEM as its secret")
def _confused_pem(fake: FakeOpenId, nonce: str) -> str:
    pem = fake.key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hmac_signed(good(fake, nonce), pem)


@hostile("HS256 with the public key as JSON as its secret")
def _confused_jwk(fake: FakeOpenId, nonce: str) -> str:
    return hmac_signed(good(fake, nonce), json.dumps(fake.key.as_dict(private=False)).encode())


@hostile("HS256 with the client's secret, which the settings do not name")
def _client_secret(fake: FakeOpenId, nonce: str) -> str:
    return sign(good(fake, nonce), shared_key(CLIENT_SECRET.encode()), alg="HS256", kid="one")


def hmac_signed(claims: dict[str, Any], secret: bytes) -> str:
    text = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'one'}))}.{b64(json.dumps(claims))}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), 'sha256').digest())}"


def signed_by_stranger(**header: Any) -> Make:
    return lambda fake, nonce: sign(good(fake, nonce), other_key(), **{"alg": "RS256", "kid": "one", **header})


HOSTILE["a stranger's key under a known name"] = signed_by_stranger()
HOSTILE["a stranger's key under no name"] = lambda fake, nonce: sign(good(fake, nonce), other_key(), alg="RS256")


@hostile("the key in the header (jwk)")
def _own_jwk(fake: FakeOpenId, nonce: str) -> str:
    key = other_key()
    return sign(good(fake, nonce), key, alg="RS256", kid="one", jwk=key.as_dict(private=False))


@hostile("the good key in the header (jwk)")
def _good_jwk(fake: FakeOpenId, nonce: str) -> str:
    return sign(good(fake, nonce), fake.key, alg="RS256", kid="one", jwk=fake.key.as_dict(private=False))


def with_header(**header: Any) -> Make:
    """Signed by the provider itself: only the header is to blame."""
    return lambda fake, nonce: sign(good(fake, nonce), fake.key, **{"alg": "RS256", "kid": "one", **header})


HOSTILE["the key's address in the header (jku)"] = with_header(jku="https://evil.example/keys")
HOSTILE["a certificate's address in the header (x5u)"] = with_header(x5u="https://evil.example/cert.pem")
HOSTILE["a certificate in the header (x5c)"] = with_header(x5c=["AAAA"])
HOSTILE["an unknown critical header"] = with_header(crit=["exp-in-fact"], **{"exp-in-fact": True})
HOSTILE["a critical header that says nothing"] = with_header(crit=[])
HOSTILE["an unencoded payload (b64)"] = with_header(b64=False, crit=["b64"])
HOSTILE["a kid that is a path"] = with_header(kid="../../../../dev/null")
HOSTILE["a kid that is a question to a database"] = with_header(kid="one' OR '1'='1")
HOSTILE["a kid that is no text"] = with_header(kid=["one"])
HOSTILE["a kid of 100 kB"] = with_header(kid="x" * 100_000)
HOSTILE["an alg that is no text"] = lambda fake, nonce: unsigned({"alg": ["RS256"]}, good(fake, nonce), "c2ln")
HOSTILE["a logout token's type"] = with_header(typ="logout+jwt")
HOSTILE["an access token's type"] = with_header(typ="at+jwt")
HOSTILE["another algorithm of the same key, which was not announced"] = with_header(alg="RS512")
HOSTILE["a compressed payload (zip)"] = lambda fake, nonce: sign(
    zlib.compress(json.dumps(good(fake, nonce)).encode())[2:-4], fake.key, alg="RS256", kid="one", zip="DEF"
)


@hostile("an encrypted token with RSA1_5")
def _rsa1_5(fake: FakeOpenId, nonce: str) -> str:
    return encrypted(fake, json.dumps(good(fake, nonce)).encode(), {"alg": "RSA1_5", "enc": "A128CBC-HS256"})


@hostile("an encrypted zip bomb")
def _bomb(fake: FakeOpenId, nonce: str) -> str:
    return encrypted(fake, b" " * 200_000, {"alg": "RSA-OAEP", "enc": "A128CBC-HS256", "zip": "DEF"})


def encrypted(fake: FakeOpenId, text: bytes, header: dict[str, str]) -> str:
    registry = JWERegistry(algorithms=list(header.values()))
    public = {name: value for name, value in fake.key.as_dict(private=False).items() if name != "use"}
    return jwe.encrypt_compact(header, text, fake.key.import_key(public), registry=registry)


@hostile("a name that occurs twice among the claims")
def _twice(fake: FakeOpenId, nonce: str) -> str:
    text = json.dumps(good(fake, nonce))
    return sign((text[:-1] + ', "sub": "admin"}').encode(), fake.key, alg="RS256", kid="one")


@hostile("a name that occurs twice in the header")
def _twice_in_header(fake: FakeOpenId, nonce: str) -> str:
    _, payload, signature = fake.id_token(nonce).split(".")
    header = b64('{"alg":"RS256","kid":"one","alg":"none"}')
    return f"{header}.{payload}.{signature}"


def raw_claims(text: str | bytes) -> Make:
    return lambda fake, nonce: sign(text.encode() if isinstance(text, str) else text, fake.key, alg="RS256", kid="one")


HOSTILE["claims that are a list"] = raw_claims("[]")
HOSTILE["claims that are nothing"] = raw_claims("null")
HOSTILE["claims nested 10,000 deep"] = raw_claims('{"a":' * 10_000 + "1" + "}" * 10_000)
HOSTILE["claims nested 30 deep"] = raw_claims('{"a":' * 30 + "1" + "}" * 30)
HOSTILE["claims that are no UTF-8"] = raw_claims(b'{"sub": "\xff"}')
HOSTILE["a number that is none (NaN)"] = raw_claims('{"exp": NaN}')
HOSTILE["a number of 5,000 digits"] = raw_claims('{"exp": ' + "9" * 5000 + "}")
HOSTILE["a token of 1 MB"] = raw_claims('{"a": "' + "x" * 200_000 + '"}')
HOSTILE["no text at all"] = lambda fake, nonce: {"jwt": fake.id_token(nonce)}
HOSTILE["two parts"] = lambda fake, nonce: ".".join(fake.id_token(nonce).split(".")[:2])
HOSTILE["four parts"] = lambda fake, nonce: fake.id_token(nonce) + ".x"
HOSTILE["spaces around it"] = lambda fake, nonce: f" {fake.id_token(nonce)} "
HOSTILE["padded parts"] = lambda fake, nonce: fake.id_token(nonce) + "=="
HOSTILE["the JSON serialization"] = lambda fake, nonce: json.dumps(
    dict(zip(("protected", "payload", "signature"), fake.id_token(nonce).split("."), strict=True))
)


@hostile("claims changed after they were signed")
def _changed(fake: FakeOpenId, nonce: str) -> str:
    head, _, signature = fake.id_token(nonce).split(".")
    return f"{head}.{b64(json.dumps({**good(fake, nonce), 'sub': 'admin'}))}.{signature}"


def but(**changes: Any) -> Make:
    """Signed by the provider, with other claims."""
    return lambda fake, nonce: fake.id_token(nonce, **changes)


NOW = int(time.time())
HOSTILE["for another client"] = but(aud="another-client")
HOSTILE["for nobody"] = but(aud=None)
HOSTILE["for an empty list"] = but(aud=[])
HOSTILE["for a client whose name begins like ours"] = but(aud=CLIENT_ID + "-2")
HOSTILE["for two without saying which asked"] = but(aud=[CLIENT_ID, "another-client"])
HOSTILE["asked for by another client"] = but(azp="another-client")
HOSTILE["for two, asked for by the other"] = but(aud=[CLIENT_ID, "another-client"], azp="another-client")
HOSTILE["an empty azp"] = but(azp="")
HOSTILE["of another issuer"] = but(iss="https://elsewhere.example")
HOSTILE["of an issuer with another slash"] = lambda fake, nonce: fake.id_token(nonce, iss=fake.issuer + "/")
HOSTILE["of a list of issuers"] = lambda fake, nonce: fake.id_token(nonce, iss=[fake.issuer])
HOSTILE["of no issuer"] = but(iss=None)
HOSTILE["about nobody"] = but(sub=None)
HOSTILE["about an empty subject"] = but(sub="")
HOSTILE["about a number"] = but(sub=7)
HOSTILE["about a subject of 10,000 characters"] = but(sub="x" * 10_000)
HOSTILE["about a subject with a line break"] = but(sub="ann\nadmin")
HOSTILE["with another nonce"] = but(nonce="another")
HOSTILE["without a nonce"] = but(nonce=None)
HOSTILE["with a list of nonces"] = lambda fake, nonce: fake.id_token(nonce, nonce=[nonce])
HOSTILE["expired"] = but(exp=NOW - 3600)
HOSTILE["without an end"] = but(exp=None)
HOSTILE["an end that is text"] = but(exp=str(NOW + 300))
HOSTILE["an end that is true"] = but(exp=True)
HOSTILE["made in the future"] = but(iat=NOW + 3600, exp=NOW + 7200)
HOSTILE["made long ago"] = but(iat=NOW - 86_400)
HOSTILE["without the time of its making"] = but(iat=None)
HOSTILE["not valid yet"] = but(nbf=NOW + 3600)
HOSTILE["the hash of another access token"] = but(at_hash="AAAAAAAAAAAAAAAAAAAAAA")
HOSTILE["an empty hash"] = but(at_hash="")
HOSTILE["a hash that is no text"] = but(at_hash=["x"])


@pytest.fixture
async def connect(fake: FakeOpenId) -> AsyncIterator[Connect]:
    settings = {"kind": "oidc", "issuer": fake.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    provider = Provider.model_validate(settings)
    fetcher = Fetcher()
    yield Connect(Parts(provider, kind_of(provider), Client(provider), fetcher, SystemClock()))
    await fetcher.close()


@pytest.fixture(scope="module")
def signing_key() -> Any:
    """Keys take long to make: one for all tokens."""
    return FakeOpenId().key


async def come_back(connect: Connect, fake: FakeOpenId, token: object) -> Any:
    """Through the token endpoint, as every id token comes."""
    attempt = Attempt("state", "browser", "http://127.0.0.1/callback", datetime.now(UTC))
    answer = fake.agree(await connect.address(attempt))
    fake.token = token  # type: ignore[assignment]
    return await connect.told(attempt, answer["code"], None)


def nonce_of() -> str:
    return Attempt("state", "browser", "", datetime.now(UTC)).nonce


async def test_a_good_token_is_believed(connect: Connect, fake: FakeOpenId, signing_key: Any) -> None:
    fake.key = signing_key
    for token in (
        fake.id_token(nonce_of()),
        fake.id_token(nonce_of(), aud=[CLIENT_ID], azp=CLIENT_ID),
        fake.id_token(nonce_of(), aud=[CLIENT_ID, "another-client"], azp=CLIENT_ID),
        fake.id_token(nonce_of(), at_hash=None),
        sign(good(fake, nonce_of()), fake.key, alg="RS256", kid="one", typ="JWT"),
        sign(good(fake, nonce_of()), fake.key, alg="RS256"),
    ):
        assert (await come_back(connect, fake, token)).claims["sub"] == fake.person["sub"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_hostile_token_is_believed(connect: Connect, fake: FakeOpenId, signing_key: Any, name: str) -> None:
    fake.key = signing_key
    with pytest.raises(NotBelieved):
        await come_back(connect, fake, HOSTILE[name](fake, nonce_of()))
    assert "elsewhere" not in " ".join(fake.asked)


async def test_an_unknown_algorithm_cannot_pass_by_its_hash(connect: Connect, fake: FakeOpenId) -> None:
    """CVE-2026-28498: a hash that the library cannot make is no hash that fits."""
    fake.announced = {"id_token_signing_alg_values_supported": ["ES256K", "RS256"]}
    fake.key = elliptic_key("one").generate_key("secp256k1", {"kid": "one"})
    fake.header = {"alg": "ES256K", "kid": "one"}
    with pytest.raises(NotBelieved):
        await come_back(connect, fake, fake.id_token(nonce_of(), at_hash="x"))


async def test_symmetric_private_and_weak_keys_of_a_key_set_do_not_count(connect: Connect, fake: FakeOpenId) -> None:
    weak = fake.key.generate_key(1024, {"kid": "weak"})
    listed = [
        shared_key(b"x" * 32).as_dict(kid="shared", alg="HS256"),
        fake.key.as_dict(private=True),
        weak.as_dict(private=False),
        {**fake.key.as_dict(private=False), "use": "enc"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "one"},
        "nonsense",
    ]
    fake.bodies["/keys"] = lambda: web.json_response({"keys": listed})
    for key, header in ((fake.key, {"alg": "RS256", "kid": "one"}), (weak, {"alg": "RS256", "kid": "weak"})):
        fake.header, fake.key = header, key
        with pytest.raises(NotBelieved):
            await come_back(connect, fake, fake.id_token(nonce_of()))
    with pytest.raises(NotBelieved):
        await come_back(connect, fake, sign(good(fake, nonce_of()), shared_key(b"x" * 32), alg="HS256", kid="shared"))


HOSTILE_LOGOUTS["an id token"] = lambda fake: fake.id_token("nonce")
HOSTILE_LOGOUTS["with a nonce"] = lambda fake: fake.logout_token(nonce="x")
HOSTILE_LOGOUTS["without events"] = lambda fake: fake.logout_token(events=None)
HOSTILE_LOGOUTS["another event"] = lambda fake: fake.logout_token(events={"urn:other": {}})
HOSTILE_LOGOUTS["an event that is no object"] = lambda fake: fake.logout_token(
    events={"http://schemas.openid.net/event/backchannel-logout": True}
)
HOSTILE_LOGOUTS["without an id"] = lambda fake: fake.logout_token(jti=None)
HOSTILE_LOGOUTS["about nobody"] = lambda fake: fake.logout_token(sub=None, sid=None)
HOSTILE_LOGOUTS["about an empty session"] = lambda fake: fake.logout_token(sub=None, sid="")
HOSTILE_LOGOUTS["for another client"] = lambda fake: fake.logout_token(aud="another-client")
HOSTILE_LOGOUTS["of another issuer"] = lambda fake: fake.logout_token(iss="https://elsewhere.example")
HOSTILE_LOGOUTS["made long ago"] = lambda fake: fake.logout_token(iat=NOW - 86_400)
HOSTILE_LOGOUTS["expired"] = lambda fake: fake.logout_token(exp=NOW - 3600)
HOSTILE_LOGOUTS["without the time of its making"] = lambda fake: fake.logout_token(iat=None)
HOSTILE_LOGOUTS["unsigned"] = lambda fake: unsigned({"alg": "none"}, claims_of(fake.logout_token()))
HOSTILE_LOGOUTS["a stranger's"] = lambda fake: sign(
    claims_of(fake.logout_token()), other_key(), alg="RS256", kid="one", typ="logout+jwt"
)
HOSTILE_LOGOUTS["nothing"] = lambda fake: ""


async def test_a_good_logout_token_is_believed(connect: Connect, fake: FakeOpenId, signing_key: Any) -> None:
    fake.key = signing_key
    notice = await connect.logout_notice(fake.logout_token())
    assert (notice.issuer, notice.subject, notice.sid) == (fake.issuer, fake.person["sub"], "session-1")
    assert (await connect.logout_notice(fake.logout_token(sub=None))).subject is None


@pytest.mark.parametrize("name", HOSTILE_LOGOUTS)
async def test_no_hostile_logout_token_is_believed(
    connect: Connect, fake: FakeOpenId, signing_key: Any, name: str
) -> None:
    fake.key = signing_key
    with pytest.raises(ProviderError):
        await connect.logout_notice(HOSTILE_LOGOUTS[name](fake))
