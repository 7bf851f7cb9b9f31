"""Questions to the tables: consistent snapshots, filters, orders, cursors, and the SQL."""
