"""Figures beside peers, in one run each; never part of the tests."""
