"""What people and programs use: the service and the studio. Both import ``pipeline``."""
