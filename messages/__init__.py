"""The shared language of the house: frozen messages without behaviour, one file a protocol."""
