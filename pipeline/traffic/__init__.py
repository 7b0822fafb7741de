"""What came in and what was answered: a database that the service writes and the monitor reads."""
