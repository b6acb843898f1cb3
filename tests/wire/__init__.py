"""Tests of chat/wire."""
