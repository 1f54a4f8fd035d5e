"""From the documents of a finished task to counts or exact values."""
