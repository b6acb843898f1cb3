"""The small model that answers where no model server is set."""
