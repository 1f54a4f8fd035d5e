"""What goes over the line: requests with tokens of IAM, typed answers, and what refusals mean."""
