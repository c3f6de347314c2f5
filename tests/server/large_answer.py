"""What ``large_answer_app`` answers."""

SIZE = 400_000
