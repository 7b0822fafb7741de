"""Whole sets of records on the disk: in shards, cleaned, divided, and how far they can be trusted."""
