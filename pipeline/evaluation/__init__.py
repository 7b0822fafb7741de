"""Figures about predictions: metrics, intervals, gates, errors."""
