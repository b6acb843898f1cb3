"""Tests of chat/agents/model."""
