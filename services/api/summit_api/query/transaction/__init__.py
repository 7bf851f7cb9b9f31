"""Reading the tables: one transaction for each answer, its position in the log, and why it cannot be had."""
