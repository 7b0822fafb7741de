"""Copies of a trained model: what is done to it, and what it runs on; one small file each."""
