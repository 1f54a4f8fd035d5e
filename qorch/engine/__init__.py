"""The only place with behaviour over time: looking up, queueing, submitting, assembling."""
