"""Loopback servers that speak a provider's real protocol and really simulate. They share no code with any adapter."""
