"""The HTTP languages of other providers: each has a north half (serving) and a south half (using). Pure."""
