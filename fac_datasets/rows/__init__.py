"""What the rows of a dataset are: where they come from, their texts and chats, their fingerprint."""
