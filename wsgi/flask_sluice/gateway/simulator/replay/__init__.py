"""Plays recordings of real servers' answers back."""
