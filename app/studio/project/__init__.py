"""What people plan: goal, needs, schedule, resources, budget and risks, in ``project.yaml``."""
