"""Learning platforms (LTI 1.3): launches, deep linking, registration and the administrators' pages."""
