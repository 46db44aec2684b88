"""The steps by which the database came to look as it does; `hub.store.schema` runs them."""
