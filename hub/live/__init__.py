"""What is going on now: half-hour lines of use, who is here, what runs, and who watches it.

`sampler` asks every running workspace's agent once in ten seconds, however many people look; `picture` joins that with
the database and the culler's decisions; `choosing` searches and sorts it; `viewers` bounds those who watch.
"""
