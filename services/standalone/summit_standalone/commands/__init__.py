"""The subcommands of `summit-connect`."""
