"""The account: credentials, region and endpoints as AWS's own tools find them, and signatures."""
