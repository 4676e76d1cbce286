"""A package, so that spawned processes import test modules by the name pytest gave them."""
