"""Releases: models that may serve, sealed on the disk, and the file that says which ones do."""
