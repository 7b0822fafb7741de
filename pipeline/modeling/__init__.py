"""Everything that needs torch: architectures, training, baselines, compression."""
