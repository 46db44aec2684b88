"""Where code runs: the Spawner protocol and its adapters."""
