"""What is asked of the tables: consistent snapshots, filters, cursors, ETags, and the SQL."""
