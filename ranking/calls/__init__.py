"""What a client asks, and nothing of how it is sent: each endpoint, how its answer is read, and what may go wrong."""
