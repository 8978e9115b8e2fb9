"""What checks the manifests: `make manifests`."""
