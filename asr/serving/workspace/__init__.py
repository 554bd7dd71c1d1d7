"""The folder of `asr serve --data`: plain files, read and written for the page. No web framework here."""
