"""What ``params.yaml`` may say: one file a section, one frozen model a group of knobs."""
