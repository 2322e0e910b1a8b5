"""A real Kubernetes and a local AWS on one machine; see README.md."""
