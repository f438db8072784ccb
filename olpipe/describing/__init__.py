"""One record out of one photo, as a recipe says. A batch and a server do it in the same way."""
