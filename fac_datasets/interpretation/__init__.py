"""What features are about, and which matter for a task."""
