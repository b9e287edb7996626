"""What results look like beside their order: groups, variety, examples, counts."""
