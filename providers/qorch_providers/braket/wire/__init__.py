"""What goes over the line: signed requests within the quotas, typed answers, and what refusals mean."""
