"""The program that runs as PID 1 in containers. Self-contained: standard library and pyzmq."""
