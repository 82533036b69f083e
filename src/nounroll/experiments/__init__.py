"""The way from a document to a trained run: recipe, resolve, warm start, comparison, sweep."""
