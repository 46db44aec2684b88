"""Who is asking: sign-ins, API tokens, passwords, and the guard that turns credentials into an identity."""
