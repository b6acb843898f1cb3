"""The page in a real browser, against a real server and a scripted model."""
