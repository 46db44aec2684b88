"""Use cases of workspaces and kernels: ensure, stop, start a kernel, reconcile."""
