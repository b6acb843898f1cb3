"""Tests of chat/agents/qwen."""
