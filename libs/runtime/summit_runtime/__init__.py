"""The parts that every process needs: settings, log, NATS, database, probes, and one way to start and stop."""
