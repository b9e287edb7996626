"""What is derived from the vectors and the records: made in step with them, checked, and made again."""
