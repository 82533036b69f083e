"""The network that is kept, and how it writes."""
