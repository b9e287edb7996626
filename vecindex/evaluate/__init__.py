"""Measures the quality of results: relevance measures, and files of queries and judgements."""
