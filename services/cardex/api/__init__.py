"""The contract's only home: messages, statuses and the client."""
