"""What a short message is: its alphabets, its segments, and the numbers it travels between."""
