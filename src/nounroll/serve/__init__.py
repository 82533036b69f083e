"""A trained network as a server: OpenAI's completions, and sessions that keep a memory."""
