"""What kernelhub decides and with which values: pure, no I/O, time and randomness come in as arguments."""
