"""What happens when the log is another than the tables know: go back, replay, replace."""
