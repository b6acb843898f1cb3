"""What people read of tool calls and their results, as the page's script says it.

Each module is the twin of one in static/chat/js/words.
"""
