"""Learning platforms (LTI 1.3): launches, deep linking, rosters and scores.

The messages are of "LTI Core 1.3", "LTI Deep Linking 2.0", "Names and Role Provisioning Services 2.0", "Assignment and
Grade Services 2.0", "LTI Dynamic Registration 1.0" and the "1EdTech Security Framework 1.1". Signatures are checked by
`hub.auth.oidc.signed`, on joserfc. No LTI library is used: PyLTI1p3 asks platforms with blocking requests and keeps
nonces and states in a web framework's session, which is neither what an event loop bears nor what two hubs share.
"""
