"""Small tools that hub and proxy both need: clock, tasks, logs, the agent client."""
