"""The OpenAPI document of the server: one module for each resource, with its paths and its schemas as data."""
