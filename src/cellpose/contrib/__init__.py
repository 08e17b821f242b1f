"""Extensions beyond one machine or one library."""
