"""The proxy: the data plane of kernelhub. It owns the bytes, holds no truth, and never imports ``hub``."""
