"""Tests of chat/log."""
