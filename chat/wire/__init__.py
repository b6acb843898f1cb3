"""What is said, and what it adds up to. Pure: no Django, no Channels, no asyncio."""
