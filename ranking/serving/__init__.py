"""The HTTP side: payloads, the app and the release it serves."""
