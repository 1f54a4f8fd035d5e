"""From the documents of a finished job to counts or exact values."""
