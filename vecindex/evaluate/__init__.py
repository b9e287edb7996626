"""How good are the answers: relevance measures, and the files that hold judgements."""
