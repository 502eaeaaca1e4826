"""What came of attempts."""
