"""Whole sets of records on the disk: read in shards, cleaned, divided, judged."""
