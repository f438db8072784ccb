"""The page to look at: `index.html` in the output folder, made from the ledger at the end of a run."""
