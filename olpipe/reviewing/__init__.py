"""Reviews: people approve, edit and reject records in a browser, and the ledger of the batch keeps what they do."""
