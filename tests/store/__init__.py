"""Tests of chat/store."""
