"""What ``make bench-serve`` measures beside the service, each a program that takes a port."""
