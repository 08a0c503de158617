"""What holds the course together: the coverage table, and the checks of the labs."""
