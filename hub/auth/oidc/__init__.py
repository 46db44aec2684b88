"""Signing in by OpenID Connect and OAuth 2: the hub as the relying party.

`strict_json`, `signed` and `claims` decide about what providers say and do no I/O; `fetching` asks providers;
`discovery` and `keys` remember what they announce; `connect` and `github` are the two ways from a code to an
`Assertion`; `service` is what pages use. Message formats are Authlib's, signatures joserfc's, to which Authlib's
`jose` has moved; what is believed is decided here.
"""
