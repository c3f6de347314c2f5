"""What an upstream's stream says of itself: its end, and its errors."""
