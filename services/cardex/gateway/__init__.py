"""The gRPC gateway: authenticates, admits, makes jobs durable, and wakes whoever waits."""
