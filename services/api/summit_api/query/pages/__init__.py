"""A list page by page: its order, the cursor that leads to the next page, and the statement that reads one."""
