"""The actors of the house: one file each, one owner per table."""
