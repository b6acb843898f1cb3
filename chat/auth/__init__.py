"""Who may: visitors, what they were let in with, and limits."""
