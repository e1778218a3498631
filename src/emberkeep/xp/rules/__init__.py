"""Pure decisions of XP: no I/O, no clock, no driver. Same input, same answer."""
