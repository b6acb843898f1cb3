"""Tests of chat/auth."""
