"""What people ask to be done to VMs: checked, appended to the log, canceled, expired. The watchers carry it out."""
