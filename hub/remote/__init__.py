"""What speaks to a hub from anywhere: somebody's laptop, a batch job, another machine.

It needs nothing but the hub's public address and a token, and imports nothing of the hub but its errors.
"""
