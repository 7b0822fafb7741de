"""Where raw data and models come from: one file a kind."""
