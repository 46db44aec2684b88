"""The culling loop: snapshots in, decisions carried out."""
