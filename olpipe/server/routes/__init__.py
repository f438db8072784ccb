"""The routes, one file for each resource. Each file has a function `routes`, which takes the service."""
