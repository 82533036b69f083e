"""Server for a trained network: OpenAI's completions, and sessions that keep a memory."""
