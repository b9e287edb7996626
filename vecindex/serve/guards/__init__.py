"""What stands before the routes: who may ask, from where, how often and how much."""
