"""The owner's and the reader's side: stores, files, remembered state."""
