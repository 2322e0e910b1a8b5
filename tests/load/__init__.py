"""Many jobs, and a Kubernetes that is slow or restarts."""
