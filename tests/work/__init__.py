"""Tests of chat/work."""
