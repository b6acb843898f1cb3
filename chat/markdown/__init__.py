"""Markdown, as the page's script reads and shows it.

Each module is the twin of one in static/chat/js/view/markdown: the first paint of the
server and the page of the script are the same tree.
"""
