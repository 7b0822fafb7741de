"""What a model learns to say: one label, several of them, or a number. One file each."""
