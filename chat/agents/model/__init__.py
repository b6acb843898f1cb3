"""A server that speaks OpenAI's protocol: requests, streams, rounds, errors."""
